//! Hyper-parameters: config.json as transformers completes it.
//!
//! The converter does not read config.json itself: transformers does, fills in the defaults of
//! the model's configuration class, and brings old spellings to new ones. Where that fails, as
//! it does for a value of a wrong type, the converter takes the file as it is.

mod asked;
pub(super) mod classes;
mod rope;

use super::family::Turned;
use super::params::BLOCKS;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use classes::ConfigClass;
use serde_json::Value;

/// More blocks than any model has.
const MAX_BLOCKS: u32 = 1 << 16;

/// The hyper-parameters of a model.
#[derive(Clone, Debug)]
pub(super) struct Hparams {
    values: Object,
    rope: Object,
    /// Number of tokens that the tokenizer has, where the tensors depend on it.
    pub(super) tokens: Option<usize>,
    /// Whether transformers knows the configuration class and accepts the values.
    pub(super) completed: bool,
}

impl Hparams {
    /// Reads a folder's config.json.
    ///
    /// # Errors
    /// `unsupported` for what needs more than hyper-parameters: quantized weights, drafts.
    pub(super) fn load(folder: &Folder) -> Result<Self> {
        let config = match ConfigClass::of(folder.config()) {
            Some(class) if class.is_composite() => folder.config(),
            _ => folder.hparams(),
        };
        Self::new(config).map_err(|e| e.in_file(folder.path().join("config.json")))
    }

    pub(super) fn new(config: &Object) -> Result<Self> {
        let class = ConfigClass::of(config);
        refuse_special(config, class)?;
        let completed = class.and_then(|class| class.complete(config));
        let mut hparams = Self {
            completed: completed.is_some(),
            values: completed.unwrap_or_else(|| config.clone()),
            rope: Object::new(),
            tokens: None,
        };
        // What the language model says of itself counts more than what the whole says.
        if let Some(Value::Object(text)) = hparams.values.get("text_config").cloned() {
            hparams.values.extend(text);
        }
        hparams.rope = rope::parameters(&hparams)?;
        Ok(hparams)
    }

    /// Without some of them.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.values
            .retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// With some of them as an architecture has them.
    pub(super) fn with(mut self, stated: &[(&str, u32)]) -> Self {
        let stated = stated
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()));
        self.values.extend(stated);
        self
    }

    /// The rope parameters in today's spelling, those of all kinds of layers.
    pub(super) fn all_rope(&self) -> &Object {
        &self.rope
    }

    /// The rope parameters of layers that look at everything.
    pub(super) fn rope(&self) -> Result<&Object> {
        rope::full(&self.rope)
    }

    /// The first of these that is there, with its name; `None` also if that one is null.
    pub(super) fn find(&self, names: &[&'static str]) -> Option<(&'static str, &Value)> {
        let present = |name: &&'static str| Some((*name, self.values.get(*name)?));
        let found = names.iter().find_map(present);
        found.filter(|(_, value)| !value.is_null())
    }

    /// [`find`](Self::find) for what must be an unsigned number of 32 bits.
    pub(super) fn uint(&self, names: &[&'static str]) -> Result<Option<u32>> {
        let found = self.find(names);
        found
            .map(|(name, value)| uint(value).map_err(|e| e.in_key(name)))
            .transpose()
    }

    /// [`uint`](Self::uint) for what must be there.
    pub(super) fn need_uint(&self, names: &[&'static str]) -> Result<u32> {
        self.uint(names)?.ok_or_else(|| missing(names))
    }

    /// Whether there is a value, be it null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Number of blocks.
    ///
    /// # Errors
    /// `limit` for more than any model has.
    pub(super) fn blocks(&self) -> Result<u32> {
        let blocks = self.need_uint(BLOCKS)?;
        match blocks <= MAX_BLOCKS {
            true => Ok(blocks),
            false => Err(Error::limit(format!("{blocks} blocks are too many"))),
        }
    }

    /// Elements of a head that rope turns, where that is only a part.
    pub(super) fn turned(&self, turned: Turned) -> Result<u32> {
        let name = "partial_rotary_factor";
        let factor = match (self.rope.get(name), turned) {
            (Some(factor), _) => number(factor).map_err(|e| e.in_key(name))?,
            (None, Turned::OfWidth) => 1.0,
            (None, Turned::OfHead) => return Err(missing(&[name])),
        };
        let width = self.need_uint(&["hidden_size", "n_embd"])?;
        let heads = self.need_uint(&["num_attention_heads", "n_head"])?;
        match turned {
            Turned::OfWidth => part(factor, width)?.checked_div(heads),
            Turned::OfHead => width
                .checked_div(heads)
                .map(|head| part(factor, head))
                .transpose()?,
        }
        .ok_or_else(no_heads)
    }

    /// The length of context that the model was trained with before its rope was scaled.
    pub(super) fn trained_context(&self) -> Result<u32> {
        let name = "original_max_position_embeddings";
        let context = self.rope.get(name).ok_or_else(|| missing(&[name]))?;
        uint(context).map_err(|e| e.in_key(name))
    }

    /// Elements of one attention head.
    pub(super) fn head_dim(&self) -> Result<u32> {
        if let Some(dim) = self.uint(&["head_dim"])? {
            return Ok(dim);
        }
        let heads = self.need_uint(&["num_attention_heads"])?;
        let width = self.need_uint(&["hidden_size"])?;
        width.checked_div(heads).ok_or_else(no_heads)
    }
}

/// The error that none of these hyper-parameters is there.
pub(super) fn missing(names: &[&str]) -> Error {
    let name = names.last().copied().unwrap_or_default();
    Error::malformed("is missing, and the architecture needs it").in_key(name)
}

/// Number of elements that rope turns of a head, from the part of them and the elements that the
/// part is of.
fn part(factor: f64, of: u32) -> Result<u32> {
    let count = factor * f64::from(of);
    let fits = count > -1.0 && count <= f64::from(of);
    fits.then_some(count as u32).ok_or_else(|| {
        Error::malformed(format!("must be a number from 0 to 1, not {factor}"))
            .in_key("partial_rotary_factor")
    })
}

fn no_heads() -> Error {
    Error::malformed("there must be at least one head").in_key("num_attention_heads")
}

/// Refuses what the converter treats otherwise than by hyper-parameters.
fn refuse_special(config: &Object, class: Option<&ConfigClass>) -> Result<()> {
    let set = |key: &str| config.get(key).is_some_and(|value| !value.is_null());
    if set("text_config") && !class.is_some_and(ConfigClass::is_composite) {
        return Err(Error::unsupported(
            "is a composite model, of which nothing here knows the parts",
        )
        .in_key("text_config"));
    }
    if set("draft_vocab_size") {
        return Err(Error::unsupported(
            "is a draft model (EAGLE), which needs its target's folder",
        )
        .in_key("draft_vocab_size"));
    }
    Ok(())
}

/// A JSON number as GGUF's unsigned 32-bit integer.
pub(super) fn uint(value: &Value) -> Result<u32> {
    let number = value.as_u64().and_then(|n| n.try_into().ok());
    number.ok_or_else(|| {
        Error::malformed(format!(
            "must be a whole number from 0 to {}, not {value}",
            u32::MAX
        ))
    })
}

/// A JSON number that a 32-bit float can hold, unrounded.
pub(super) fn number(value: &Value) -> Result<f64> {
    let number = value.as_f64();
    number
        .filter(|&n| (n as f32).is_finite())
        .ok_or_else(|| Error::malformed(format!("must be a number that f32 holds, not {value}")))
}

/// A JSON number as GGUF's 32-bit float.
pub(super) fn float(value: &Value) -> Result<f32> {
    Ok(number(value)? as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde_json::json;

    pub(super) fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            _ => panic!("not an object"),
        }
    }

    fn llama(own: Value) -> Hparams {
        let mut config = object(json!({
            "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2
        }));
        config.extend(object(own));
        Hparams::new(&config).unwrap()
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let hparams = llama(json!({}));
        assert!(hparams.completed);
        assert_eq!(hparams.uint(&["vocab_size"]).unwrap(), Some(32000));
        assert_eq!(hparams.uint(&["num_key_value_heads"]).unwrap(), Some(4));
        assert_eq!(hparams.uint(&["head_dim"]).unwrap(), Some(16));
        assert_eq!(hparams.rope().unwrap()["rope_theta"], 10000.0);
        assert_eq!(hparams.rope().unwrap()["rope_type"], "default");
    }

    #[test]
    fn a_value_of_a_wrong_type_leaves_the_file_as_it_is() {
        for wrong in [
            json!({"rms_norm_eps": 1}),
            json!({"num_attention_heads": 3}),
            json!({"use_cache": 1}),
            json!({"rope_scaling": {"type": "llama3", "factor": 8.0}}),
        ] {
            let hparams = llama(wrong.clone());
            assert!(!hparams.completed, "{wrong}");
            assert_eq!(hparams.uint(&["head_dim"]).unwrap(), None);
        }
    }

    fn completed(config: Value) -> Hparams {
        let hparams = Hparams::new(&object(config)).unwrap();
        assert!(hparams.completed);
        hparams
    }

    #[test]
    fn aliases_win_and_only_fields_are_filled() {
        let gpt2 = completed(json!({
            "model_type": "gpt2", "n_embd": 8, "hidden_size": 16, "max_position_embeddings": 96.0,
            "num_key_value_heads": null
        }));
        assert_eq!(gpt2.uint(&["n_embd"]).unwrap(), Some(16));
        assert_eq!(gpt2.uint(&["n_layer"]).unwrap(), Some(12));
        assert!(!gpt2.has("hidden_size"));
        assert_eq!(gpt2.uint(&["num_key_value_heads"]).unwrap(), None);
        let falcon = completed(json!({"model_type": "falcon", "hidden_size": 16, "n_embed": null}));
        assert_eq!(falcon.uint(&["hidden_size"]).unwrap(), Some(16));
        assert_eq!(falcon.uint(&["num_kv_heads"]).unwrap(), Some(71));
    }

    #[test]
    fn labels_that_are_counted_otherwise_are_made_up() {
        let labels = |own: Value| {
            let mut config = object(json!({"model_type": "bert"}));
            config.extend(object(own));
            let hparams = completed(Value::Object(config));
            hparams.labels().unwrap().map(|labels| labels.len())
        };
        assert_eq!(labels(json!({})), None);
        assert_eq!(labels(json!({"num_labels": 3})), Some(3));
        assert_eq!(labels(json!({"id2label": {"0": "a"}})), Some(1));
        assert_eq!(
            labels(json!({"id2label": {"0": "a", "1": "b"}, "num_labels": 2})),
            Some(2)
        );
        assert_eq!(
            labels(json!({"id2label": {"0": "a"}, "num_labels": 2})),
            None
        );
    }

    #[test]
    fn old_and_new_spellings_of_rope_agree() {
        let old = llama(json!({
            "rope_theta": 5e5, "max_position_embeddings": 99, "rope_scaling": {"type": "yarn", "factor": 4.0}
        }));
        let new = llama(json!({
            "max_position_embeddings": 99, "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "original_max_position_embeddings": 99
            }
        }));
        for key in [
            "rope_type",
            "rope_theta",
            "factor",
            "original_max_position_embeddings",
        ] {
            assert_eq!(old.rope().unwrap()[key], new.rope().unwrap()[key], "{key}");
        }
        assert!(old.find(&["rope_theta"]).is_none());
    }

    #[test]
    fn what_needs_more_than_hyper_parameters_is_refused() {
        for config in [json!({"text_config": {}}), json!({"draft_vocab_size": 9})] {
            let error = Hparams::new(&object(config)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn numbers_must_fit() {
        for value in [json!(-1), json!(1.5), json!(1u64 << 32), json!("1")] {
            assert!(uint(&value).is_err(), "{value}");
        }
        assert_eq!(float(&json!(3)).unwrap(), 3.0);
        assert!(float(&json!(1e39)).is_err());
    }
}

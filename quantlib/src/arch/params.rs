//! Hyper-parameters as GGUF keys, in the converter's order.

use super::family::{Family, Param};
use super::hparams::{Hparams, float, uint};
use super::keys::Keys;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use crate::model::{Array, Value};
use serde_json::Value as Json;

/// The keys that almost all architectures share, each with every spelling of its hyper-parameter.
pub(super) const SHARED_KEYS: &[Param] = &[
    Param::Uint("block_count", BLOCKS),
    Param::Uint(
        "context_length",
        &[
            "max_position_embeddings",
            "n_ctx",
            "n_positions",
            "max_length",
            "max_sequence_length",
            "model_max_length",
        ],
    ),
    Param::Uint("embedding_length", &["hidden_size", "n_embd", "dim"]),
    Param::Uints(
        "feed_forward_length",
        &[
            "prefix_dense_intermediate_size",
            "dense_intermediate_size",
            "intermediate_size",
            "n_inner",
            "hidden_dim",
        ],
    ),
    Param::Uints(
        "attention.head_count",
        &["num_attention_heads", "n_head", "n_heads"],
    ),
    Param::Uints(
        "attention.head_count_kv",
        &["num_key_value_heads", "n_kv_heads"],
    ),
    Param::NotCausal,
    Param::Rope,
    Param::Float(
        "attention.layer_norm_rms_epsilon",
        &["rms_norm_eps", "norm_eps"],
    ),
    Param::Float(
        "attention.layer_norm_epsilon",
        &["layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"],
    ),
    Param::Uint(
        "expert_count",
        &["num_local_experts", "num_experts", "n_routed_experts"],
    ),
    Param::Uints(
        "expert_used_count",
        &[
            "num_experts_per_tok",
            "num_experts_per_token",
            "top_k_experts",
        ],
    ),
    Param::Uint("expert_group_count", &["n_group"]),
    Param::Uint("expert_group_used_count", &["topk_group"]),
    Param::HeadLengths,
    Param::FileType,
];

/// Spellings of the number of blocks.
pub(super) const BLOCKS: &[&str] = &["n_layers", "num_hidden_layers", "n_layer", "num_layers"];

/// Adds all keys of hyper-parameters.
pub(super) fn write(
    keys: &mut Keys,
    family: &Family,
    folder: &Folder,
    hparams: &Hparams,
    file_type: u32,
) -> Result<()> {
    let mut writer = Writer {
        keys,
        arch: family.gguf,
        folder,
        hparams,
        file_type,
    };
    for param in family.params.iter().copied().flatten() {
        writer
            .param(param)
            .map_err(|e| e.in_file(folder.path().join("config.json")))?;
    }
    Ok(())
}

struct Writer<'w> {
    keys: &'w mut Keys,
    arch: &'static str,
    folder: &'w Folder,
    hparams: &'w Hparams,
    file_type: u32,
}

impl Writer<'_> {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.keys.set(format!("{}.{key}", self.arch), value);
    }

    fn param(&mut self, param: &Param) -> Result<()> {
        match *param {
            Param::Uint(key, names) => self.copy(key, names, |v| Ok(uint(v)?.into())),
            Param::Uints(key, names) => self.copy(key, names, uints),
            Param::Float(key, names) => self.copy(key, names, |v| Ok(float(v)?.into())),
            Param::Flag(key, value) => {
                self.set(key, value);
                Ok(())
            }
            Param::NotCausal => {
                if let Some((_, Json::Bool(false))) = self.hparams.find(&["is_causal"]) {
                    self.set("attention.causal", false);
                }
                Ok(())
            }
            Param::Rope => self.rope(),
            Param::RopeDimensions => {
                let dim = self.hparams.head_dim()?;
                self.set("rope.dimension_count", dim);
                Ok(())
            }
            Param::HeadLengths => {
                for key in ["attention.key_length", "attention.value_length"] {
                    self.copy(key, &["head_dim"], |v| Ok(uint(v)?.into()))?;
                }
                Ok(())
            }
            Param::FileType => {
                self.keys.set("general.file_type", self.file_type);
                Ok(())
            }
            Param::Pooling => self.pooling(),
            Param::Labels => self.labels(),
        }
    }

    fn copy(
        &mut self,
        key: &str,
        names: &[&'static str],
        convert: impl Fn(&Json) -> Result<Value>,
    ) -> Result<()> {
        if let Some((name, value)) = self.hparams.find(names) {
            let value = convert(value).map_err(|e| e.in_key(name))?;
            self.set(key, value);
        }
        Ok(())
    }

    fn rope(&mut self) -> Result<()> {
        let rope = self.hparams.rope();
        let kind = text(rope, "rope_type")?.unwrap_or_default();
        match kind {
            "linear" => self.scaled("linear", rope, &[])?,
            "yarn" => self.scaled("yarn", rope, YARN)?,
            "su" | "longrope" => self.set("rope.scaling.type", "longrope"),
            _ => {}
        }
        if let Some(sections) = rope.get("mrope_section") {
            let sections = four(sections).map_err(|e| e.in_key("mrope_section"))?;
            self.set("rope.dimension_sections", Array::I32(sections));
        }
        self.rope_float("rope.freq_base", rope, &["rope_theta"])?;
        if let Some(Json::Object(local)) = rope.get("sliding_attention") {
            self.rope_float("rope.freq_base_swa", local, &["rope_theta"])?;
        }
        Ok(())
    }

    /// The keys of a scaling, unless its factor is missing.
    fn scaled(&mut self, kind: &str, rope: &Object, own: &[RopeKey]) -> Result<()> {
        if rope.get("factor").is_none_or(Json::is_null) {
            return Ok(());
        }
        self.set("rope.scaling.type", kind);
        self.rope_float("rope.scaling.factor", rope, &["factor"])?;
        if kind == "yarn" {
            let name = "original_max_position_embeddings";
            let context = rope.get(name).unwrap_or(&Json::Null);
            let context = uint(context).map_err(|e| e.in_key(name))?;
            self.set("rope.scaling.original_context_length", context);
        }
        for (key, names) in own {
            self.rope_float(key, rope, names)?;
        }
        Ok(())
    }

    /// A float among the rope parameters, from the first of `names` that is there.
    fn rope_float(&mut self, key: &str, rope: &Object, names: &[&str]) -> Result<()> {
        let found = names
            .iter()
            .find_map(|name| Some((*name, rope.get(*name)?)));
        if let Some((name, value)) = found.filter(|(_, value)| !value.is_null()) {
            let value = float(value).map_err(|e| e.in_key(name))?;
            self.set(key, value);
        }
        Ok(())
    }

    /// The pooling that sentence-transformers' modules.json leads to.
    fn pooling(&mut self) -> Result<()> {
        let modules = self.folder.json("modules.json")?;
        let modules = modules.as_ref().and_then(Json::as_array);
        let module = modules.into_iter().flatten().find(|module| {
            let kind = module.get("type").and_then(Json::as_str);
            kind.is_some_and(|kind| kind.ends_with("Pooling"))
        });
        if let Some(module) = module {
            let path = module.get("path").and_then(Json::as_str).ok_or_else(|| {
                Error::malformed("the pooling module has no path")
                    .in_file(self.folder.path().join("modules.json"))
            })?;
            let file = format!("{path}/config.json");
            let config = self.folder.object(&file)?.ok_or_else(|| {
                Error::malformed(format!("the pooling module needs {file}"))
                    .in_file(self.folder.path())
            })?;
            let pooling =
                pooling_type(&config).map_err(|e| e.in_file(self.folder.path().join(&file)))?;
            self.set("pooling_type", pooling);
        }
        self.copy(
            "classifier.pooling_type",
            &["classifier_pooling"],
            |value| match value.as_str() {
                Some("mean") => Ok(MEAN.into()),
                Some("cls") => Ok(FIRST.into()),
                _ => Err(Error::unsupported(
                    "only pooling by mean or by the first token (cls) can be converted",
                )),
            },
        )
    }

    /// The labels of a classifier, unless they are the two that transformers makes up.
    fn labels(&mut self) -> Result<()> {
        let Some((_, Json::Object(labels))) = self.hparams.find(&["id2label"]) else {
            return Ok(());
        };
        let wrong =
            || Error::malformed("must have a text for every number from 0 on").in_key("id2label");
        let entry = |(id, label): (&String, &Json)| {
            Some((id.parse::<i64>().ok()?, label.as_str()?.to_owned()))
        };
        let labels: Option<Vec<_>> = labels.iter().map(entry).collect();
        let mut labels = labels.ok_or_else(wrong)?;
        labels.sort();
        let made_up = labels.len() == 2 && labels[0] == (0, "LABEL_0".to_owned());
        if !made_up {
            let labels = labels.iter().map(|(_, label)| label);
            self.set("classifier.output_labels", Array::String(labels.collect()));
        }
        Ok(())
    }
}

/// A key, and the spellings of its rope parameter.
type RopeKey = (&'static str, &'static [&'static str]);

const YARN: &[RopeKey] = &[
    ("rope.scaling.yarn_ext_factor", &["extrapolation_factor"]),
    (
        "rope.scaling.yarn_attn_factor",
        &["attention_factor", "attn_factor"],
    ),
    ("rope.scaling.yarn_beta_fast", &["beta_fast"]),
    ("rope.scaling.yarn_beta_slow", &["beta_slow"]),
];

// llama.cpp's numbers of poolings.
const MEAN: u32 = 1;
const FIRST: u32 = 2;
const LAST: u32 = 3;

/// llama.cpp's number of the pooling that a sentence-transformers module describes.
fn pooling_type(config: &Object) -> Result<u32> {
    let flags = [
        ("pooling_mode_mean_tokens", MEAN),
        ("pooling_mode_cls_token", FIRST),
        ("pooling_mode_lasttoken", LAST),
    ];
    let set = |key: &str| config.get(key) == Some(&Json::Bool(true));
    if let Some((_, number)) = flags.into_iter().find(|(key, _)| set(key)) {
        return Ok(number);
    }
    match config.get("pooling_mode").and_then(Json::as_str) {
        Some("mean") => Ok(MEAN),
        Some("cls") => Ok(FIRST),
        Some("lasttoken") => Ok(LAST),
        _ => Err(Error::unsupported(
            "only pooling by mean, by the first (cls) or by the last token can be converted",
        )),
    }
}

fn text<'r>(rope: &'r Object, key: &'static str) -> Result<Option<&'r str>> {
    match rope.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::malformed("must be a text").in_key(key)),
    }
}

/// One number, or an array of as many as there are blocks.
fn uints(value: &Json) -> Result<Value> {
    match value.as_array() {
        None => Ok(uint(value)?.into()),
        Some(list) => {
            let list: Result<Vec<_>> = list.iter().map(int).collect();
            Ok(Array::I32(list?).into())
        }
    }
}

fn int(value: &Json) -> Result<i32> {
    let number = value.as_i64().and_then(|n| n.try_into().ok());
    number
        .ok_or_else(|| Error::malformed(format!("must be a whole number of 32 bits, not {value}")))
}

/// The sections of a multi-dimensional rope: the first four, absent ones zero.
fn four(sections: &Json) -> Result<Vec<i32>> {
    let list = sections
        .as_array()
        .ok_or_else(|| Error::malformed("must be a list"))?;
    let mut list: Vec<i32> = list.iter().take(4).map(int).collect::<Result<_>>()?;
    list.resize(4, 0);
    Ok(list)
}

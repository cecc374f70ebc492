//! Configuration classes as transformers 5 has them: how they complete config.json.
//!
//! The classes themselves stand with the architectures, in [`families`](super::super::families).

use super::rope;
use crate::format::hf::Object;
use serde_json::{Map, Value, json};

/// One configuration class.
#[derive(Debug)]
pub(in crate::arch) struct ConfigClass {
    /// What config.json calls it.
    pub(in crate::arch) model_type: &'static str,
    /// Names that stand for those of fields, with the fields (`attribute_map`).
    pub(in crate::arch) aliases: &'static [(&'static str, &'static str)],
    /// Its fields, in groups that classes can share.
    pub(in crate::arch) fields: &'static [&'static [Field]],
    /// Whether it has rope parameters.
    pub(in crate::arch) rope: bool,
    /// Whether an absent length of heads is calculated.
    pub(in crate::arch) derives_head_dim: bool,
    /// Whether the heads must divide the width.
    pub(in crate::arch) even_heads: bool,
}

/// Name, accepted types and default of a field.
pub(in crate::arch) type Field = (&'static str, u8, Fallback);

/// Defaults that a GGUF file shows; of the other fields only the types matter, because one value
/// of a wrong type makes the whole configuration fail.
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) enum Fallback {
    Unseen,
    Int(i64),
    Float(f64),
    Null,
}
pub(in crate::arch) use Fallback::{Float, Int, Null, Unseen};

// The types a field accepts, as bits.
pub(in crate::arch) const INT: u8 = 1;
pub(in crate::arch) const FLOAT: u8 = 1 << 1;
pub(in crate::arch) const BOOL: u8 = 1 << 2;
pub(in crate::arch) const TEXT: u8 = 1 << 3;
pub(in crate::arch) const LIST: u8 = 1 << 4;
pub(in crate::arch) const MAP: u8 = 1 << 5;
pub(in crate::arch) const NONE: u8 = 1 << 6;

/// The fields of every class.
pub(in crate::arch) const COMMON: &[Field] = &[
    ("transformers_version", TEXT | NONE, Unseen),
    ("architectures", LIST | NONE, Unseen),
    ("output_hidden_states", BOOL | NONE, Unseen),
    ("return_dict", BOOL | NONE, Unseen),
    ("dtype", TEXT | NONE, Unseen),
    ("chunk_size_feed_forward", INT, Unseen),
    ("is_encoder_decoder", BOOL, Unseen),
    ("id2label", MAP | NONE, Unseen),
    ("label2id", MAP | NONE, Unseen),
    ("problem_type", TEXT | NONE, Unseen),
    ("pad_token_id", INT | NONE, Unseen),
    ("bos_token_id", INT | NONE, Unseen),
    ("eos_token_id", INT | LIST | NONE, Unseen),
    ("tie_word_embeddings", BOOL, Unseen),
    ("use_cache", BOOL, Unseen),
    ("hidden_act", TEXT, Unseen),
    ("initializer_range", FLOAT, Unseen),
];

impl ConfigClass {
    /// A description that says nothing yet.
    pub(in crate::arch) const BLANK: Self = Self {
        model_type: "",
        aliases: &[],
        fields: &[],
        rope: false,
        derives_head_dim: false,
        even_heads: false,
    };

    /// The name of the field that a name stands for.
    fn field<'n>(&self, name: &'n str) -> &'n str {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == name);
        alias.map_or(name, |(_, field)| field)
    }

    /// `config` with defaults and in today's spelling; `None` if transformers would not accept it.
    pub(super) fn complete(&self, config: &Object) -> Option<Object> {
        let mut values = config.clone();
        for (alias, field) in self.aliases {
            if let Some(value) = values.shift_remove(*alias) {
                set(&mut values, field, value);
            }
        }
        for (name, accepted, default) in self.fields.iter().copied().flatten() {
            match (values.get(*name), default) {
                (Some(value), _) if type_of(value) & accepted == 0 => return None,
                (Some(_), _) | (None, Unseen) => {}
                (None, Int(n)) => set(&mut values, name, json!(n)),
                (None, Float(x)) => set(&mut values, name, json!(x)),
                (None, Null) => set(&mut values, name, Value::Null),
            }
        }
        self.fill_heads(&mut values)?;
        if self.rope {
            rope::standardize(&mut values)?;
        }
        self.layers_fit(&values).then_some(())?;
        label(&mut values)?;
        Some(values)
    }

    /// Numbers of heads and their length, where they follow from others.
    fn fill_heads(&self, values: &mut Object) -> Option<()> {
        let heads = values.get(self.field("num_attention_heads"))?.as_i64()?;
        let width = values.get(self.field("hidden_size"))?.as_i64()?;
        let null = |key: &str| values.get(key).is_some_and(Value::is_null);
        let (no_kv, no_dim) = (null("num_key_value_heads"), null("head_dim"));
        if no_kv {
            set(values, "num_key_value_heads", json!(heads));
        }
        if self.derives_head_dim && no_dim {
            set(values, "head_dim", json!(width.checked_div(heads)?));
        }
        (!self.even_heads || width.checked_rem(heads)? == 0).then_some(())
    }

    fn layers_fit(&self, values: &Object) -> bool {
        let types = values.get("layer_types").and_then(Value::as_array);
        let layers = values.get(self.field("num_hidden_layers"));
        let layers = layers.and_then(Value::as_u64);
        types.is_none_or(|types| Some(types.len() as u64) == layers)
    }
}

/// `id2label` from `num_labels`, where only that is there.
fn label(values: &mut Object) -> Option<()> {
    if !matches!(values.get("id2label"), None | Some(Value::Null)) {
        return Some(());
    }
    let count = match values.get("num_labels") {
        Some(count) => count.as_u64().filter(|&n| n <= MAX_LABELS)?,
        None => 2,
    };
    let labels = (0..count).map(|i| (i.to_string(), json!(format!("LABEL_{i}"))));
    let labels = Value::Object(labels.collect::<Map<_, _>>());
    set(values, "id2label", labels);
    Some(())
}

/// More labels than any classifier has.
const MAX_LABELS: u64 = 1 << 20;

fn set(values: &mut Object, key: &str, value: Value) {
    values.insert(key.to_owned(), value);
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NONE,
        Value::Bool(_) => BOOL,
        Value::Number(n) if n.is_f64() => FLOAT,
        Value::Number(_) => INT,
        Value::String(_) => TEXT,
        Value::Array(_) => LIST,
        Value::Object(_) => MAP,
    }
}

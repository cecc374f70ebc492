//! The configuration classes of transformers 5: fields, their types and defaults.

use super::rope;
use crate::format::hf::Object;
use serde_json::{Map, Value, json};

/// One configuration class.
#[derive(Debug)]
pub(super) struct ConfigClass {
    /// What config.json calls it.
    pub(super) model_type: &'static str,
    fields: &'static [&'static [Field]],
    /// Whether it has rope parameters.
    rope: bool,
    /// Whether an absent length of heads is calculated.
    derives_head_dim: bool,
    /// Whether the heads must divide the width.
    even_heads: bool,
}

/// Name, accepted types and default of a field.
type Field = (&'static str, u8, Fallback);

/// Defaults that a GGUF file shows; of the other fields only the types matter, because one value
/// of a wrong type makes the whole configuration fail.
#[derive(Clone, Copy, Debug)]
enum Fallback {
    Unseen,
    Int(i64),
    Float(f64),
    Null,
}
use Fallback::{Float, Int, Null, Unseen};

// The types a field accepts, as bits.
const INT: u8 = 1;
const FLOAT: u8 = 1 << 1;
const BOOL: u8 = 1 << 2;
const TEXT: u8 = 1 << 3;
const LIST: u8 = 1 << 4;
const MAP: u8 = 1 << 5;
const NONE: u8 = 1 << 6;

/// The fields of every class.
const COMMON: &[Field] = &[
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

/// The fields of Qwen's classes.
const QWEN: &[Field] = &[
    ("vocab_size", INT, Int(151936)),
    ("hidden_size", INT, Int(4096)),
    ("intermediate_size", INT, Int(22016)),
    ("num_hidden_layers", INT, Int(32)),
    ("num_attention_heads", INT, Int(32)),
    ("num_key_value_heads", INT | NONE, Int(32)),
    ("max_position_embeddings", INT, Int(32768)),
    ("rms_norm_eps", FLOAT, Float(1e-6)),
    ("rope_parameters", MAP | NONE, Unseen),
    ("use_sliding_window", BOOL, Unseen),
    ("sliding_window", INT | NONE, Unseen),
    ("max_window_layers", INT, Unseen),
    ("layer_types", LIST | NONE, Unseen),
    ("attention_dropout", FLOAT | INT, Unseen),
];

/// The classes, which config.json's `model_type` chooses among.
pub(super) const ALL: &[ConfigClass] = &[
    ConfigClass {
        model_type: "llama",
        rope: true,
        derives_head_dim: true,
        even_heads: true,
        fields: &[
            COMMON,
            &[
                ("vocab_size", INT, Int(32000)),
                ("hidden_size", INT, Int(4096)),
                ("intermediate_size", INT, Int(11008)),
                ("num_hidden_layers", INT, Int(32)),
                ("num_attention_heads", INT, Int(32)),
                ("num_key_value_heads", INT | NONE, Null),
                ("max_position_embeddings", INT, Int(2048)),
                ("rms_norm_eps", FLOAT, Float(1e-6)),
                ("pretraining_tp", INT | NONE, Unseen),
                ("rope_parameters", MAP | NONE, Unseen),
                ("attention_bias", BOOL, Unseen),
                ("attention_dropout", INT | FLOAT | NONE, Unseen),
                ("mlp_bias", BOOL, Unseen),
                ("head_dim", INT | NONE, Null),
            ],
        ],
    },
    ConfigClass {
        model_type: "mistral",
        rope: true,
        derives_head_dim: true,
        even_heads: false,
        fields: &[
            COMMON,
            &[
                ("vocab_size", INT, Int(32000)),
                ("hidden_size", INT, Int(4096)),
                ("intermediate_size", INT, Int(14336)),
                ("num_hidden_layers", INT, Int(32)),
                ("num_attention_heads", INT, Int(32)),
                ("num_key_value_heads", INT, Int(8)),
                ("head_dim", INT | NONE, Null),
                ("max_position_embeddings", INT, Int(131072)),
                ("rms_norm_eps", FLOAT, Float(1e-6)),
                ("rope_parameters", MAP | NONE, Unseen),
                ("sliding_window", INT | NONE, Unseen),
                ("attention_dropout", FLOAT | INT, Unseen),
            ],
        ],
    },
    ConfigClass {
        model_type: "qwen2",
        rope: true,
        derives_head_dim: false,
        even_heads: false,
        fields: &[COMMON, QWEN],
    },
    ConfigClass {
        model_type: "qwen3",
        rope: true,
        derives_head_dim: false,
        even_heads: false,
        fields: &[
            COMMON,
            QWEN,
            &[
                ("head_dim", INT, Int(128)),
                ("attention_bias", BOOL, Unseen),
            ],
        ],
    },
    ConfigClass {
        model_type: "bert",
        rope: false,
        derives_head_dim: false,
        even_heads: false,
        fields: &[
            COMMON,
            &[
                ("vocab_size", INT, Int(30522)),
                ("hidden_size", INT, Int(768)),
                ("num_hidden_layers", INT, Int(12)),
                ("num_attention_heads", INT, Int(12)),
                ("intermediate_size", INT, Int(3072)),
                ("hidden_dropout_prob", FLOAT | INT, Unseen),
                ("attention_probs_dropout_prob", FLOAT | INT, Unseen),
                ("max_position_embeddings", INT, Int(512)),
                ("type_vocab_size", INT, Int(2)),
                ("layer_norm_eps", FLOAT, Float(1e-12)),
                ("classifier_dropout", FLOAT | INT | NONE, Unseen),
                ("is_decoder", BOOL, Unseen),
                ("add_cross_attention", BOOL, Unseen),
            ],
        ],
    },
];

impl ConfigClass {
    /// `config` with defaults and in today's spelling; `None` if transformers would not accept it.
    pub(super) fn complete(&self, config: &Object) -> Option<Object> {
        let mut values = config.clone();
        for (name, accepted, default) in self.fields.iter().copied().flatten() {
            match (config.get(*name), default) {
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
        let heads = values.get("num_attention_heads")?.as_i64()?;
        let width = values.get("hidden_size")?.as_i64()?;
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
        let layers = values.get("num_hidden_layers").and_then(Value::as_u64);
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

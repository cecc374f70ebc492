//! Configuration classes as transformers 5 has them: how they complete config.json.
//!
//! The classes themselves stand with the architectures, in [`families`](super::super::families).

use super::super::families;
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
    /// Its fields, in groups that classes can share; of several of one name the last counts.
    pub(in crate::arch) fields: &'static [&'static [Field]],
    /// The configurations it is composed of, by their keys; the language model's is `text_config`.
    pub(in crate::arch) parts: &'static [(&'static str, &'static ConfigClass)],
    /// Its rope parameters.
    pub(in crate::arch) rope: Rope,
    /// What it does beyond filling in defaults, in this order.
    pub(in crate::arch) rules: &'static [Rule],
}

/// The rope parameters of a configuration class, with the defaults of what a GGUF file shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) enum Rope {
    /// None.
    Absent,
    /// One set of them.
    One {
        /// The base frequency.
        theta: f64,
        /// The part of a head that is turned.
        partial: Option<f64>,
    },
    /// A set for layers that look at everything, and one for those with a sliding window.
    Two {
        /// The base frequency of the former.
        full: f64,
        /// What config.json calls that of the latter beside the sets, and its default.
        sliding: (&'static str, f64),
    },
    /// Phi 3's: a set of factors for each of two lengths of context.
    Long,
}

impl Rope {
    /// What most classes have.
    pub(in crate::arch) const USUAL: Self = Self::One {
        theta: 10000.0,
        partial: None,
    };
}

/// What a configuration class does beyond filling in defaults.
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) enum Rule {
    /// Calculates the length of heads where it is absent.
    DeriveHeadDim,
    /// Accepts only heads that divide the width.
    EvenHeads,
    /// Where `layer_types` is null, the last of every so many layers looks at everything, the
    /// others through a window.
    FullEvery(u64),
    /// The same, with the number that `sliding_window_pattern` may tell.
    FullEveryPattern(u64),
    /// A window that looks both ways is made even.
    EvenWindow,
    /// The part of a head that rope turns counts as the whole.
    RopeHead,
    /// Where there are no rope parameters, gpt-oss's yarn scaling.
    YarnByDefault,
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
    /// The value of another field, also in place of null.
    Same(&'static str),
    /// False.
    No,
    /// True.
    Yes,
}
pub(in crate::arch) use Fallback::{Float, Int, No, Null, Same, Unseen, Yes};

// The types a field accepts, as bits.
pub(in crate::arch) const INT: u8 = 1;
pub(in crate::arch) const FLOAT: u8 = 1 << 1;
pub(in crate::arch) const BOOL: u8 = 1 << 2;
pub(in crate::arch) const TEXT: u8 = 1 << 3;
pub(in crate::arch) const LIST: u8 = 1 << 4;
pub(in crate::arch) const MAP: u8 = 1 << 5;
pub(in crate::arch) const NONE: u8 = 1 << 6;
/// No field, whatever other classes have under the name.
pub(in crate::arch) const ANY: u8 = u8::MAX;

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

/// The kinds of layers that transformers knows, older names included.
const LAYERS: &[&str] = &[
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "window_attention",
    "indexed_attention",
    "compressed_sparse_attention",
    "heavily_compressed_attention",
    "minimax_m3_sparse",
    "conv",
    "moe",
    "hybrid",
    "hybrid_sliding",
    "reference_sliding_attention",
    "linear_attention",
    "mamba",
    "attention",
    "deepseek_sparse_attention",
    "qwen_sparse_attention",
];

impl ConfigClass {
    /// A description that says nothing yet.
    pub(in crate::arch) const BLANK: Self = Self {
        model_type: "",
        aliases: &[],
        fields: &[],
        parts: &[],
        rope: Rope::Absent,
        rules: &[],
    };

    /// The class that config.json names, if it is known.
    pub(super) fn of(config: &Object) -> Option<&'static Self> {
        let model_type = config.get("model_type")?.as_str()?;
        let mut classes = families::CONFIGS.iter().copied();
        classes.find(|class| class.model_type == model_type)
    }

    /// Whether its language model is only a part of it.
    pub(super) fn is_composite(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The name of the field that a name stands for.
    fn field<'n>(&self, name: &'n str) -> &'n str {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == name);
        alias.map_or(name, |(_, field)| field)
    }

    /// `config` with defaults and in today's spelling; `None` if transformers would not accept it.
    pub(super) fn complete(&self, config: &Object) -> Option<Object> {
        let mut values = config.clone();
        for (name, accepted, default) in self.fields() {
            match (values.get(name), default) {
                (Some(value), _) if type_of(value) & accepted == 0 => return None,
                (None | Some(Value::Null), Same(other)) => {
                    let value = values.get(other).cloned().unwrap_or_default();
                    set(&mut values, name, value);
                }
                (Some(_), _) | (None, Unseen) => {}
                (None, Int(n)) => set(&mut values, name, json!(n)),
                (None, Float(x)) => set(&mut values, name, json!(x)),
                (None, Null) => set(&mut values, name, Value::Null),
                (None, No) => set(&mut values, name, json!(false)),
                (None, Yes) => set(&mut values, name, json!(true)),
            }
        }
        // What an alias says wins, and its type is not looked at.
        for (alias, field) in self.aliases {
            if let Some(value) = values.shift_remove(*alias)
                && !value.is_null()
            {
                set(&mut values, field, value);
            }
        }
        for (key, part) in self.parts {
            let part = match values.get(*key) {
                Some(Value::Object(own)) => part.complete(own)?,
                _ => part.complete(&Object::new())?,
            };
            set(&mut values, key, Value::Object(part));
        }
        self.fill_heads(&mut values);
        for rule in self.rules {
            rule.apply(&mut values)?;
        }
        rope::standardize(self.rope, &mut values)?;
        self.layers_fit(&values).then_some(())?;
        label(&mut values)?;
        Some(values)
    }

    fn fields(&self) -> impl Iterator<Item = Field> {
        let all = || self.fields.iter().copied().flatten().copied();
        let again = move |at, name| all().skip(at + 1).any(|(later, ..)| later == name);
        all()
            .enumerate()
            .filter(move |&(at, (name, ..))| !again(at, name))
            .map(|(_, field)| field)
    }

    /// As many key heads as query heads, where their number is null.
    fn fill_heads(&self, values: &mut Object) {
        let heads = values.get(self.field("num_attention_heads")).cloned();
        let keys = values.get("num_key_value_heads");
        let known = self
            .fields()
            .any(|(name, ..)| name == "num_key_value_heads");
        if let (true, Some(heads), Some(Value::Null)) = (known, heads, keys) {
            set(values, "num_key_value_heads", heads);
        }
    }

    fn layers_fit(&self, values: &Object) -> bool {
        let types = values.get("layer_types").and_then(Value::as_array);
        let layers = values.get(self.field("num_hidden_layers"));
        let layers = layers.and_then(Value::as_u64);
        let known = |kind: &Value| kind.as_str().is_some_and(|kind| LAYERS.contains(&kind));
        types.is_none_or(|types| {
            types.len() as u64 == layers.unwrap_or(0) && types.iter().all(known)
        })
    }
}

impl Rule {
    /// Applies it; `None` if transformers would not accept the values.
    fn apply(self, values: &mut Object) -> Option<()> {
        let number = |key: &str| values.get(key).and_then(Value::as_i64);
        match self {
            Self::DeriveHeadDim => {
                let dim = number("hidden_size")?.checked_div(number("num_attention_heads")?)?;
                if values.get("head_dim").is_some_and(Value::is_null) {
                    set(values, "head_dim", json!(dim));
                }
                Some(())
            }
            Self::EvenHeads => {
                let rest = number("hidden_size")?.checked_rem(number("num_attention_heads")?)?;
                (rest == 0).then_some(())
            }
            Self::FullEvery(n) => fill_layers(values, n),
            Self::FullEveryPattern(n) => {
                let pattern = values.get("sliding_window_pattern");
                let pattern = pattern.map_or(Some(n), Value::as_u64);
                fill_layers(values, pattern?)
            }
            Self::EvenWindow => {
                let both_ways = values.get("use_bidirectional_attention");
                if both_ways == Some(&Value::Bool(true)) {
                    let window = number("sliding_window")?;
                    set(values, "sliding_window", json!(window.div_euclid(2) * 2));
                }
                Some(())
            }
            Self::RopeHead => {
                let turned = number("qk_rope_head_dim")?;
                set(values, "head_dim", json!(turned));
                Some(())
            }
            Self::YarnByDefault => {
                if values.get("rope_parameters").is_none_or(Value::is_null) {
                    let yarn = json!({
                        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                        "original_max_position_embeddings": 4096,
                    });
                    set(values, "rope_parameters", yarn);
                }
                Some(())
            }
        }
    }
}

/// Kinds of layers, where they are not given: the last of every `period` looks at everything.
fn fill_layers(values: &mut Object, period: u64) -> Option<()> {
    let layers = values.get("num_hidden_layers")?.as_u64()?;
    if values.get("layer_types").is_none_or(Value::is_null) {
        let kind = |i: u64| {
            (i + 1).checked_rem(period).map(|rest| match rest {
                0 => json!("full_attention"),
                _ => json!("sliding_attention"),
            })
        };
        let kinds = (0..layers.min(MAX_LAYERS))
            .map(kind)
            .collect::<Option<_>>()?;
        set(values, "layer_types", Value::Array(kinds));
    }
    Some(())
}

/// More layers than any model has.
const MAX_LAYERS: u64 = 1 << 16;

/// `id2label` from `num_labels`, where that is all there is or counts otherwise.
fn label(values: &mut Object) -> Option<()> {
    let given = values.get("id2label").and_then(Value::as_object);
    let given = given.map(|labels| labels.len() as u64);
    let counted = values.get("num_labels");
    if given.is_some() && (counted.is_none() || counted.and_then(Value::as_u64) == given) {
        return Some(());
    }
    let count = match counted {
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

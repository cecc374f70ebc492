//! config.json of a GGUF file, from its keys.

use crate::arch::rope_factors::Llama3;
use crate::error::{Error, Result};
use crate::format::hf::Object;
use crate::model::{Array, Metadata, Model, Value};
use serde_json::{Value as Json, json};

/// The keys of a GGUF file.
pub(super) struct Keys<'k> {
    metadata: &'k Metadata,
    arch: &'k str,
}

impl<'k> Keys<'k> {
    pub(super) fn new(metadata: &'k Metadata) -> Result<Self> {
        let arch = metadata.get("general.architecture").and_then(Value::as_str);
        Ok(Self {
            metadata,
            arch: arch.ok_or_else(|| {
                Error::malformed("is missing or no name").in_key("general.architecture")
            })?,
        })
    }

    pub(super) fn arch(&self) -> &'k str {
        self.arch
    }

    /// A value by its whole key.
    pub(super) fn get(&self, key: &str) -> Option<&'k Value> {
        self.metadata.get(key)
    }

    /// A value by its key without the architecture.
    fn own(&self, key: &str) -> (String, Option<&'k Value>) {
        let key = format!("{}.{key}", self.arch);
        let value = self.metadata.get(&key);
        (key, value)
    }

    /// A number that fits 32 bits, as all counts do; of an array, what all its elements are.
    pub(super) fn uint(&self, key: &str) -> Result<Option<u64>> {
        let (key, value) = self.own(key);
        let Some(value) = value else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|n| u32::try_from(*n).is_ok());
        number.map(Some).ok_or_else(|| {
            Error::unsupported(
                "is no number that holds for all blocks; convert the Hugging Face folder",
            )
            .in_key(key)
        })
    }

    pub(super) fn need_uint(&self, key: &str) -> Result<u64> {
        self.uint(key)?
            .ok_or_else(|| Error::malformed("is missing").in_key(format!("{}.{key}", self.arch)))
    }

    /// A number as it would be written by hand: the fewest digits that give the same f32.
    fn float(&self, key: &str) -> Result<Option<f64>> {
        let (key, value) = self.own(key);
        let number = match value {
            None => return Ok(None),
            Some(Value::F32(x)) => x.to_string().parse().ok(),
            Some(Value::F64(x)) => Some(*x),
            Some(_) => None,
        };
        let finite = number.filter(|x: &f64| x.is_finite());
        finite
            .map(Some)
            .ok_or_else(|| Error::malformed("must be a finite number").in_key(key))
    }

    fn text(&self, key: &str) -> Option<&'k str> {
        self.own(key).1.and_then(Value::as_str)
    }
}

/// An architecture of GGUF with its names elsewhere.
struct Known {
    arch: &'static str,
    model_type: &'static str,
    class: &'static str,
    /// Keys beyond those of all.
    own: &'static [(&'static str, &'static str)],
}

const KNOWN: &[Known] = &[
    Known {
        arch: "llama",
        model_type: "llama",
        class: "LlamaForCausalLM",
        own: &[],
    },
    Known {
        arch: "qwen2",
        model_type: "qwen2",
        class: "Qwen2ForCausalLM",
        own: &[],
    },
    Known {
        arch: "qwen3",
        model_type: "qwen3",
        class: "Qwen3ForCausalLM",
        own: &[],
    },
    Known {
        arch: "gpt-oss",
        model_type: "gpt_oss",
        class: "GptOssForCausalLM",
        own: &[
            ("intermediate_size", "expert_feed_forward_length"),
            ("num_local_experts", "expert_count"),
            ("num_experts_per_tok", "expert_used_count"),
            ("sliding_window", "attention.sliding_window"),
        ],
    },
];

/// What all have.
const COUNTS: &[(&str, &str)] = &[
    ("num_hidden_layers", "block_count"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("max_position_embeddings", "context_length"),
];

pub(super) fn knows(arch: &str) -> bool {
    KNOWN.iter().any(|known| known.arch == arch)
}

/// The architectures, for messages.
pub(super) fn known() -> String {
    let names: Vec<_> = KNOWN.iter().map(|known| known.arch).collect();
    names.join(", ")
}

/// config.json.
pub(super) fn config(model: &Model, keys: &Keys<'_>) -> Result<Object> {
    let known = KNOWN.iter().find(|known| known.arch == keys.arch());
    let known =
        known.ok_or_else(|| Error::unsupported("is not known").in_key("general.architecture"))?;
    if keys.uint("expert_count")?.is_some_and(|count| count > 0) && known.arch == "llama" {
        return Err(Error::unsupported(
            "has experts, and Mixtral has no way back from GGUF; convert its Hugging Face folder",
        )
        .in_key("llama.expert_count"));
    }
    let mut config = Object::new();
    let mut set = |name: &str, value: Json| config.insert(name.to_owned(), value);
    set("architectures", json!([known.class]));
    set("model_type", json!(known.model_type));
    for (name, key) in COUNTS.iter().chain(known.own) {
        if let Some(count) = keys.uint(key)? {
            set(name, json!(count));
        }
    }
    let heads = keys.need_uint("attention.head_count")?.max(1);
    let head = match keys.uint("attention.key_length")? {
        Some(len) => len,
        None => keys.need_uint("embedding_length")? / heads,
    };
    set("head_dim", json!(head));
    let embeddings = model
        .tensor("token_embd.weight")
        .and_then(|info| info.shape.first());
    let rows =
        embeddings.ok_or_else(|| Error::malformed("is missing").in_tensor("token_embd.weight"))?;
    set("vocab_size", json!(rows));
    set(
        "tie_word_embeddings",
        json!(model.tensor("output.weight").is_none()),
    );
    let epsilon = keys.float("attention.layer_norm_rms_epsilon")?;
    set("rms_norm_eps", json!(epsilon.unwrap_or(1e-6)));
    let theta = keys.float("rope.freq_base")?.unwrap_or(10000.0);
    set("rope_theta", json!(theta));
    if let Some(scaling) = scaling(model, keys, theta, head)? {
        set("rope_scaling", scaling);
    }
    let biased = |name: &str| model.tensor(name).is_some();
    if known.arch == "llama" {
        set("attention_bias", json!(biased("blk.0.attn_q.bias")));
        set("mlp_bias", json!(biased("blk.0.ffn_gate.bias")));
    }
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
        let id = keys.get(&format!("tokenizer.ggml.{key}_token_id"));
        if let Some(id) = id.and_then(Value::as_u64) {
            set(name, json!(id));
        }
    }
    Ok(config)
}

/// `rope_scaling`, if the model has any.
fn scaling(model: &Model, keys: &Keys<'_>, theta: f64, head: u64) -> Result<Option<Json>> {
    if model.tensor("rope_freqs.weight").is_some() {
        return llama3(model, theta, head).map(Some);
    }
    let kind = keys.text("rope.scaling.type").unwrap_or("none");
    let factor = keys.float("rope.scaling.factor")?;
    match (kind, factor) {
        ("none", _) => Ok(None),
        ("linear", Some(factor)) => Ok(Some(
            json!({"type": "linear", "rope_type": "linear", "factor": factor}),
        )),
        ("yarn", Some(factor)) => {
            let mut yarn = json!({"type": "yarn", "rope_type": "yarn", "factor": factor});
            if let Some(context) = keys.uint("rope.scaling.original_context_length")? {
                yarn["original_max_position_embeddings"] = json!(context);
            }
            for (name, key) in [
                ("beta_fast", "rope.scaling.yarn_beta_fast"),
                ("beta_slow", "rope.scaling.yarn_beta_slow"),
            ] {
                if let Some(beta) = keys.float(key)? {
                    yarn[name] = json!(beta);
                }
            }
            // The keys say nothing of it, but all its models are so, unlike what is the default.
            if keys.arch() == "gpt-oss" {
                yarn["truncate"] = json!(false);
            }
            Ok(Some(yarn))
        }
        _ => Err(Error::unsupported(format!(
            "rope scaling of type '{kind}' has no way back; convert the Hugging Face folder"
        ))
        .in_key(format!("{}.rope.scaling.type", keys.arch()))),
    }
}

/// The scalings that models of Llama 3.1 and later have: factor, and original length.
const LLAMA3: &[(f64, f64)] = &[(8.0, 8192.0), (32.0, 8192.0), (16.0, 8192.0), (4.0, 8192.0)];

/// The scaling whose factors these are: they cannot be taken apart, but they can be recognized.
fn llama3(model: &Model, theta: f64, head: u64) -> Result<Json> {
    const NAME: &str = "rope_freqs.weight";
    let stored = model.read(NAME)?;
    let (stored, _) = stored.as_chunks::<4>();
    let stored: Vec<f32> = stored.iter().map(|x| f32::from_le_bytes(*x)).collect();
    let found = LLAMA3.iter().find(|(factor, context)| {
        let scaling = Llama3 {
            base: theta,
            factor: *factor,
            low: 1.0,
            high: 4.0,
            context: *context,
        };
        let factors = (0..head as u32).step_by(2);
        factors
            .map(|i| scaling.factor(i, head as u32))
            .eq(stored.iter().copied())
    });
    let (factor, context) = found.ok_or_else(|| {
        Error::unsupported("are factors of no known rope scaling; convert the Hugging Face folder")
            .in_tensor(NAME)
    })?;
    Ok(json!({
        "type": "llama3",
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": *context as u64,
    }))
}

/// The strings of an array.
pub(super) fn strings<'k>(keys: &Keys<'k>, key: &str) -> Option<&'k crate::model::StringArray> {
    match keys.get(key)?.as_array()? {
        Array::String(strings) => Some(strings),
        _ => None,
    }
}

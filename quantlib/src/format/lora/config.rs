//! `adapter_config.json`: what PEFT says about an adapter.

use crate::error::{Error, Result};
use crate::format::hf::Object;
use regex::Regex;
use serde_json::Value;

/// Keys that say nothing about what an adapter adds to which matrix: how it was trained, and which
/// modules got one, which its tensors tell as well.
const HARMLESS: &[&str] = &[
    "alora_invocation_tokens",
    "auto_mapping",
    "base_model_class",
    "base_model_name_or_path",
    "bias",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "invocation_string",
    "layers_pattern",
    "layers_to_transform",
    "library_name",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "parent_library",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "alpha_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// The initializations that leave the base model as it is. Others move part of its weights into the
/// adapter, which fits only the model that is left.
const PLAIN_INITS: &[&str] = &["gaussian", "eva", "orthogonal"];

/// The configuration of a LoRA adapter.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    rank: usize,
    alpha: f64,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    rank_stabilized: bool,
    /// Whether matrices are stored with inputs as rows, as in GPT-2's `Conv1D`.
    pub fan_in_fan_out: bool,
    /// The base model: a folder or a name on the hub.
    pub base_model: Option<String>,
    /// Tokens that switch an activated adapter (aLoRA) on, if it is one.
    pub invocation_tokens: Vec<u32>,
    object: Object,
}

impl AdapterConfig {
    /// Reads the object of `adapter_config.json`.
    ///
    /// # Errors
    /// `unsupported` for adapters that are no LoRA, `malformed` for values of a wrong type or range;
    /// each names the key.
    pub fn new(object: Object) -> Result<Self> {
        match text(&object, "peft_type")? {
            Some(kind) if kind.eq_ignore_ascii_case("lora") => {}
            Some(kind) => {
                return Err(Error::unsupported(format!(
                    "'{kind}' adapters cannot be read, only LORA; merge it with PEFT's merge_and_unload"
                ))
                .in_key("peft_type"));
            }
            None => {
                return Err(Error::malformed("is missing; it must be \"LORA\"").in_key("peft_type"));
            }
        }
        let need = |key: &'static str| {
            let value = object.get(key).filter(|value| !value.is_null());
            value.ok_or_else(|| Error::malformed("is missing").in_key(key))
        };
        Ok(Self {
            rank: rank(need("r")?).map_err(|e| e.in_key("r"))?,
            alpha: alpha(need("lora_alpha")?).map_err(|e| e.in_key("lora_alpha"))?,
            ranks: patterns(&object, "rank_pattern", rank)?,
            alphas: patterns(&object, "alpha_pattern", alpha)?,
            rank_stabilized: flag(&object, "use_rslora")?,
            fan_in_fan_out: flag(&object, "fan_in_fan_out")?,
            base_model: text(&object, "base_model_name_or_path")?.map(str::to_owned),
            invocation_tokens: invocation_tokens(&object)?,
            object,
        })
    }

    /// `lora_alpha`, without the exceptions of `alpha_pattern`.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The rank that a module's matrices must have.
    pub fn rank_of(&self, module: &str) -> usize {
        find(&self.ranks, module).unwrap_or(self.rank)
    }

    /// The factor of a module's product: alpha/r, or alpha/√r if it is rank-stabilized.
    pub fn scaling_of(&self, module: &str) -> f64 {
        let alpha = find(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank_of(module) as f64;
        alpha
            / if self.rank_stabilized {
                rank.sqrt()
            } else {
                rank
            }
    }

    /// Whether every module's factor is `lora_alpha / r`, which is all that a GGUF adapter can say.
    pub fn is_plainly_scaled(&self) -> bool {
        !self.rank_stabilized && self.alphas.is_empty()
    }

    /// Fails if merging means something else than adding products to the base model's matrices.
    ///
    /// # Errors
    /// `unsupported`, with the key.
    pub fn check_mergeable(&self) -> Result<()> {
        let refuse = |key: &str, what: String| Err(Error::unsupported(what).in_key(key));
        for (key, value) in &self.object {
            if !HARMLESS.contains(&key.as_str()) && truthy(value) {
                return refuse(
                    key,
                    format!(
                        "{value} is a kind of adapter that cannot be merged here; merge it with PEFT's merge_and_unload"
                    ),
                );
            }
        }
        match self.object.get("init_lora_weights") {
            Some(Value::String(init)) if !PLAIN_INITS.contains(&init.as_str()) => refuse(
                "init_lora_weights",
                format!("'{init}' has changed the base model too; save the adapter with PEFT's path_initial_model_for_weight_conversion, or merge it with PEFT"),
            ),
            _ if !self.invocation_tokens.is_empty() => refuse(
                "alora_invocation_tokens",
                "an activated adapter works from some token on, so it cannot be merged; convert it to a GGUF adapter".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(true) => true,
    }
}

fn text<'o>(object: &'o Object, key: &str) -> Result<Option<&'o str>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::malformed(format!("must be a text, not {other}")).in_key(key)),
    }
}

fn flag(object: &Object, key: &str) -> Result<bool> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => {
            Err(Error::malformed(format!("must be true or false, not {other}")).in_key(key))
        }
    }
}

fn rank(value: &Value) -> Result<usize> {
    let rank = value.as_u64().filter(|rank| *rank > 0);
    rank.and_then(|rank| rank.try_into().ok())
        .ok_or_else(|| Error::malformed(format!("must be a whole number from 1 on, not {value}")))
}

fn alpha(value: &Value) -> Result<f64> {
    let alpha = value.as_f64().filter(|alpha| (*alpha as f32).is_finite());
    alpha.ok_or_else(|| Error::malformed(format!("must be a number that f32 holds, not {value}")))
}

/// Exceptions by pattern: PEFT takes the first that matches a module's name to its end, from its
/// begin or from behind a dot on.
fn patterns<T>(
    object: &Object,
    key: &str,
    parse: impl Fn(&Value) -> Result<T>,
) -> Result<Vec<(Regex, T)>> {
    let entries = match object.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => {
            return Err(Error::malformed(format!("must be an object, not {other}")).in_key(key));
        }
    };
    let entry = |(pattern, value): (&String, &Value)| {
        let regex = Regex::new(&format!(r"^(.*\.)?({pattern})$")).map_err(|_| {
            Error::unsupported(format!("'{pattern}' is no pattern that can be read here"))
        })?;
        Ok((regex, parse(value)?))
    };
    let entries: Result<_> = entries.iter().map(entry).collect();
    entries.map_err(|e| e.in_key(key))
}

fn find<T: Copy>(patterns: &[(Regex, T)], module: &str) -> Option<T> {
    let found = patterns.iter().find(|(regex, _)| regex.is_match(module));
    found.map(|(_, value)| *value)
}

fn invocation_tokens(object: &Object) -> Result<Vec<u32>> {
    let key = "alora_invocation_tokens";
    let list = match object.get(key) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Error::malformed("must be a list of tokens").in_key(key)),
    };
    let token = |value: &Value| value.as_u64().and_then(|token| token.try_into().ok());
    let tokens: Option<Vec<u32>> = list.iter().map(token).collect();
    let tokens = tokens.ok_or_else(|| Error::malformed("must be a list of tokens").in_key(key))?;
    match text(object, "invocation_string")? {
        Some(invocation) if !invocation.is_empty() && tokens.is_empty() => Err(Error::unsupported(
            format!("'{invocation}' must be given as tokens; add \"alora_invocation_tokens\""),
        )
        .in_key("invocation_string")),
        _ => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde_json::json;

    fn config(own: Value) -> Result<AdapterConfig> {
        let mut object = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8});
        let (all, own) = (object.as_object_mut().unwrap(), own.as_object().unwrap());
        all.extend(own.clone());
        AdapterConfig::new(all.clone())
    }

    #[test]
    fn patterns_match_ends_of_names() {
        let config = config(json!({
            "rank_pattern": {"q_proj": 16, r"^model\.layers\.1\..*": 2},
            "alpha_pattern": {"layers.1.mlp.up_proj": 5}
        }))
        .unwrap();
        assert_eq!(config.rank_of("model.layers.1.q_proj"), 16);
        assert_eq!(config.rank_of("model.layers.1.up_proj"), 2);
        assert_eq!(config.rank_of("model.layers.1.my_q_proj"), 2);
        assert_eq!(config.rank_of("model.layers.0.my_q_proj"), 4);
        assert_eq!(config.scaling_of("model.layers.1.mlp.up_proj"), 2.5);
        assert_eq!(config.scaling_of("model.layers.0.q_proj"), 0.5);
        assert!(!config.is_plainly_scaled());
    }

    #[test]
    fn rank_stabilized_factors() {
        let config = config(json!({"use_rslora": true})).unwrap();
        assert_eq!(config.scaling_of("x"), 4.0);
        assert!(!config.is_plainly_scaled());
    }

    #[test]
    fn wrong_values_name_their_key() {
        for (own, key, kind) in [
            (
                json!({"peft_type": "LOHA"}),
                "peft_type",
                ErrorKind::Unsupported,
            ),
            (
                json!({"peft_type": null}),
                "peft_type",
                ErrorKind::Malformed,
            ),
            (json!({"r": 0}), "r", ErrorKind::Malformed),
            (json!({"r": -1}), "r", ErrorKind::Malformed),
            (
                json!({"lora_alpha": "NaN"}),
                "lora_alpha",
                ErrorKind::Malformed,
            ),
            (
                json!({"lora_alpha": 1e39}),
                "lora_alpha",
                ErrorKind::Malformed,
            ),
            (
                json!({"rank_pattern": {"a": 0}}),
                "rank_pattern",
                ErrorKind::Malformed,
            ),
            (
                json!({"alpha_pattern": {"(": 1}}),
                "alpha_pattern",
                ErrorKind::Unsupported,
            ),
            (json!({"use_rslora": 1}), "use_rslora", ErrorKind::Malformed),
            (
                json!({"alora_invocation_tokens": [-1]}),
                "alora_invocation_tokens",
                ErrorKind::Malformed,
            ),
            (
                json!({"invocation_string": "hi"}),
                "invocation_string",
                ErrorKind::Unsupported,
            ),
        ] {
            let error = config(own.clone()).unwrap_err();
            assert_eq!((error.key(), error.kind()), (Some(key), kind), "{own}");
        }
    }

    #[test]
    fn what_is_no_plain_sum_is_not_merged() {
        assert!(config(json!({"bias": "all", "init_lora_weights": "gaussian", "loftq_config": {}, "use_dora": false}))
            .unwrap()
            .check_mergeable()
            .is_ok());
        for (own, key) in [
            (json!({"use_dora": true}), "use_dora"),
            (json!({"layer_replication": [[0, 1]]}), "layer_replication"),
            (json!({"use_bdlora": {"nblocks": 2}}), "use_bdlora"),
            (
                json!({"target_parameters": ["experts.up"]}),
                "target_parameters",
            ),
            (
                json!({"init_lora_weights": "pissa_niter_4"}),
                "init_lora_weights",
            ),
            (
                json!({"alora_invocation_tokens": [1]}),
                "alora_invocation_tokens",
            ),
            (json!({"lora_bias": true}), "lora_bias"),
            (json!({"some_new_kind": 0.5}), "some_new_kind"),
        ] {
            let error = config(own).unwrap().check_mergeable().unwrap_err();
            assert_eq!(
                (error.key(), error.kind()),
                (Some(key), ErrorKind::Unsupported)
            );
        }
    }
}

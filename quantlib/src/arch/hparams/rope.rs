//! Rope parameters: old and new spellings brought to one.

use super::Hparams;
use super::classes::Rope;
use crate::error::{Error, Result};
use crate::format::hf::Object;
use serde_json::{Value, json};

/// What transformers makes of `rope_theta`, `rope_scaling` and `rope_parameters`: one object
/// under `rope_parameters`. `None` if it would not accept them.
pub(super) fn standardize(class: Rope, values: &mut Object) -> Option<()> {
    let Rope::One { theta, partial } = class else {
        return Some(());
    };
    let old = values.remove("rope_scaling");
    let new = values.remove("rope_parameters");
    let mut rope = match old {
        Some(Value::Object(rope)) if !rope.is_empty() => rope,
        None | Some(Value::Null | Value::Object(_)) => match new {
            Some(Value::Object(rope)) => rope,
            _ => Object::new(),
        },
        Some(_) => return None,
    };
    let theta = values.remove("rope_theta").unwrap_or(json!(theta));
    rope.entry("rope_theta").or_insert(theta);
    let partial = match values.remove("partial_rotary_factor") {
        None => partial.map(|factor| json!(factor)),
        Some(factor) => Some(factor).filter(|factor| !factor.is_null()),
    };
    if let Some(factor) = partial {
        rope.entry("partial_rotary_factor").or_insert(factor);
    }
    let old_type = rope.get("type").cloned().unwrap_or(json!("default"));
    let kind = rope.entry("rope_type").or_insert(old_type).clone();
    if matches!(kind.as_str(), Some("llama3" | "yarn" | "longrope")) {
        let context = values.get("max_position_embeddings").cloned();
        rope.entry("original_max_position_embeddings")
            .or_insert(context.unwrap_or_default());
    }
    let needed: &[&str] = match kind.as_str()? {
        "linear" | "dynamic" | "yarn" => &["factor"],
        "longrope" => &["short_factor", "long_factor"],
        "llama3" => &["factor", "low_freq_factor", "high_freq_factor"],
        _ => &[],
    };
    let complete = needed.iter().all(|key| rope.contains_key(*key));
    (complete && even(values, &rope)).then_some(())?;
    values.insert("rope_parameters".to_owned(), Value::Object(rope));
    Some(())
}

/// Whether whole heads can be turned in pairs; transformers lets tiny odd ones pass.
fn even(values: &Object, rope: &Object) -> bool {
    let head_dim = values.get("head_dim").and_then(Value::as_i64);
    let partial = rope.get("partial_rotary_factor").and_then(Value::as_f64);
    let odd = head_dim.is_some_and(|dim| dim > 4 && dim % 2 == 1);
    !odd || partial.is_some_and(|factor| factor < 1.0)
}

/// Spellings of the base frequency outside the rope parameters.
const THETA: &[&str] = &[
    "global_rope_theta",
    "rope_global_theta",
    "rope_theta_global",
    "rope_theta",
    "rotary_emb_base",
];

/// Spellings of the base frequency of layers with a sliding window.
const LOCAL_THETA: &[&str] = &[
    "local_rope_theta",
    "rope_local_theta",
    "rope_theta_local",
    "swa_rope_theta",
    "rope_local_base_freq",
];

/// The rope parameters that the converter works with: those of config.json, completed from
/// spellings beside them.
pub(super) fn parameters(hparams: &Hparams) -> Result<Object> {
    let present = ["rope_parameters", "rope_scaling"]
        .into_iter()
        .find_map(|key| Some((key, hparams.values.get(key)?)));
    let mut rope = match present {
        Some((_, Value::Object(rope))) => rope.clone(),
        None | Some((_, Value::Null)) => Object::new(),
        Some((key, _)) => return Err(Error::malformed("must be an object").in_key(key)),
    };
    if rope.contains_key("full_attention") || rope.contains_key("sliding_attention") {
        return Err(Error::unsupported(
            "rope parameters that differ between layers are not among the known architectures",
        )
        .in_key("rope_parameters"));
    }
    if let Some((_, theta)) = hparams.find(LOCAL_THETA) {
        rope.insert("sliding_attention".into(), json!({ "rope_theta": theta }));
    }
    let kind = rope.get("type").cloned();
    let outside = |names| hparams.find(names).map(|(_, value)| value.clone());
    let additions = [
        ("rope_theta", outside(THETA)),
        ("rope_type", kind.filter(|kind| !kind.is_null())),
        (
            "partial_rotary_factor",
            outside(&["partial_rotary_factor", "rope_pct", "rope_percent"]),
        ),
        (
            "original_max_position_embeddings",
            outside(&["original_max_position_embeddings"]),
        ),
    ];
    for (key, value) in additions {
        if let Some(value) = value {
            rope.entry(key).or_insert(value);
        }
    }
    Ok(rope)
}

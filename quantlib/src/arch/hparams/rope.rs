//! Rope parameters: old and new spellings brought to one.

use super::Hparams;
use super::classes::Rope;
use crate::error::{Error, Result};
use crate::format::hf::Object;
use serde_json::{Value, json};

/// What transformers makes of `rope_theta`, `rope_scaling` and `rope_parameters`: one object
/// under `rope_parameters`. `None` if it would not accept them.
pub(super) fn standardize(class: Rope, values: &mut Object) -> Option<()> {
    let rope = match class {
        Rope::Absent => return Some(()),
        Rope::One { theta, partial } => one(values, theta, partial)?,
        Rope::Two { full, sliding } => two(values, full, sliding)?,
        Rope::Long => long(values)?,
    };
    values.insert("rope_parameters".to_owned(), Value::Object(rope));
    Some(())
}

/// One set of parameters, or one for every kind of layer if config.json has them so.
fn one(values: &mut Object, theta: f64, partial: Option<f64>) -> Option<Object> {
    let mut rope = given(values)?;
    let theta = values.remove("rope_theta").unwrap_or(json!(theta));
    let partial = match values.remove("partial_rotary_factor") {
        None => partial.map(|factor| json!(factor)),
        Some(factor) => Some(factor).filter(|factor| !factor.is_null()),
    };
    for set in sets(values, &mut rope)? {
        set.entry("rope_theta").or_insert(theta.clone());
        if let Some(factor) = &partial {
            set.entry("partial_rotary_factor").or_insert(factor.clone());
        }
        let kind = name_type(set)?;
        move_context(&kind, set, values);
        accepts(&kind, set, values).then_some(())?;
    }
    Some(rope)
}

/// A set for layers that look at everything and one for those that look through a window.
fn two(values: &mut Object, full: f64, sliding: (&str, f64)) -> Option<Object> {
    let blank = || json!({"rope_type": "default"});
    let scaling = values.remove("rope_scaling");
    let mut rope = match values.remove("rope_parameters") {
        Some(Value::Object(rope)) => rope,
        _ => [(FULL, blank()), (SLIDING, blank())]
            .map(|(layers, set)| (layers.to_owned(), set))
            .into_iter()
            .collect(),
    };
    match scaling {
        None | Some(Value::Null) => {}
        Some(Value::Object(scaling)) => rope.get_mut(FULL)?.as_object_mut()?.extend(scaling),
        Some(_) => return None,
    }
    for (layers, key, theta) in [(FULL, "rope_theta", full), (SLIDING, sliding.0, sliding.1)] {
        let theta = values.remove(key).unwrap_or(json!(theta));
        let set = rope.entry(layers).or_insert_with(blank);
        if set.is_null() {
            *set = blank();
        }
        set.as_object_mut()?.entry("rope_theta").or_insert(theta);
    }
    for set in sets(values, &mut rope)? {
        let kind = name_type(set)?;
        move_context(&kind, set, values);
        accepts(&kind, set, values).then_some(())?;
    }
    Some(rope)
}

/// Phi 3's parameters: the context it was trained with stands beside them, and older names of
/// its scaling are still in use.
fn long(values: &mut Object) -> Option<Object> {
    let mut rope = given(values)?;
    let theta = values.remove("rope_theta").unwrap_or(json!(10000.0));
    let partial = values.get("partial_rotary_factor").cloned();
    rope.entry("rope_theta").or_insert(theta);
    let partial = rope
        .entry("partial_rotary_factor")
        .or_insert(partial.unwrap_or(json!(1.0)))
        .as_f64()?;
    let kind = name_type(&mut rope)?;
    let context = "original_max_position_embeddings";
    if scales_context(&kind) {
        let trained = values.get(context).cloned().unwrap_or_default();
        rope.insert(context.to_owned(), trained);
    }
    let kind = match kind.as_str() {
        "su" | "yarn" => "longrope",
        "default" | "longrope" => &kind,
        _ => return None,
    };
    rope.insert("rope_type".to_owned(), kind.into());
    let number = |key: &str| values.get(key).and_then(Value::as_i64);
    let head = number("hidden_size")?.checked_div(number("num_attention_heads")?)?;
    let pairs = (head as f64 * partial).trunc() as i64 / 2;
    let fits = |factors: &Value| match factors {
        Value::Null => true,
        Value::Array(list) => list.len() as i64 == pairs && list.iter().all(is_number),
        _ => false,
    };
    let factors = ["short_factor", "long_factor"];
    let fit = factors.iter().all(|key| rope.get(*key).is_none_or(fits));
    let complete =
        kind == "default" || (rope.contains_key(context) && accepts(kind, &rope, values));
    (fit && complete).then_some(rope)
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_boolean()
}

/// The parameters in the old spelling, else in the new one.
fn given(values: &mut Object) -> Option<Object> {
    let old = values.remove("rope_scaling");
    let new = values.remove("rope_parameters");
    match old {
        Some(Value::Object(rope)) if !rope.is_empty() => Some(rope),
        None | Some(Value::Null | Value::Object(_)) => match new {
            Some(Value::Object(rope)) => Some(rope),
            _ => Some(Object::new()),
        },
        Some(_) => None,
    }
}

/// Kinds of layers, as sets of parameters are named.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// The sets that belong to the model's kinds of layers; the parameters themselves, if none do.
fn sets<'r>(values: &Object, rope: &'r mut Object) -> Option<Vec<&'r mut Object>> {
    let layers = values.get("layer_types").and_then(Value::as_array);
    let kinds = layers.map_or(&[][..], Vec::as_slice);
    let nested = |name: &String| kinds.iter().any(|kind| kind.as_str() == Some(name));
    if !rope.keys().any(nested) {
        return Some(vec![rope]);
    }
    let sets = rope
        .iter_mut()
        .filter(|(name, set)| nested(name) && !set.is_null());
    sets.map(|(_, set)| set.as_object_mut()).collect()
}

/// The type of a set, under its new name.
fn name_type(set: &mut Object) -> Option<String> {
    let old = set.get("type").cloned().unwrap_or(json!("default"));
    let kind = set.entry("rope_type").or_insert(old);
    kind.as_str().map(str::to_owned)
}

fn scales_context(kind: &str) -> bool {
    matches!(kind, "llama3" | "yarn" | "longrope")
}

/// The context that a scaled model was trained with, where the set does not say it.
fn move_context(kind: &str, set: &mut Object, values: &Object) {
    if scales_context(kind) {
        let context = values.get("max_position_embeddings").cloned();
        set.entry("original_max_position_embeddings")
            .or_insert(context.unwrap_or_default());
    }
}

/// Whether a set has what its type needs, for heads that can be turned.
fn accepts(kind: &str, set: &Object, values: &Object) -> bool {
    let needed: &[&str] = match kind {
        "linear" | "dynamic" | "yarn" => &["factor"],
        "longrope" => &["short_factor", "long_factor"],
        "llama3" => &["factor", "low_freq_factor", "high_freq_factor"],
        _ => &[],
    };
    needed.iter().all(|key| set.contains_key(*key)) && even(values, set)
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
    if rope.contains_key(FULL) || rope.contains_key(SLIDING) {
        return Ok(rope);
    }
    if let Some((_, theta)) = hparams.find(LOCAL_THETA) {
        rope.insert(SLIDING.into(), json!({ "rope_theta": theta }));
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

/// The set for layers that look at everything.
pub(super) fn full(rope: &Object) -> Result<&Object> {
    match rope.get(FULL) {
        None => Ok(rope),
        Some(Value::Object(set)) => Ok(set),
        Some(_) => Err(Error::malformed("must be an object").in_key(FULL)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hparams;
    use super::super::tests::object;
    use serde_json::{Value, json};

    fn hparams(model_type: &str, own: Value) -> Hparams {
        let mut config = object(json!({
            "model_type": model_type, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 7
        }));
        config.extend(object(own));
        Hparams::new(&config).unwrap()
    }

    #[test]
    fn kinds_of_layers_have_their_own_sets() {
        let scaling = json!({"rope_type": "linear", "factor": 8.0});
        let gemma = hparams(
            "gemma3_text",
            json!({"rope_scaling": scaling, "rope_theta": 5e5}),
        );
        assert!(gemma.completed);
        let full = gemma.rope().unwrap();
        assert_eq!(
            (&full["rope_theta"], &full["factor"]),
            (&json!(5e5), &json!(8.0))
        );
        let sliding = &gemma.all_rope()["sliding_attention"];
        assert_eq!(
            sliding,
            &json!({"rope_type": "default", "rope_theta": 10000.0})
        );
        assert_eq!(gemma.values["layer_types"][5], "full_attention");
        assert_eq!(gemma.values["layer_types"][6], "sliding_attention");

        // The base frequency beside the sets is that of one of them only.
        let olmo = hparams("olmo3", json!({"rope_theta": 7.0}));
        assert_eq!(olmo.rope().unwrap()["rope_theta"], 7.0);
        assert_eq!(olmo.all_rope()["sliding_attention"]["rope_theta"], 500000.0);
    }

    #[test]
    fn phi_takes_the_context_from_beside_its_factors() {
        let factors = vec![1.0; 8];
        let scaling = |kind: &str, long: &[f64]| {
            let own = json!({"original_max_position_embeddings": 99, "rope_scaling": {
                "type": kind, "short_factor": factors, "long_factor": long
            }});
            hparams("phi3", own)
        };
        for kind in ["longrope", "yarn"] {
            let phi = scaling(kind, &factors);
            assert!(phi.completed, "{kind}");
            assert_eq!(phi.rope().unwrap()["rope_type"], "longrope");
            assert_eq!(phi.trained_context().unwrap(), 99);
        }
        // Refused by transformers and taken as they are: no context with them, of a wrong length.
        for phi in [scaling("su", &factors), scaling("longrope", &factors[1..])] {
            assert!(!phi.completed);
            assert_eq!(phi.trained_context().unwrap(), 99);
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for rope in [
            json!({"full_attention": 1}),
            json!({"full_attention": {"type": "yarn"}}),
        ] {
            assert!(!hparams("gemma3_text", json!({"rope_parameters": rope})).completed);
        }
        let number = hparams(
            "gemma3_text",
            json!({"rope_parameters": {"full_attention": 1}}),
        );
        assert!(number.rope().is_err());
    }
}

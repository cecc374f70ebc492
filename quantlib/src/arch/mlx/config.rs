//! config.json of an MLX folder, from that of a Hugging Face folder.

use super::describe::{Head, Mlx};
use crate::arch::family::Family;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use serde_json::{Value, json};

/// Whether the embeddings are the output matrix too.
pub(super) const TIED: &str = "tie_word_embeddings";

/// What mlx_lm says nothing of, or what is not true any more.
const DROPPED: &[&str] = &[
    "_name_or_path",
    "vision_config",
    "quantization",
    "quantization_config",
];

/// config.json as mlx_lm carries it over, with the tokens that generation_config.json ends on.
pub(super) fn config(folder: &Folder) -> Object {
    let mut config = folder.config().clone();
    config.retain(|key, _| !DROPPED.contains(&key.as_str()));
    let ends = folder
        .generation_config()
        .and_then(|g| g.get("eos_token_id"));
    if let Some(ends) = ends.filter(|ends| is_true(ends)) {
        config.insert("eos_token_id".to_owned(), ends.clone());
    }
    config
}

/// What Python takes for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

/// The type that mlx_lm gives floats: what config.json calls `torch_dtype`; today's `dtype` counts
/// only in the configuration of a composite model's language model.
pub(super) fn wanted_dtype(folder: &Folder) -> Option<DType> {
    let config = folder.config();
    let inner = || config.get("text_config")?.get("dtype");
    let name = config.get("torch_dtype").filter(|name| !name.is_null());
    match name.or_else(inner)?.as_str()? {
        "float16" => Some(DType::F16),
        "bfloat16" => Some(DType::BF16),
        "float32" => Some(DType::F32),
        _ => None,
    }
}

/// Number of blocks of a model of any kind, as far as config.json says.
pub(super) fn blocks(folder: &Folder) -> usize {
    let names = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"];
    let numbers = names
        .iter()
        .filter_map(|name| folder.hparams().get(*name)?.as_u64());
    let blocks = numbers.map(usize::try_from).find_map(Result::ok);
    blocks.unwrap_or(0)
}

/// The description that holds for a folder's model type.
///
/// # Errors
/// `unsupported` if mlx_lm has none.
pub(super) fn model_type(folder: &Folder, family: &Family) -> Result<&'static Mlx> {
    let name = folder.config().get("model_type").and_then(Value::as_str);
    let name =
        name.ok_or_else(|| Error::malformed("must be the model type's name").in_key("model_type"))?;
    let found = family
        .mlx
        .iter()
        .find(|mlx| mlx.model_types.contains(&name));
    found.ok_or_else(|| {
        let class = family.classes.first().unwrap_or(&"");
        Error::unsupported(format!(
            "mlx_lm has no models of type '{name}' ({class}); with --as-is names stay as they are, and every matrix is quantized"
        ))
        .in_key("model_type")
    })
}

/// [`config`] with what mlx_lm would take for something else than transformers does, and notes on it.
pub(super) fn completed(folder: &Folder, mlx: &Mlx, tied: bool) -> (Object, Vec<String>) {
    let mut config = config(folder);
    let mut notes = Vec::new();
    let mut add = |name: &str, value: Value| {
        notes.push(format!(
            "config.json: {name} is added, for mlx_lm takes it for something else than transformers"
        ));
        config.insert(name.to_owned(), value);
    };
    if let Head::Tied(default) = mlx.head
        && !folder.hparams().contains_key(TIED)
        && default != Some(tied)
    {
        add(TIED, json!(tied));
    }
    let rope = folder
        .config()
        .get("rope_parameters")
        .and_then(Value::as_object);
    let Some(rope) = rope.filter(|_| !mlx.knows_rope_parameters) else {
        return (config, notes);
    };
    let has = |name: &str| folder.config().get(name).is_some_and(|v| !v.is_null());
    if let Some(theta) = rope.get("rope_theta").and_then(Value::as_f64)
        && !has("rope_theta")
        && mlx.rope_theta != Some(theta)
    {
        add("rope_theta", json!(theta));
    }
    let kind = rope.get("rope_type").and_then(Value::as_str);
    if !has("rope_scaling") && kind.is_some_and(|kind| kind != "default") {
        let mut scaling = rope.clone();
        scaling.shift_remove("rope_theta");
        // Older spelling, which some of mlx_lm's models ask for.
        scaling.insert("type".to_owned(), json!(kind));
        add("rope_scaling", Value::Object(scaling));
    }
    if let Some(part) = rope.get("partial_rotary_factor")
        && !has("partial_rotary_factor")
    {
        add("partial_rotary_factor", part.clone());
    }
    (config, notes)
}

//! `general.sampling.*`: the settings that generation_config.json recommends.

use crate::arch::hparams::float;
use crate::arch::keys::Keys;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use serde_json::Value as Json;

/// How a setting is stored.
enum Kind {
    Text,
    Int,
    Float,
}
use Kind::{Float, Int, Text};

/// Keys, their types, and the spellings of their settings.
const SETTINGS: &[(&str, Kind, &[&str])] = &[
    ("sequence", Text, &["sequence"]),
    ("top_k", Int, &["top_k"]),
    ("top_p", Float, &["top_p"]),
    ("min_p", Float, &["min_p"]),
    ("xtc_probability", Float, &["xtc_probability"]),
    ("xtc_threshold", Float, &["xtc_threshold"]),
    ("temp", Float, &["temperature"]),
    ("penalty_last_n", Int, &["penalty_last_n"]),
    (
        "penalty_repeat",
        Float,
        &["penalty_repeat", "repetition_penalty"],
    ),
    ("mirostat", Int, &["mirostat"]),
    ("mirostat_tau", Float, &["mirostat_tau"]),
    ("mirostat_eta", Float, &["mirostat_eta"]),
];

pub(super) fn write(keys: &mut Keys, folder: &Folder) -> Result<()> {
    let Some(config) = folder.generation_config() else {
        return Ok(());
    };
    for (key, kind, names) in SETTINGS {
        set(keys, key, kind, names, config)
            .map_err(|e| e.in_file(folder.path().join("generation_config.json")))?;
    }
    Ok(())
}

fn set(keys: &mut Keys, key: &str, kind: &Kind, names: &[&str], config: &Object) -> Result<()> {
    let found = names
        .iter()
        .find_map(|name| Some((*name, config.get(*name)?)));
    let Some((name, value)) = found.filter(|(_, value)| !value.is_null()) else {
        return Ok(());
    };
    let key = format!("general.sampling.{key}");
    match kind {
        Float => keys.set(key, float(value).map_err(|e| e.in_key(name))?),
        Int => keys.set(key, int(value).map_err(|e| e.in_key(name))?),
        Text => {
            let text = value.as_str();
            keys.set(
                key,
                text.ok_or_else(|| Error::malformed("must be a text").in_key(name))?,
            );
        }
    }
    Ok(())
}

fn int(value: &Json) -> Result<i32> {
    let number = value.as_i64().and_then(|n| n.try_into().ok());
    number
        .ok_or_else(|| Error::malformed(format!("must be a whole number of 32 bits, not {value}")))
}

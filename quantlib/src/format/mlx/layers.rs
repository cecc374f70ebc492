//! What config.json says of quantized layers.

use super::LayerQuantization;
use crate::error::{Error, Result};
use crate::io::FileSource;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

/// Longest config.json that is read; with an entry for each expert of each layer it is long.
const MAX_BYTES: u64 = 64 << 20;

/// The key of it all.
const KEY: &str = "quantization";

/// How each layer of a model is quantized.
#[derive(Debug)]
pub(super) struct Layers {
    default: LayerQuantization,
    /// By path; none for layers that are not quantized.
    own: HashMap<String, Option<LayerQuantization>>,
}

impl Layers {
    /// Whether a config.json has the entry; what is no JSON has none.
    pub(super) fn is_at(config: &Path) -> bool {
        read(config).is_ok_and(|config| config.contains_key(KEY))
    }

    /// # Errors
    /// `io`, `limit` or `malformed` if config.json cannot be read, or says something else.
    pub(super) fn read(config: &Path) -> Result<Self> {
        let config = read(config)?;
        let entry = config.get(KEY).unwrap_or(&Value::Null);
        let Some(entries) = entry.as_object() else {
            return Err(Error::malformed("must be an object").in_key(KEY));
        };
        let default = LayerQuantization::from_json(entry).map_err(|e| e.in_key(KEY))?;
        let layer = |path: &String, entry: &Value| {
            match entry {
                Value::Object(_) => Some(LayerQuantization::from_json(entry).map(Some)),
                Value::Bool(false) => Some(Ok(None)),
                _ => None,
            }
            .map(|layer| layer.map_err(|e| e.in_key(path)))
        };
        let own = entries.iter().filter_map(|(path, entry)| {
            let layer = layer(path, entry)?;
            Some(layer.map(|layer| (path.clone(), layer)))
        });
        Ok(Self {
            own: own.collect::<Result<_>>()?,
            default,
        })
    }

    /// How the layer at a path is quantized; none if it is not.
    pub(super) fn of(&self, path: &str) -> Option<LayerQuantization> {
        self.own.get(path).copied().unwrap_or(Some(self.default))
    }
}

fn read(config: &Path) -> Result<Map<String, Value>> {
    let source = FileSource::open(config)?;
    if source.len() > MAX_BYTES {
        return Err(Error::limit(format!(
            "has {} bytes, more than the limit of {MAX_BYTES}",
            source.len()
        )));
    }
    let mut text = vec![0; source.len() as usize];
    source.read_exact_at(&mut text, 0)?;
    serde_json::from_slice(&text).map_err(|e| Error::malformed(format!("is no JSON object: {e}")))
}

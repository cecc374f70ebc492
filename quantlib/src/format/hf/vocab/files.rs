//! The JSON files that describe a tokenizer, read once.

use crate::error::Result;
use crate::format::hf::{Folder, Object};
use serde_json::Value;

/// `tokenizer.json` and `tokenizer_config.json`, whichever are there.
#[derive(Debug)]
pub(super) struct Files {
    pub json: Option<Value>,
    pub config: Option<Object>,
}

impl Files {
    pub(super) fn read(folder: &Folder) -> Result<Self> {
        Ok(Self {
            json: folder.object("tokenizer.json")?.map(Value::Object),
            config: folder.object("tokenizer_config.json")?,
        })
    }

    /// An entry of `tokenizer_config.json`.
    pub(super) fn option(&self, key: &str) -> Option<&Value> {
        self.config.as_ref()?.get(key)
    }

    /// Whether `tokenizer.json` describes a unigram vocabulary.
    pub(super) fn is_unigram(&self) -> bool {
        let kind = self.model().and_then(|model| model.get("type"));
        kind.and_then(Value::as_str) == Some("Unigram")
    }

    /// The `model` of `tokenizer.json`.
    pub(super) fn model(&self) -> Option<&Value> {
        self.json.as_ref()?.get("model")
    }
}

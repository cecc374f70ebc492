//! The document under construction, by the rules of gguf-py's writer.

use crate::model::{Array, Edit, Metadata, Value};

/// Keys in file order. One that is set again keeps its first place; empty strings and arrays
/// are left out.
#[derive(Debug, Default)]
pub(super) struct Keys(Metadata);

impl Keys {
    pub(super) fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let value = value.into();
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(array) => array.is_empty(),
            _ => false,
        };
        if !empty {
            self.0.insert(key.into(), value);
        }
    }

    pub(super) fn set_texts<'t>(
        &mut self,
        key: impl Into<String>,
        texts: impl IntoIterator<Item = &'t str>,
    ) {
        self.set(key, Array::String(texts.into_iter().collect()));
    }

    pub(super) fn into_edits(self) -> Vec<Edit> {
        let set = |(key, value)| Edit::Set { key, value };
        self.0.into_iter().map(set).collect()
    }
}

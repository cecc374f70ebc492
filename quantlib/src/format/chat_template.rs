//! Chat templates as GGUF keys.

use crate::error::{Error, Result};
use crate::model::{Array, Metadata, StringArray};
use serde_json::Value;

pub(crate) const KEY: &str = "tokenizer.chat_template";

/// One template, or several by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// The only one.
    One(String),
    /// Names and templates; that of the name `default` is taken unless another is asked for.
    Named(Vec<(String, String)>),
}

impl ChatTemplate {
    /// What tokenizer_config.json may have as `chat_template`: a string, or a list of objects with
    /// `name` and `template`; anything else is no template.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(template) => Some(Self::One(template.clone())),
            Value::Array(list) => Some(Self::Named(
                list.iter()
                    .filter_map(|item| {
                        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
                        let template = item.get("template")?.as_str()?;
                        Some((name.to_owned(), template.to_owned()))
                    })
                    .collect(),
            )),
            _ => None,
        }
    }

    /// A template as people write it on a command line: itself, or a JSON list of named ones.
    ///
    /// # Errors
    /// `misuse` for what begins like a list and is none.
    pub fn from_text(text: &str) -> Result<Self> {
        if !text.starts_with('[') {
            return Ok(Self::One(text.to_owned()));
        }
        let json = serde_json::from_str(text)
            .map_err(|e| Error::misuse(format!("the chat template is no list in JSON: {e}")))?;
        Self::from_json(&json).ok_or_else(|| Error::misuse("the chat template is no list"))
    }

    /// The entry `chat_template` of the text of a tokenizer_config.json.
    ///
    /// # Errors
    /// `misuse` if the text is no JSON, or has no such entry.
    pub fn from_config(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text)
            .map_err(|e| Error::misuse(format!("the configuration is no JSON: {e}")))?;
        let entry = json.get("chat_template").and_then(Self::from_json);
        entry.ok_or_else(|| Error::misuse("the configuration has no chat_template"))
    }

    /// Writes the keys: every named template, the list of names, the default.
    ///
    /// gguf-py writes the list in the order of a Python set, which changes from run to run; here it
    /// is the order of the source.
    pub(crate) fn write(self, out: &mut Metadata) {
        let named = match self {
            Self::One(template) => {
                out.insert(KEY.into(), template.into());
                return;
            }
            Self::Named(named) => named,
        };
        let mut names: Vec<String> = Vec::new();
        let mut default = None;
        for (name, template) in named {
            let name = key_name(&name);
            if name == "default" {
                default = Some(template);
            } else if !name.is_empty() {
                out.insert(format!("{KEY}.{name}"), template.into());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if !names.is_empty() {
            let names: StringArray = names.into_iter().collect();
            out.insert(
                "tokenizer.chat_templates".into(),
                Array::String(names).into(),
            );
        }
        if let Some(template) = default {
            out.insert(KEY.into(), template.into());
        }
    }
}

/// The name with everything but ASCII letters and digits replaced.
fn key_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(keep).collect()
}

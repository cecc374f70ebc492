//! Chat templates, wherever a folder keeps them.

use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use crate::model::{Array, Metadata, StringArray};
use serde_json::Value;

const KEY: &str = "tokenizer.chat_template";

/// One template, or several by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Template {
    One(String),
    Named(Vec<(String, String)>),
}

impl Template {
    /// The template of `tokenizer_config.json`; if it has no such entry that of `chat_template.jinja`
    /// with its `additional_chat_templates`, else that of `chat_template.json`.
    pub(super) fn load(folder: &Folder, config: &Object) -> Result<Option<Self>> {
        if let Some(entry) = config.get("chat_template") {
            return Ok(Self::from_json(entry));
        }
        if let Some(template) = folder.text("chat_template.jinja")? {
            let more = additional(folder)?;
            return Ok(Some(match more.is_empty() {
                true => Self::One(template),
                false => {
                    let mut named = vec![("default".to_owned(), template)];
                    named.extend(more);
                    Self::Named(named)
                }
            }));
        }
        let json = folder.json("chat_template.json")?;
        Ok(json.and_then(|json| Self::from_json(json.get("chat_template")?)))
    }

    /// A string, or a list of objects with `name` and `template`; anything else is no template.
    fn from_json(value: &Value) -> Option<Self> {
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

    /// Writes the keys: every named template, the list of names, the default.
    ///
    /// The converter writes the list in the order of a Python set, which changes from run to run;
    /// here it is the order of the source.
    pub(super) fn write(self, out: &mut Metadata) {
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

/// The templates in `additional_chat_templates`, by file name.
fn additional(folder: &Folder) -> Result<Vec<(String, String)>> {
    let path = folder.path().join("additional_chat_templates");
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let cannot_list = |e| Error::io("cannot list the folder", e).in_file(&path);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(cannot_list)? {
        let name = entry.map_err(cannot_list)?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jinja")) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    let mut templates = Vec::with_capacity(names.len());
    for name in names {
        if let Some(text) = folder.text(&format!("additional_chat_templates/{name}.jinja"))? {
            templates.push((name, text));
        }
    }
    Ok(templates)
}

//! Chat templates, wherever a folder keeps them.

use crate::error::{Error, Result};
use crate::format::ChatTemplate;
use crate::format::hf::{Folder, Object};

/// The template of `tokenizer_config.json`; if it has no such entry that of `chat_template.jinja`
/// with its `additional_chat_templates`, else that of `chat_template.json`.
pub(super) fn load(folder: &Folder, config: &Object) -> Result<Option<ChatTemplate>> {
    if let Some(entry) = config.get("chat_template") {
        return Ok(ChatTemplate::from_json(entry));
    }
    if let Some(template) = folder.text("chat_template.jinja")? {
        let more = additional(folder)?;
        return Ok(Some(match more.is_empty() {
            true => ChatTemplate::One(template),
            false => {
                let mut named = vec![("default".to_owned(), template)];
                named.extend(more);
                ChatTemplate::Named(named)
            }
        }));
    }
    let json = folder.json("chat_template.json")?;
    Ok(json.and_then(|json| ChatTemplate::from_json(json.get("chat_template")?)))
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

//! What is carried over beside config.json and tensors.

use crate::error::{Error, Result};
use crate::format::mlx::{Content, ExtraFile};
use std::path::Path;

/// Files of a tokenizer and its templates, and how to generate.
const NAMES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.json",
    "generation_config.json",
];

/// Ends of the names of others.
const ENDS: &[&str] = &[".jinja", ".tiktoken", ".py"];

/// The model card that mlx_lm writes for a model from a folder.
const CARD: &str = "\
---
language: en
library_name: mlx
pipeline_tag: text-generation
tags:
- mlx
---
";

/// The files of a folder that the MLX folder has too, and the card.
pub(super) fn carried(folder: &Path) -> Result<Vec<ExtraFile>> {
    let mut files = copied(folder)?;
    files.push(ExtraFile {
        name: "README.md".to_owned(),
        content: Content::Bytes(CARD.into()),
    });
    Ok(files)
}

/// The files of a folder that belong to the model, whatever its format.
pub(super) fn copied(folder: &Path) -> Result<Vec<ExtraFile>> {
    let list = || -> std::io::Result<Vec<ExtraFile>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| is_carried(name) && path.is_file()) {
                files.push(ExtraFile::copy(name, &path));
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    };
    list().map_err(|e| Error::io("cannot list the folder", e).in_file(folder))
}

fn is_carried(name: &str) -> bool {
    NAMES.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

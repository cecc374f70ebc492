//! What lies in an MLX folder besides tensors.

use crate::error::{Error, Result};
use crate::io::FileSource;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Whose folder it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// MLX's.
    #[default]
    Mlx,
    /// Hugging Face's: the same files, as transformers writes them.
    HuggingFace,
}

/// What lies in an MLX folder besides tensors.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Whose folder it is.
    pub dialect: Dialect,
    /// config.json.
    pub config: Map<String, Value>,
    /// Further files: tokenizer, chat template, model card.
    pub files: Vec<ExtraFile>,
    /// Weights that the index counts.
    pub parameters: u64,
}

/// A file of the folder.
#[derive(Clone, Debug)]
pub struct ExtraFile {
    /// Its name, without folders.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub enum Content {
    /// From memory.
    Bytes(Vec<u8>),
    /// From another file, which is copied.
    Copy(PathBuf),
}

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

impl Document {
    /// The text of config.json; in MLX's folders its keys are in alphabetical order, as mlx_lm writes
    /// them.
    ///
    /// # Errors
    /// `misuse` if it is no JSON, which only a map that was made by hand can be.
    pub fn config_json(&self) -> Result<Vec<u8>> {
        let mut config = self.config.clone();
        if self.dialect == Dialect::Mlx {
            config.sort_keys();
        }
        to_json(&config)
    }
}

impl ExtraFile {
    /// A file with the content of another.
    pub fn copy(name: impl Into<String>, from: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            content: Content::Copy(from.into()),
        }
    }

    /// Gives the content to `write`, piece by piece with their offsets.
    ///
    /// # Errors
    /// `io` if the other file cannot be read, and those of `write`.
    pub(crate) fn each_piece(&self, write: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let source = match &self.content {
            Content::Bytes(bytes) => return write(0, bytes),
            Content::Copy(from) => FileSource::open(from)?,
        };
        let (len, mut buffer) = (source.len(), vec![0; PIECE]);
        for start in (0..len).step_by(PIECE) {
            let piece = &mut buffer[..(len - start).min(PIECE as u64) as usize];
            source.read_exact_at(piece, start)?;
            write(start, piece)?;
        }
        Ok(())
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> Result<u64> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
            Content::Copy(from) => std::fs::metadata(from)
                .map(|metadata| metadata.len())
                .map_err(|e| Error::io("cannot read", e).in_file(from)),
        }
    }
}

/// JSON with an indent of four, as Python's json.dump writes it.
pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut Serializer::with_formatter(&mut text, formatter))
        .map_err(|e| Error::misuse(format!("cannot be written as JSON: {e}")))?;
    Ok(text)
}

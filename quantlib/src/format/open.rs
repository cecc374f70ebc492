//! Opens a model whatever its container.

use super::gguf;
use crate::error::Result;
use crate::model::Model;
use std::path::Path;

/// Opens a model file.
pub fn open(path: impl AsRef<Path>) -> Result<Model> {
    gguf::Reader::open(path)
}

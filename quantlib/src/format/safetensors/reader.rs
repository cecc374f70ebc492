//! Opens a model of one or several files.

use super::FORMAT;
use super::header::Header;
use super::index::Files;
use crate::error::Result;
use crate::format::stored::StoredTensors;
use crate::io::{FileSource, Limits};
use crate::model::{Metadata, Model};
use std::path::Path;

/// Opens safetensors models.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reader;

impl Reader {
    /// Opens a `.safetensors` file, an index of shards (`model.safetensors.index.json`), or a folder
    /// with either. Without an index, all of the folder's `model*.safetensors` are joined.
    ///
    /// Tensors come in the order in which convert_hf_to_gguf.py takes them: shard after shard by
    /// file name, in each by tensor name. The metadata are the first shard's strings.
    ///
    /// # Errors
    /// `io` if a file cannot be read, `malformed` if one does not follow the format or the shards
    /// are not what the index says, `unsupported` for element types that are no whole bytes and
    /// folders without safetensors, `limit` beyond the default [`Limits`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Self::open_with(path, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        let path = path.as_ref();
        let files = Files::find(path, limits)?;
        let mut stored = StoredTensors::default();
        let mut tensors = Vec::new();
        let mut metadata: Option<Metadata> = None;
        for file in files.paths {
            let source = FileSource::open(&file)?;
            let header = Header::parse(&source, limits)?;
            stored.push(source, header.offsets);
            tensors.extend(header.tensors);
            metadata.get_or_insert(header.metadata);
        }
        if let Some(index) = files.index {
            index.check(tensors.iter().map(|tensor| tensor.name.as_str()))?;
        }
        let metadata = metadata.unwrap_or_default();
        Model::new(path, FORMAT, tensors, metadata, Box::new(stored))
    }
}

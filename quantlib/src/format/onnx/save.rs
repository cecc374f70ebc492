//! Writes a document's files.

use super::document::Document;
use super::layout::{ExternalData, Layout};
use super::wire::{Bytes, Piece};
use crate::error::{Error, Result};
use crate::io::OutputSet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes copied at a time.
const CHUNK: u64 = 4 << 20;

/// How a document is written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Whether tensors go to a file beside the model.
    pub external_data: ExternalData,
}

impl Document {
    /// Writes the model, and its data file if it gets one: `OUT.data`. They appear whole or not at
    /// all, the data first. What was not edited is copied; memory does not grow with the tensors.
    ///
    /// # Errors
    /// `misuse` if the output is one of the files that are read, `limit` if the model is too large
    /// for one file and must not have another, `io`.
    pub fn save(&self, out: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        let out = out.as_ref();
        let layout = self.layout(out, options)?;
        let set = self.create(&layout, out, &[], &[])?;
        self.write(&layout, &set, &mut |_| Ok(()))?;
        set.commit()
    }

    /// Where everything will lie.
    pub(crate) fn layout(&self, out: &Path, options: &SaveOptions) -> Result<Layout> {
        let data = data_path(out);
        let name = data.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            Error::misuse("its name is not UTF-8, which a model's data must have").in_file(out)
        })?;
        Layout::new(self, name, options.external_data).map_err(|e| e.in_file(self.path()))
    }

    /// The files under temporary names, with the space that they will take; others beside them follow the
    /// data, and are left empty.
    pub(crate) fn create(
        &self,
        layout: &Layout,
        out: &Path,
        inputs: &[PathBuf],
        beside: &[&Path],
    ) -> Result<OutputSet> {
        let mut all: Vec<_> = self.files().map(Path::to_path_buf).collect();
        all.extend_from_slice(inputs);
        let data = data_path(out);
        let mut paths: Vec<&Path> = layout.data_len.iter().map(|_| &*data).collect();
        paths.extend(beside);
        paths.push(out);
        let set = OutputSet::files(&paths, &all)?;
        if let Some(len) = layout.data_len {
            set.reserve(layout.data_index(), len)?;
        }
        set.reserve(layout.model_index(), layout.model_len)?;
        Ok(set)
    }

    /// Writes what is not left to others, and tells how many bytes were written.
    pub(crate) fn write(
        &self,
        layout: &Layout,
        set: &OutputSet,
        written: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let model = layout
            .model
            .iter()
            .map(|piece| (layout.model_index(), piece));
        let data = layout.data.iter().map(|piece| (layout.data_index(), piece));
        for (file, (offset, piece)) in data.chain(model) {
            match piece {
                Piece::Memory(bytes) => {
                    set.write_at(file, *offset, bytes)?;
                    written(bytes.len() as u64)?;
                }
                Piece::Elsewhere(Bytes::Later { .. }) => {}
                Piece::Elsewhere(bytes) => {
                    let mut buffer = vec![0; bytes.len().min(CHUNK) as usize];
                    let mut at = 0;
                    while at < bytes.len() {
                        let len = (bytes.len() - at).min(CHUNK) as usize;
                        self.read(bytes, at, &mut buffer[..len])?;
                        set.write_at(file, offset + at, &buffer[..len])?;
                        written(len as u64)?;
                        at += len as u64;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Layout {
    /// The index of the `.onnx` file in the output set: it names the other, so it is the last.
    pub(crate) fn model_index(&self) -> usize {
        usize::from(self.data_len.is_some()) + self.beside
    }

    fn data_index(&self) -> usize {
        0
    }

    /// Where the bytes of each slot go: the file's index in the output set, and the offset in it.
    pub(crate) fn slots(&self) -> BTreeMap<usize, (usize, u64)> {
        let model = self.model.iter().map(|piece| (self.model_index(), piece));
        let data = self.data.iter().map(|piece| (self.data_index(), piece));
        let slots = model
            .chain(data)
            .filter_map(|(file, (offset, piece))| match piece {
                Piece::Elsewhere(Bytes::Later { slot, .. }) => Some((*slot, (file, *offset))),
                _ => None,
            });
        slots.collect()
    }
}

/// The data file that belongs to an output.
pub(crate) fn data_path(out: &Path) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(".data");
    path.into()
}

//! Tensors that are stored as ranges of files, as most containers do it.

use crate::error::Result;
use crate::io::FileSource;
use crate::model::{Location, Reader};
use std::path::Path;

/// Open files and every tensor's place in them.
#[derive(Debug, Default)]
pub(super) struct StoredTensors {
    pub(super) files: Vec<FileSource>,
    pub(super) locations: Vec<Location>,
}

impl StoredTensors {
    /// Adds a file and the offsets of the tensors in it.
    pub(super) fn push(&mut self, source: FileSource, offsets: impl IntoIterator<Item = u64>) {
        let file = self.files.len();
        self.files.push(source);
        let locations = offsets.into_iter().map(|offset| Location { file, offset });
        self.locations.extend(locations);
    }
}

impl Reader for StoredTensors {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        let location = self.locations[index];
        self.files[location.file].read_exact_at(buf, location.offset + offset)
    }

    fn files(&self) -> Vec<&Path> {
        self.files.iter().map(FileSource::path).collect()
    }

    fn location(&self, index: usize) -> Option<Location> {
        self.locations.get(index).copied()
    }
}

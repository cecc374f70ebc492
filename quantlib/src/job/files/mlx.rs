//! The files of an MLX folder: shards, the index, config.json, and what is copied.

use super::Place;
use crate::error::Result;
use crate::format::mlx::{CONFIG, Document, INDEX, Layout, SHARD_BYTES};
use crate::io::OutputSet;
use crate::job::report::FileReport;
use crate::model::Plan;
use std::path::{Path, PathBuf};

/// What an MLX folder looks like.
pub(in crate::job) struct MlxFiles<'a> {
    document: &'a Document,
    layout: Layout,
    config: Vec<u8>,
    force: bool,
    folder: PathBuf,
}

impl<'a> MlxFiles<'a> {
    pub(in crate::job) fn new(
        plan: &Plan,
        document: &'a Document,
        force: bool,
        out: &Path,
    ) -> Result<Self> {
        Ok(Self {
            layout: Layout::new(&plan.tensors, document, SHARD_BYTES)?,
            config: document.config_json()?,
            folder: out.to_path_buf(),
            document,
            force,
        })
    }

    /// Shards, index, configuration, further files: the order in the output set.
    fn names(&self) -> Vec<&str> {
        let shards = self.layout.shards.iter().map(|shard| shard.name.as_str());
        let mut names: Vec<_> = shards.collect();
        names.extend([INDEX, CONFIG]);
        names.extend(self.document.files.iter().map(|file| file.name.as_str()));
        names
    }

    pub(super) fn paths(&self, out: &Path) -> Vec<PathBuf> {
        let names = self.names().into_iter();
        names.map(|name| out.join(name)).collect()
    }

    pub(super) fn create(
        &self,
        inputs: &[PathBuf],
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<OutputSet> {
        let set = OutputSet::folder(&self.folder, &self.names(), self.force, inputs)?;
        let shards = &self.layout.shards;
        for (file, shard) in shards.iter().enumerate() {
            set.reserve(file, shard.layout.file_len)?;
            set.write_at(file, 0, &shard.layout.head)?;
        }
        set.write_at(shards.len(), 0, &self.layout.index)?;
        set.write_at(shards.len() + 1, 0, &self.config)?;
        for (i, file) in self.document.files.iter().enumerate() {
            file.each_piece(&mut |offset, piece| {
                proceed()?;
                set.write_at(shards.len() + 2 + i, offset, piece)
            })?;
        }
        Ok(set)
    }

    pub(super) fn places(&self) -> Vec<Vec<Place>> {
        let place = |&(file, offset): &(usize, u64)| Place { file, offset };
        let places = self.layout.places.iter();
        places.map(|own| own.iter().map(place).collect()).collect()
    }

    pub(super) fn reports(&self) -> Result<Vec<FileReport>> {
        let report = |tensors: usize, bytes: u64| FileReport {
            path: None,
            tensors,
            bytes,
        };
        let shards = self.layout.shards.iter();
        let mut reports: Vec<_> = shards
            .map(|shard| report(shard.tensors, shard.layout.file_len))
            .collect();
        for text in [&self.layout.index, &self.config] {
            reports.push(report(0, text.len() as u64));
        }
        for file in &self.document.files {
            reports.push(report(0, file.len()?));
        }
        Ok(reports)
    }
}

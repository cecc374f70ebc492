//! The files of a job: their headers, and every tensor's place.

use crate::error::{Error, Result};
use crate::format::Layout;
use crate::format::gguf::{self, split};
use crate::io::OutputSet;
use crate::job::report::FileReport;
use crate::model::{Metadata, OutputTensor, Plan, TensorInfo};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What every file looks like.
pub(super) struct Files {
    layouts: Vec<Layout>,
    /// Whether the output is a split model, be it of one part.
    is_split: bool,
}

/// Where the first byte of a tensor goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The file's index in the output set.
    pub(super) file: usize,
    pub(super) offset: u64,
}

impl Files {
    /// Lays out the files of a plan.
    ///
    /// # Errors
    /// Those of [`gguf::layout`]; `misuse` if the parts have not as many tensors as the plan.
    pub(super) fn new(plan: &Plan, document: &Metadata, dialect: gguf::Dialect) -> Result<Self> {
        let mut infos = infos(plan)?;
        let is_split = !plan.parts.is_empty();
        let counted = plan.parts.iter().map(|part| part.tensors);
        let counted = counted.fold(0, usize::saturating_add);
        if is_split && counted != infos.len() {
            return Err(Error::misuse(format!(
                "the plan has {} tensors, but its parts have {counted}",
                infos.len()
            )));
        }
        let mut layouts = Vec::new();
        for (i, document) in plan.documents(document.clone()).iter().enumerate() {
            let count = plan.parts.get(i).map_or(infos.len(), |part| part.tensors);
            let rest = infos.split_off(count);
            layouts.push(gguf::layout(&infos, document, dialect)?);
            infos = rest;
        }
        Ok(Self { layouts, is_split })
    }

    /// Where the files go, given the path that was asked for.
    pub(super) fn paths(&self, out: &Path) -> Vec<PathBuf> {
        let count = self.layouts.len();
        if !self.is_split {
            return vec![out.to_path_buf()];
        }
        (0..count)
            .map(|number| split::part_path(out, number, count))
            .collect()
    }

    /// The files under temporary names, with their headers written.
    pub(super) fn create(&self, paths: &[PathBuf], inputs: &[PathBuf]) -> Result<OutputSet> {
        // The first part is the one by which people know the model, so it appears last.
        let mut order: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        order.rotate_left(1);
        let set = OutputSet::files(&order, inputs)?;
        for (i, layout) in self.layouts.iter().enumerate() {
            let file = self.index_in_set(i);
            set.reserve(file, layout.file_len)?;
            set.write_at(file, 0, &layout.head)?;
        }
        Ok(set)
    }

    fn index_in_set(&self, number: usize) -> usize {
        number.checked_sub(1).unwrap_or(self.layouts.len() - 1)
    }

    /// For every tensor of the plan, where it goes.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |(i, layout): (usize, &Layout)| {
            let file = self.index_in_set(i);
            let offsets = layout.offsets.clone().into_iter();
            offsets.map(move |offset| Place { file, offset })
        };
        self.layouts.iter().enumerate().flat_map(place).collect()
    }

    pub(super) fn reports(&self) -> Vec<FileReport> {
        let report = |layout: &Layout| FileReport {
            path: None,
            tensors: layout.offsets.len(),
            bytes: layout.file_len,
        };
        self.layouts.iter().map(report).collect()
    }
}

/// The header entries of a plan's tensors, whose names must differ in all files together.
fn infos(plan: &Plan) -> Result<Vec<TensorInfo>> {
    let mut names = HashSet::with_capacity(plan.tensors.len());
    if let Some(twice) = plan.tensors.iter().find(|t| !names.insert(&t.name)) {
        return Err(Error::misuse("there are two tensors of this name").in_tensor(&twice.name));
    }
    Ok(plan.tensors.iter().map(OutputTensor::info).collect())
}

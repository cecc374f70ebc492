//! Models in several files, as llama-gguf-split writes them.

use crate::error::{Error, Result};
use crate::io::Limits;
use crate::model::Metadata;
use std::path::{Path, PathBuf};

pub(super) const NUMBER_KEY: &str = "split.no";
pub(super) const COUNT_KEY: &str = "split.count";
pub(super) const TENSORS_KEY: &str = "split.tensors.count";

/// Which part of how many a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) count: u64,
}

impl Part {
    /// What the metadata say; `None` for a model in one file.
    pub(super) fn of(metadata: &Metadata, limits: &Limits) -> Result<Option<Self>> {
        let count = match integer(metadata, COUNT_KEY)? {
            None | Some(0 | 1) => return Ok(None),
            Some(count) => count,
        };
        if count > limits.files {
            return Err(Error::limit(format!(
                "the model is split into {count} files, more than the limit of {}",
                limits.files
            ))
            .in_key(COUNT_KEY));
        }
        let number = integer(metadata, NUMBER_KEY)?.ok_or_else(|| {
            Error::malformed("a part of a split model lacks it").in_key(NUMBER_KEY)
        })?;
        if number >= count {
            return Err(Error::malformed(format!(
                "says that this is part {number} (from 0) of {count}"
            ))
            .in_key(NUMBER_KEY));
        }
        Ok(Some(Self { number, count }))
    }

    /// The end of the part's file name.
    fn suffix(self) -> String {
        format!("-{:05}-of-{:05}.gguf", self.number + 1, self.count)
    }

    /// The files of all parts, given the file of this one.
    pub(super) fn siblings(self, path: &Path) -> Result<Vec<PathBuf>> {
        let suffix = self.suffix();
        let stem = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(&suffix));
        let Some(stem) = stem else {
            return Err(Error::malformed(format!(
                "is part {} of a model in {} files, so its name must end in '{suffix}'; give it back the name it had",
                self.number + 1,
                self.count
            ))
            .in_file(path));
        };
        Ok((0..self.count)
            .map(|number| {
                path.with_file_name(format!("{stem}{}", Self { number, ..self }.suffix()))
            })
            .collect())
    }
}

/// A non-negative integer of any width.
pub(super) fn integer(metadata: &Metadata, key: &str) -> Result<Option<u64>> {
    let Some(value) = metadata.get(key) else {
        return Ok(None);
    };
    value
        .as_u64()
        .map(Some)
        .ok_or_else(|| Error::malformed("must be a non-negative integer").in_key(key))
}

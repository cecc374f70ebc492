//! Models in several files, as llama-gguf-split writes them.

use crate::error::{Error, Result};
use crate::io::Limits;
use crate::model::Metadata;
use std::path::{Path, PathBuf};

pub(crate) const NUMBER_KEY: &str = "split.no";
pub(crate) const COUNT_KEY: &str = "split.count";
pub(crate) const TENSORS_KEY: &str = "split.tensors.count";
/// All keys of a split file.
pub(crate) const KEYS: [&str; 3] = [NUMBER_KEY, COUNT_KEY, TENSORS_KEY];

/// The most files that the keys can count.
const MAX_PARTS: usize = u16::MAX as usize;

/// Fails if a model cannot be in so many files, or have so many tensors.
pub(crate) fn check(parts: usize, tensors: usize) -> Result<()> {
    if parts > MAX_PARTS {
        return Err(Error::limit(format!(
            "the model would be split into {parts} files, but a split model has {MAX_PARTS} at most; allow more in each"
        )));
    }
    if i32::try_from(tensors).is_err() {
        return Err(Error::limit(format!(
            "a split model cannot have {tensors} tensors"
        )));
    }
    Ok(())
}

/// The file of one part, given the prefix that all share, or a file name that ends in `.gguf`.
pub(crate) fn part_path(out: &Path, number: usize, count: usize) -> PathBuf {
    let Some(name) = out.file_name() else {
        return out.to_path_buf();
    };
    let mut name = match out.extension() {
        Some(ending) if ending == "gguf" => out.file_stem().unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    };
    name.push(suffix(number as u64, count as u64));
    out.with_file_name(name)
}

/// The end of a part's file name; `number` counts from 0.
fn suffix(number: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}

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

    /// The files of all parts, given the file of this one.
    pub(super) fn siblings(self, path: &Path) -> Result<Vec<PathBuf>> {
        let own_suffix = suffix(self.number, self.count);
        let stem = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(&own_suffix));
        let Some(stem) = stem else {
            return Err(Error::malformed(format!(
                "is part {} of a model in {} files, so its name must end in '{own_suffix}'; give it back the name it had",
                self.number + 1,
                self.count
            ))
            .in_file(path));
        };
        Ok((0..self.count)
            .map(|number| path.with_file_name(format!("{stem}{}", suffix(number, self.count))))
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

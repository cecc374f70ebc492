//! One file into several and back, as llama-gguf-split does it.

use crate::error::{Error, Result};
use crate::format::gguf::split::{self, COUNT_KEY, NUMBER_KEY, TENSORS_KEY};
use crate::model::{Edit, Model, OutputTensor, Part, Plan};
use crate::rewrite::copies;

/// What llama-gguf-split pads tensors to when it adds up their sizes, whatever the file does.
const PADDING: u64 = 32;

/// What makes a part full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// Tensors in each part, at most.
    Tensors(usize),
    /// Bytes of the tensors in each part, at most; a tensor that has more is alone in its part.
    Bytes(u64),
}

impl Default for SplitBy {
    /// That of llama-gguf-split.
    fn default() -> Self {
        Self::Tensors(128)
    }
}

/// How a model is divided among files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SplitOptions {
    /// What makes a part full.
    pub by: SplitBy,
    /// Only metadata in the first part: a small file that can be fetched before the others.
    pub no_tensor_first_split: bool,
}

/// Divides a model among files, the files of llama-gguf-split. The first part has all metadata. A
/// model that is split already is divided anew.
///
/// # Errors
/// `misuse` if no tensor may be in a part, `limit` for more parts than can be counted.
pub fn split_plan(model: &Model, options: &SplitOptions) -> Result<Plan> {
    let tensors = copies(model);
    let mut notes = Vec::new();
    let counts = divide(&tensors, options, &mut notes)?;
    split::check(counts.len(), tensors.len())?;
    let part = |(number, &count): (usize, &usize)| Part {
        tensors: count,
        edits: vec![
            Edit::set(NUMBER_KEY, number as u16),
            Edit::set(TENSORS_KEY, tensors.len() as i32),
            Edit::set(COUNT_KEY, counts.len() as u16),
        ],
    };
    let parts = counts.iter().enumerate().map(part).collect();
    Ok(Plan {
        tensors,
        parts,
        notes,
        ..Plan::default()
    })
}

/// How many tensors go into each part.
fn divide(
    tensors: &[OutputTensor],
    options: &SplitOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>> {
    let (most_tensors, most_bytes) = match options.by {
        SplitBy::Tensors(most) => (most, u64::MAX),
        SplitBy::Bytes(most) => (usize::MAX, most),
    };
    if most_tensors == 0 || most_bytes == 0 {
        return Err(Error::misuse(
            "no tensor fits into parts of nothing; allow at least one tensor, or one byte",
        ));
    }
    let mut counts = vec![0; 1 + usize::from(options.no_tensor_first_split)];
    let (mut current, mut bytes) = (0, 0u64);
    for tensor in tensors {
        let own = tensor.nbytes()?.saturating_add(PADDING - 1) / PADDING * PADDING;
        if current == most_tensors || current > 0 && bytes.saturating_add(own) > most_bytes {
            counts.push(0);
            (current, bytes) = (0, 0);
        }
        if own > most_bytes {
            notes.push(format!(
                "{} alone takes {own} bytes, so part {} is larger than {most_bytes}",
                tensor.name,
                counts.len()
            ));
        }
        current += 1;
        bytes = bytes.saturating_add(own);
        if let Some(last) = counts.last_mut() {
            *last = current;
        }
    }
    Ok(counts)
}

/// Joins the parts of a split model into one file, that of llama-gguf-split.
///
/// # Errors
/// `misuse` if the model is no part of a split one.
pub fn merge_plan(model: &Model) -> Result<Plan> {
    if !model.metadata().contains_key(COUNT_KEY) {
        return Err(
            Error::misuse("is no part of a split model, so there is nothing to merge")
                .in_file(model.path())
                .in_key(COUNT_KEY),
        );
    }
    Ok(Plan {
        tensors: copies(model),
        // The key stays, and says that this is no split model.
        edits: vec![Edit::set(COUNT_KEY, 0u16)],
        ..Plan::default()
    })
}

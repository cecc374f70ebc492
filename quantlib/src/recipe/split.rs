//! One output file for each input file.

use crate::error::Result;
use crate::format::gguf::split::{self, COUNT_KEY, NUMBER_KEY, TENSORS_KEY};
use crate::model::{Edit, Part};
use crate::recipe::order::Kept;
use crate::recipe::plan::Header;

/// Puts the tensors into the input's order, and tells how many of them go into each file.
///
/// The files are as many as have tensors, or had some before layers were left out in between.
///
/// # Errors
/// `limit` for more files or tensors than the keys of a split model can count.
pub(super) fn keep_split(header: &Header<'_>, kept: &mut [Kept<'_>]) -> Result<Vec<Part>> {
    kept.sort_by_key(|kept| kept.index);
    let mut parts = Vec::new();
    let (mut end, mut placed) = (0, 0);
    for count in header.files {
        end += count;
        let upto = kept.partition_point(|kept| kept.index < end);
        parts.push(upto - placed);
        placed = upto;
    }
    // Tensors that no file is known to have lie in the only one.
    if placed < kept.len() || parts.is_empty() {
        parts = vec![kept.len()];
    }
    let used = parts.iter().rposition(|&tensors| tensors > 0).unwrap_or(0);
    parts.truncate(used + 1);
    split::check(parts.len(), kept.len())?;
    let keys = |number| match parts.len() {
        1 => Vec::new(),
        count => vec![
            Edit::set(NUMBER_KEY, number as u16),
            Edit::set(COUNT_KEY, count as u16),
            Edit::set(TENSORS_KEY, kept.len() as i32),
        ],
    };
    let parts = parts.iter().enumerate();
    Ok(parts
        .map(|(number, &tensors)| Part {
            tensors,
            edits: keys(number),
        })
        .collect())
}

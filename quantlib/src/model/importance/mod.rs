//! Importance: how much each input column of each tensor matters to what a model says.

mod matrix;
mod statistics;

pub use matrix::{DEFAULT_CHUNK_SIZE, ImportanceMatrix};
pub use statistics::Statistics;

use crate::error::Result;
use bstr::BString;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

/// Where importance weights come from: an [`ImportanceMatrix`] in memory, or a file that is read
/// tensor by tensor ([`format::imatrix::Reader`](crate::format::imatrix::Reader)).
pub trait ImportanceSource: Debug + Sync {
    /// What a plan needs to know: which entries there are, and what they were computed from.
    fn summary(&self) -> ImportanceSummary;

    /// The weights for a tensor: one a column, or one a column for every expert, experts outermost.
    /// `None` if there is no entry of this name.
    ///
    /// # Errors
    /// `io` and `malformed` if the file fails; `malformed` or `misuse` for weights that are
    /// negative, infinite or NaN.
    fn weights(&self, tensor: &str) -> Result<Option<Vec<f32>>>;

    /// The file that the weights lie in, which a job must not overwrite.
    fn path(&self) -> Option<&Path> {
        None
    }
}

/// What a plan needs to know of importance weights: not the weights, but how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportanceSummary {
    /// The number of weights by tensor name.
    pub entries: BTreeMap<String, usize>,
    /// The file's path as the person gave it, for the output's metadata.
    pub file: Option<BString>,
    /// The first data set that they were computed from.
    pub dataset: Option<BString>,
    /// The number of chunks of text that they were computed from.
    pub chunks: Option<u32>,
}

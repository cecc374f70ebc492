//! An importance matrix in memory: read, calculated, or both.

use super::{ImportanceSource, ImportanceSummary, Statistics};
use crate::error::{Error, Result};
use bstr::BString;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Tokens in a chunk of text, where nothing else is said: llama-imatrix's context.
pub const DEFAULT_CHUNK_SIZE: NonZeroU32 = NonZeroU32::new(512).unwrap();

/// How much each input column of each tensor matters, by tensor name.
///
/// It accumulates squared activations the way llama-imatrix does: give it what goes into each
/// matrix while the model runs on typical text. Files of it are read and written by
/// [`format::imatrix`](crate::format::imatrix).
///
/// ```
/// use quantlib::model::ImportanceMatrix;
/// let mut matrix = ImportanceMatrix::default();
/// matrix.accumulate("blk.0.attn_q.weight", 2, &[1.0, 2.0, 3.0, 4.0])?;
/// let entry = matrix.get("blk.0.attn_q.weight").unwrap();
/// assert_eq!((entry.sums(), entry.counts()), (&[10.0, 20.0][..], &[2][..]));
/// assert_eq!(entry.weights()?, [5.0, 10.0]);
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportanceMatrix {
    entries: BTreeMap<String, Statistics>,
    /// Names of the texts that the activations come from.
    pub datasets: Vec<BString>,
    /// Tokens in a chunk of text: files count chunks.
    pub chunk_size: NonZeroU32,
    /// The path of the file that it was read from, for the metadata of what is made with it.
    pub file: Option<BString>,
}

impl Default for ImportanceMatrix {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            datasets: Vec::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            file: None,
        }
    }
}

impl ImportanceMatrix {
    /// What is known of a tensor.
    pub fn get(&self, tensor: &str) -> Option<&Statistics> {
        self.entries.get(tensor)
    }

    /// Sets what is known of a tensor.
    pub fn set(&mut self, tensor: impl Into<String>, statistics: Statistics) {
        self.entries.insert(tensor.into(), statistics);
    }

    /// Sets the weights for a tensor: one a column, or one a column for every expert.
    pub fn insert(&mut self, tensor: impl Into<String>, weights: Vec<f32>) {
        self.set(tensor, Statistics::of_weights(weights));
    }

    /// Forgets a tensor, and returns what was known of it.
    pub fn remove(&mut self, tensor: &str) -> Option<Statistics> {
        self.entries.remove(tensor)
    }

    /// The entries in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Statistics)> {
        self.entries.iter().map(|(name, s)| (name.as_str(), s))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of whole chunks of text in the longest of the entries.
    pub fn chunks(&self) -> u32 {
        let counts = self.entries.values().flat_map(Statistics::counts);
        let longest = counts.max().copied().unwrap_or(0);
        u32::try_from(longest / u64::from(self.chunk_size.get())).unwrap_or(u32::MAX)
    }

    /// Adds rows of `cols` activations that went into a tensor: for each column, the sum of squares
    /// in f32, row by row, and the number of rows.
    ///
    /// # Errors
    /// `misuse` if the activations are no whole rows, if the tensor had other columns before, or if
    /// a sum is no longer finite; then nothing was added.
    pub fn accumulate(&mut self, tensor: &str, cols: usize, activations: &[f32]) -> Result<()> {
        self.update(tensor, 1, cols, |entry| {
            if entry.sums().len() != cols {
                return Err(other_columns(entry.sums().len(), 1, cols));
            }
            entry.add_rows(activations)
        })
    }

    /// Adds rows of `cols` activations that went into a tensor of `experts` matrices; row `i` went
    /// into that of number `taken[i]`. The sums of an expert are those of its rows in this order;
    /// llama-imatrix takes every token's first expert, then every token's second, and so on.
    ///
    /// # Errors
    /// Those of [`accumulate`](Self::accumulate), and `misuse` for numbers of experts that do not
    /// fit.
    pub fn accumulate_experts(
        &mut self,
        tensor: &str,
        (experts, cols): (usize, usize),
        activations: &[f32],
        taken: &[usize],
    ) -> Result<()> {
        self.update(tensor, experts, cols, |entry| {
            if experts.checked_mul(cols) != Some(entry.sums().len()) {
                return Err(other_columns(entry.sums().len(), experts, cols));
            }
            entry.add_expert_rows(cols, activations, taken)
        })
    }

    /// Changes an entry, or makes one; without an entry and with an error there is none afterwards.
    fn update(
        &mut self,
        tensor: &str,
        experts: usize,
        cols: usize,
        change: impl FnOnce(&mut Statistics) -> Result<()>,
    ) -> Result<()> {
        let change = |entry: &mut Statistics| change(entry).map_err(|e| e.in_tensor(tensor));
        if let Some(entry) = self.entries.get_mut(tensor) {
            return change(entry);
        }
        let mut entry = Statistics::empty(experts, cols).map_err(|e| e.in_tensor(tensor))?;
        change(&mut entry)?;
        self.entries.insert(tensor.to_owned(), entry);
        Ok(())
    }

    /// Adds another matrix of the same model: sums, counts and data sets.
    ///
    /// # Errors
    /// `misuse` if a tensor has other columns there; then nothing was added.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let mut merged = self.entries.clone();
        for (name, theirs) in &other.entries {
            match merged.get_mut(name) {
                Some(ours) => ours.merge(theirs).map_err(|e| e.in_tensor(name))?,
                None => drop(merged.insert(name.clone(), theirs.clone())),
            }
        }
        self.entries = merged;
        self.datasets.extend_from_slice(&other.datasets);
        Ok(())
    }
}

impl ImportanceSource for ImportanceMatrix {
    fn summary(&self) -> ImportanceSummary {
        let lens = self.entries.iter();
        ImportanceSummary {
            entries: lens
                .map(|(name, s)| (name.clone(), s.sums().len()))
                .collect(),
            file: self.file.clone(),
            dataset: self.datasets.first().cloned(),
            chunks: Some(self.chunks()),
        }
    }

    fn weights(&self, tensor: &str) -> Result<Option<Vec<f32>>> {
        let entry = self.entries.get(tensor).map(Statistics::weights);
        entry.transpose().map_err(|e| e.in_tensor(tensor))
    }
}

fn other_columns(known: usize, experts: usize, cols: usize) -> Error {
    Error::misuse(format!(
        "activations of {experts} times {cols} columns do not go into a tensor of {known}"
    ))
}

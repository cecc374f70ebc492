//! Importance weights per column of each tensor.

use std::collections::BTreeMap;

/// How much each input column of each tensor matters: weights by tensor name.
///
/// An entry has one weight a column, or one a column for every expert, experts outermost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportanceMatrix {
    entries: BTreeMap<String, Vec<f32>>,
}

impl ImportanceMatrix {
    /// The weights for a tensor.
    pub fn get(&self, tensor: &str) -> Option<&[f32]> {
        self.entries.get(tensor).map(Vec::as_slice)
    }

    /// Sets the weights for a tensor.
    pub fn insert(&mut self, tensor: impl Into<String>, weights: Vec<f32>) {
        self.entries.insert(tensor.into(), weights);
    }

    /// The entries in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.entries
            .iter()
            .map(|(name, weights)| (name.as_str(), weights.as_slice()))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

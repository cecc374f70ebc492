//! What a comparison finds: plain data for people and for JSON.

use crate::dtype::DType;
use crate::measure::{Errors, MetadataDifference};
use crate::model::TensorInfo;
use serde::Serialize;

/// The version of the comparison's JSON form.
pub(super) const SCHEMA: u32 = 1;

/// What [`compare`](super::compare) found. A is what B is measured against.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The version of this form: 1.
    pub schema: u32,
    /// The file or folder that was named first.
    pub a: String,
    /// The file or folder that was named second.
    pub b: String,
    /// The tensors that both have in one shape, in A's order.
    pub tensors: Vec<TensorComparison>,
    /// All of these tensors together.
    pub total: Total,
    /// Tensors that only A has.
    pub only_a: Vec<TensorInfo>,
    /// Tensors that only B has.
    pub only_b: Vec<TensorInfo>,
    /// Tensors that have other shapes in B.
    pub reshaped: Vec<Reshaped>,
    /// Keys with other values, and keys that only one has.
    pub metadata: Vec<MetadataDifference>,
}

/// One tensor of both models.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TensorComparison {
    /// The name in both.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// How A stores it.
    pub a: DType,
    /// How B stores it.
    pub b: DType,
    /// Bits that an element takes in A.
    pub bits_a: f64,
    /// Bits that an element takes in B.
    pub bits_b: f64,
    /// Whether types and bytes are the same.
    pub identical: bool,
    /// How far the values are apart; none for types such as i32 that are not decoded.
    pub errors: Option<Errors>,
}

/// All compared tensors together.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Total {
    /// Elements of all compared tensors.
    pub elements: u64,
    /// Bits that an element takes in A on average.
    pub bits_a: f64,
    /// Bits that an element takes in B on average.
    pub bits_b: f64,
    /// Tensors whose types and bytes are the same.
    pub identical: usize,
    /// How far the values are apart, as if all tensors were one.
    pub errors: Errors,
}

/// A tensor that has another shape in B.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reshaped {
    /// The name in both.
    pub name: String,
    /// A's row-major shape.
    pub a: Vec<usize>,
    /// B's row-major shape.
    pub b: Vec<usize>,
}

impl Comparison {
    /// Whether everything is the same: tensors, types, bytes, shapes and keys.
    pub fn is_identical(&self) -> bool {
        self.tensors.iter().all(|tensor| tensor.identical)
            && self.only_a.is_empty()
            && self.only_b.is_empty()
            && self.reshaped.is_empty()
            && self.metadata.is_empty()
    }
}

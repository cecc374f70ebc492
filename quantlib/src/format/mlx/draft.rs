//! A model in MLX's terms, before it is decided which of its layers are quantized.

use super::WEIGHT;
use super::document::Document;
use crate::model::OutputTensor;

/// A model in MLX's terms: what its tensors are called and made from, which of them can be quantized,
/// and what lies beside them. [`recipe::mlx::plan`](crate::recipe::mlx::plan) decides the rest.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The tensors, all of one plane, in the order of the output.
    pub weights: Vec<Weight>,
    /// What the folder has besides. An entry `quantization` in its config.json is that of tensors
    /// which are quantized already.
    pub document: Document,
    /// Number of blocks.
    pub blocks: usize,
    /// What the person should know.
    pub notes: Vec<String>,
}

/// One tensor of a [`Draft`].
#[derive(Clone, Debug)]
pub struct Weight {
    /// The tensor as it is stored if it is not quantized.
    pub tensor: OutputTensor,
    /// Whether it can be.
    pub layer: Layer,
}

/// Whether a tensor is the matrix of a layer that MLX has a quantized form of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// It is not.
    None,
    /// It is.
    Plain,
    /// It is, and mlx_lm gives it 8 bits in groups of 64 unless a mixture decides: routers of
    /// experts, and matrices with little room for error.
    Eight,
}

impl Weight {
    /// The layer's path: the tensor's name without `.weight`.
    pub fn path(&self) -> &str {
        let name = &self.tensor.name;
        name.strip_suffix(WEIGHT).unwrap_or(name)
    }
}

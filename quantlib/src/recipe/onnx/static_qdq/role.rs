//! What constants are to the operators that read them, and so how the accelerator wants them.

use crate::format::onnx::Node;

/// What an input of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A value, in the codes of activations.
    Value,
    /// What values are multiplied with: one scale and zero point, 8 bits whatever activations have.
    Factor,
    /// What is added to products with the second input: 32 bits, in steps of the products.
    Bias,
    /// Stays as it is.
    Wide,
}

/// Operators whose second input multiplies and whose third, if there is one, is added.
const SCALED: &[&str] = &[
    "BatchNormalization",
    "ConvTranspose",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "PRelu",
    "RMSNormalization",
];

/// Products, of which any input may be the constant.
const PRODUCTS: &[&str] = &["Conv", "Einsum", "Gemm", "MatMul"];

/// Operators whose further inputs are no values, though they may be floats.
const SETTINGS: &[&str] = &[
    "Resize", "Upsample", "Clip", "Pad", "Range", "Dropout", "TopK",
];

impl Role {
    /// That of a constant which is an input of a node.
    pub(super) fn of(node: &Node<'_>, input: usize) -> Self {
        let is_one = |of: &[&str]| of.contains(&node.op_type());
        match input {
            1.. if is_one(SETTINGS) => Self::Wide,
            // Mean and variance go into scale and bias before anything is rounded.
            3.. if node.is("BatchNormalization") => Self::Wide,
            1 if is_one(SCALED) => Self::Factor,
            2 if is_one(SCALED) => Self::Bias,
            0 | 1 if is_one(PRODUCTS) => Self::Factor,
            _ => Self::Value,
        }
    }
}

//! The weights of matrix products, and what must be true of them to be quantized.

use super::draft::Draft;
use crate::dtype::DType;
use crate::format::onnx::{Message, Node, make_node};
use crate::model::TensorInfo;

/// A weight that can be quantized: its type and shape, or why it cannot.
pub(super) fn suits(draft: &Draft<'_>, weight: usize) -> Result<TensorInfo, String> {
    let it = &draft.graphs.weights[weight];
    if !draft.is_constant(it) {
        return Err("its weight is the default of an input, which callers may replace".to_owned());
    }
    let info = draft
        .info(weight)
        .ok_or("the elements of its weight are no plain floats")?;
    if info.shape.contains(&0) {
        return Err("its weight has no elements".to_owned());
    }
    match info.dtype {
        DType::F32 | DType::F16 => Ok(info.clone()),
        dtype => Err(format!(
            "its weight is stored as {dtype}, and only f32 and f16 are quantized"
        )),
    }
}

/// What a `MatMul` or a `Gemm` multiplies with, on the right side.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) info: TensorInfo,
    /// Whether the model has it as (N, K), for a `Gemm` that transposes it.
    pub(super) is_transposed: bool,
}

impl Matrix {
    /// The weight of a node, or why it is no matrix.
    pub(super) fn new(info: TensorInfo, node: &Node<'_>) -> Result<Self, String> {
        let is_transposed = node.is("Gemm") && node.int("transB") == Some(1);
        match info.shape.len() {
            2.. => Ok(Self {
                info,
                is_transposed,
            }),
            _ => Err(format!(
                "its weight has the shape {:?}, no matrix",
                info.shape
            )),
        }
    }

    /// Whether it is a stack of matrices.
    pub(super) fn is_stack(&self) -> bool {
        self.info.shape.len() > 2
    }

    /// Rows and columns of the matrix that is multiplied with: (K, N).
    pub(super) fn size(&self) -> (usize, usize) {
        match (&self.info.shape[..], self.is_transposed) {
            ([.., n, k], true) | ([.., k, n], false) => (*k, *n),
            _ => (0, 0),
        }
    }
}

/// Why a `Gemm` is no product and sum, if it is none.
pub(super) fn odd_gemm(node: &Node<'_>) -> Result<(), String> {
    let one = |name: &str| node.float(name).unwrap_or(1.0) == 1.0;
    match node.is("Gemm") && (!one("alpha") || !one("beta") || node.int("transA") == Some(1)) {
        true => Err("it scales or transposes besides multiplying".to_owned()),
        false => Ok(()),
    }
}

/// What the product of a node should yield, and the node that adds a bias to it if the node is a `Gemm`
/// that has one.
pub(super) fn split_bias(draft: &mut Draft<'_>, node: &Node<'_>) -> (String, Option<Message>) {
    let output = node.outputs().next().unwrap_or_default();
    let bias = node.input(2);
    if !node.is("Gemm") || bias.is_empty() {
        return (output.to_owned(), None);
    }
    let product = draft.names.unique(&format!("{output}_MatMul"));
    let name = match node.name() {
        "" => String::new(),
        name => draft.names.unique(&format!("{name}_Add")),
    };
    let sum = make_node(["Add", "", &name], &[&product, bias], &[output], &[]);
    (product, Some(sum))
}

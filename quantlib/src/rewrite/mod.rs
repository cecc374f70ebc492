//! Plans that leave the values of a GGUF model as they are: one file or several, other keys.
//!
//! The plans are carried out by [`split_model`](crate::job::split_model),
//! [`merge_model`](crate::job::merge_model) and [`edit_model`](crate::job::edit_model).

mod metadata;
mod split;
mod typed;

pub use metadata::{Change, SPECIAL_TOKENS, Token, edited};
pub use typed::parse_value;

pub use split::{SplitBy, SplitOptions, merge_plan, split_plan};

use crate::model::{Expr, Model, OutputTensor};
use crate::tensor::Encoding;

/// All tensors as they are, in the input's order.
pub(crate) fn copies(model: &Model) -> Vec<OutputTensor> {
    let copy = |info: &crate::model::TensorInfo| OutputTensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        encoding: Encoding::Block(info.dtype),
        source: Expr::input(&info.name),
        importance: None,
    };
    model.tensors().iter().map(copy).collect()
}

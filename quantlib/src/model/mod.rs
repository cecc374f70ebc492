//! What a model is, whatever file it comes from: named tensors plus a document.

mod expr;
mod importance;
mod pattern;
mod plan;
mod reader;
mod value;

pub(crate) use expr::within_f16;
pub use expr::{Expr, Product, Typed};
pub use importance::{
    DEFAULT_CHUNK_SIZE, ImportanceMatrix, ImportanceSource, ImportanceSummary, Statistics,
};
pub use pattern::NamePattern;
pub use plan::{Edit, OutputTensor, Part, Plan};
pub use reader::{Location, Model, Reader, TensorInfo};
pub use value::{Array, Metadata, StringArray, Value};

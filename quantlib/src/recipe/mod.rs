//! From a model and a wish to a plan: llama-quantize's mixtures and overrides.
//!
//! [`plan`] chooses for each tensor what llama-quantize chooses, from the names, the shapes and the
//! hyper-parameters alone. [`plan_after`] does so for a GGUF that a conversion would write, and
//! [`onnx::plan`] plans what becomes of an ONNX model, and [`mlx::plan`] which layers of an MLX model are
//! quantized.

mod category;
mod compose;
mod document;
mod hyper;
mod mixture;
pub mod mlx;
mod name;
pub mod onnx;
mod options;
mod order;
mod pattern;
mod plan;
mod shape;
mod split;

pub use compose::{compose, plan_after};
#[cfg(feature = "hf")]
pub(crate) use document::name_file_type;
pub use name::Recipe;
pub use options::{KvOverride, OverrideValue, QuantizeOptions, TensorType};
pub use plan::{Header, plan};

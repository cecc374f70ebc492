//! From a Hugging Face folder or a GGUF file to MLX's terms, and back: what mlx_lm's `sanitize` makes of a
//! model, declared beside what GGUF has of it.

mod config;
mod describe;
mod draft;
mod files;
mod gguf;
mod hf;
mod order;
mod original;
mod restored;

pub(super) use describe::{Head, Mlx};
pub use draft::{MlxSource, draft};
pub use gguf::gguf_draft;
pub use hf::{HfSource, hf_draft};
pub(super) use restored::Restored;
pub use restored::as_blocks;

use crate::model::{Model, Value};

/// Whether a folder is MLX's, be its layers quantized or not.
pub(super) fn is_mlx(model: &Model) -> bool {
    let says = model.metadata().get("format").and_then(Value::as_str);
    model.format() == "mlx" || (model.format() == "safetensors" && says == Some("mlx"))
}

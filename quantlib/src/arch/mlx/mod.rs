//! From a Hugging Face folder to MLX's terms: what mlx_lm's `sanitize` makes of a model, declared
//! beside what GGUF has of it.

mod config;
mod describe;
mod draft;
mod files;
mod gguf;
mod order;

pub(super) use describe::{Head, Mlx};
pub use draft::{MlxSource, draft};
pub use gguf::gguf_draft;

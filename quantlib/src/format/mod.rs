//! Containers, which know nothing of each other, and the dialects over them.

pub(crate) mod chat_template;
#[forbid(unsafe_code)]
pub mod gguf;
#[cfg(feature = "hf")]
pub mod hf;
#[forbid(unsafe_code)]
pub mod imatrix;
mod layout;
#[cfg(feature = "hf")]
pub mod lora;
#[forbid(unsafe_code)]
pub mod mlx;
#[forbid(unsafe_code)]
pub mod onnx;
mod open;
#[forbid(unsafe_code)]
pub mod safetensors;
mod stored;

pub use chat_template::ChatTemplate;
pub use layout::Layout;
pub use open::{open, open_with};

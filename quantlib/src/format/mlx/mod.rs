//! MLX's model folders: safetensors in which a quantized layer is three tensors (`NAME.weight`,
//! `NAME.scales`, `NAME.biases`), and a config.json that says how.
//!
//! Everything here is about the folder that is written or read; which models there are, and what
//! their tensors are called, `arch` knows.

mod blocks;
mod document;
mod draft;
mod global;
mod layers;
mod layout;
mod quantization;
mod reader;

pub use blocks::AsBlocks;
pub use document::{Content, Dialect, Document, ExtraFile};
pub use draft::{Draft, Layer, Weight};
pub use layout::{Layout, SHARD_BYTES, Shard};
pub use quantization::{LayerQuantization, Mode};
pub use reader::Reader;

/// The file that says what the model is and how it is quantized.
pub const CONFIG: &str = "config.json";

/// The file that says which shard each tensor is in.
pub const INDEX: &str = "model.safetensors.index.json";

/// The end of the names of tensors that can be quantized; what is before is a layer's path.
pub(crate) const WEIGHT: &str = ".weight";

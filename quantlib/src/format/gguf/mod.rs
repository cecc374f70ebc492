//! GGUF, the file format of llama.cpp: reads versions 2 and 3, writes version 3.

mod cursor;
mod endian;
mod head;
mod header;
mod reader;
pub(crate) mod split;
mod values;
mod writer;

pub use head::{Dialect, layout};
pub use reader::Reader;
pub use writer::Writer;

/// The name of the format in [`Model::format`](crate::model::Model::format).
const FORMAT: &str = "gguf";

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Dimensions that ggml's tensors have (`GGML_MAX_DIMS`).
const MAX_DIMS: usize = 4;
/// Bytes of ggml's tensor names with the final NUL (`GGML_MAX_NAME`).
const MAX_NAME: usize = 64;

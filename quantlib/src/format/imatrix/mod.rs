//! llama.cpp's importance matrices: GGUF files, and the older `.dat` files.
//!
//! Both are what llama-imatrix writes and llama-quantize reads. A [`Reader`] gives the weights tensor
//! by tensor; [`load`] reads a whole matrix, to be added to or written again with [`save`].

mod dat;
mod gguf;
mod reader;
mod write;

pub use reader::{Reader, load};
pub use write::{Format, save};

/// Ends of tensor names in the GGUF form.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// Keys of the GGUF form.
const DATASETS_KEY: &str = "imatrix.datasets";
const CHUNK_COUNT_KEY: &str = "imatrix.chunk_count";
const CHUNK_SIZE_KEY: &str = "imatrix.chunk_size";

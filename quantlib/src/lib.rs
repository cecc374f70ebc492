//! Quantize neural networks and convert model files, with the bytes that the original tools write.
//!
//! Encoding and decoding of tensors in memory: [`quantize`] and [`dequantize`].

#![deny(unsafe_code)]

// The floors, lowest first. A module imports only from floors below its own; a test checks it.
pub mod arch; // 5
mod block; // 1
mod codec; // 2
pub mod dtype; // 0
pub mod error; // 0
pub mod format; // 4
pub mod io; // 0
pub mod job;
pub mod model; // 3
mod parallel; // 0
pub mod recipe; // 6
pub mod tensor; // 2 // 7

pub use codec::{CodecOptions, NonFinite, dequantize, dequantize_into, quantize, quantize_into};
pub use dtype::{DType, Precision};
pub use error::{Error, ErrorKind, Result};
pub use tensor::{Encoding, Floats, QuantizedTensor, TensorView};

/// The llama.cpp version whose bytes the GGUF types and files equal.
pub const LLAMA_CPP_VERSION: &str = "v0.5.0";

/// The ggml version whose bytes the block formats equal: that of [`LLAMA_CPP_VERSION`].
pub const GGML_VERSION: &str = "0.25.1";

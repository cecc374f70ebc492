//! Quantize neural networks and convert model files, with the bytes that the original tools write.
//!
//! - Tensors in memory: [`quantize`] and [`dequantize`]; [`matvec`] and [`matvec_q8`] compute with what
//!   is encoded.
//! - Models in files: [`quantize_model`] does all in one call. In steps: [`open`] a model, make a
//!   [`Plan`] with a [`Recipe`] (see [`recipe::plan`]), and carry it out as a [`Job`].

#![deny(unsafe_code)]

// The floors of docs/DESIGN.md: a module imports only from floors below its own, and
// tests/layers.rs reads these headings to check it.

// Floor 0
pub mod dtype;
pub mod error;
pub mod io;
mod numeric;
mod parallel;
#[allow(unsafe_code)]
mod simd;

// Floor 1
pub mod affine;
mod block;

// Floor 2
mod codec;
mod matvec;
pub mod planar;
pub mod tensor;

// Floor 3
pub mod model;

// Floor 4
pub mod format;

// Floor 5
#[cfg(feature = "hf")]
pub mod arch;

// Floor 6
pub mod recipe;
pub mod rewrite;

// Floor 7
pub mod job;
pub mod measure;

pub use affine::{AffineLayout, AffineSpec};
pub use codec::{
    CodecOptions, NonFinite, dequantize, dequantize_into, has_codec, quantize, quantize_into,
};
pub use dtype::{DType, Precision};
pub use error::{Error, ErrorKind, Result};
pub use format::open;
#[cfg(feature = "hf")]
pub use job::convert_model;
pub use job::{Job, JobOptions, Quantization, Report, quantize_model};
pub use matvec::{Q8Vector, matvec, matvec_into, matvec_q8, matvec_q8_into};
pub use model::Plan;
pub use planar::{
    AffineTensor, dequantize_affine, dequantize_affine_into, quantize_affine, quantize_affine_into,
};
pub use recipe::Recipe;
pub use simd::Isa;
pub use tensor::{Encoding, Floats, QuantizedTensor, TensorView};

/// The llama.cpp version whose bytes the GGUF types and files equal.
pub const LLAMA_CPP_VERSION: &str = "v0.5.0";

/// The ggml version whose bytes the block formats equal: that of [`LLAMA_CPP_VERSION`].
pub const GGML_VERSION: &str = "0.25.1";

//! Quantize neural networks and convert model files, with the bytes that the original tools write.
//!
//! - Tensors in memory: [`quantize`] and [`dequantize`]; [`matvec`] and [`matvec_q8`] compute with what
//!   is encoded.
//! - Models in files: [`quantize_model`] does all in one call. In steps: [`open`] a model, make a
//!   [`Plan`] with a [`Recipe`] (see [`recipe::plan`]), and carry it out as a [`Job`].

#![deny(unsafe_code)]

// The floors of docs/DESIGN.md: a module imports only from floors below its own, and
// tests/layers.rs reads these headings to check it. Floors 0 to 2, all that works on tensors in
// memory, are the crate quantlib-codecs: its kernels take long to compile, and change seldom.
use quantlib_codecs::internal::{block, codec, numeric, parallel, parts, simd};
pub use quantlib_codecs::{affine, dtype, error, planar, tensor};

// Floor 0
pub mod io;

// Floor 2
pub mod transcode;

// Floor 3
pub mod model;

// Floor 4
pub mod format;

// Floor 5
#[cfg(feature = "hf")]
pub mod arch;

// Floor 6
pub mod calibrate;
pub mod recipe;
pub mod rewrite;

// Floor 7
pub mod job;
pub mod measure;

pub use format::open;
#[cfg(feature = "hf")]
pub use job::convert_model;
pub use job::{Job, JobOptions, Quantization, Report, quantize_model};
pub use model::Plan;
pub use quantlib_codecs::{
    AffineLayout, AffineSpec, AffineTensor, CodecOptions, DType, Encoding, Error, ErrorKind,
    Floats, GGML_VERSION, Isa, NonFinite, Precision, Q8Vector, QuantizedTensor, Result, TensorView,
    dequantize, dequantize_affine, dequantize_affine_into, dequantize_into, has_codec, matvec,
    matvec_into, matvec_q8, matvec_q8_into, quantize, quantize_affine, quantize_affine_into,
    quantize_into,
};
pub use recipe::Recipe;
pub use transcode::{transcode, transcode_with};

/// The llama.cpp version whose bytes the GGUF types and files equal; its ggml is [`GGML_VERSION`].
pub const LLAMA_CPP_VERSION: &str = "v0.5.0";

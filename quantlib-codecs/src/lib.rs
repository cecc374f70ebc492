//! Tensors in memory, encoded and decoded: the floors of quantlib that know of no files.
//!
//! Use them as part of `quantlib`, which exports all of this: [`quantize`] and [`dequantize`] for the
//! block formats of GGUF, [`quantize_affine`] for integers with scales beside them, [`matvec`] and
//! [`matvec_q8`] to compute with what is encoded.

#![deny(unsafe_code)]

// Floor 0
pub mod dtype;
pub mod error;
mod numeric;
mod parallel;
#[allow(unsafe_code)]
mod simd;

// Floor 1
pub mod affine;
mod block;
mod parts;

// Floor 2
mod codec;
mod matvec;
pub mod planar;
pub mod tensor;

pub use affine::{AffineLayout, AffineSpec};
pub use codec::{
    CodecOptions, NonFinite, dequantize, dequantize_into, has_codec, quantize, quantize_into,
};
pub use dtype::{DType, Precision};
pub use error::{Error, ErrorKind, Result};
pub use matvec::{Q8Vector, matvec, matvec_into, matvec_q8, matvec_q8_into};
pub use planar::{
    AffineTensor, dequantize_affine, dequantize_affine_into, quantize_affine, quantize_affine_into,
};
pub use simd::Isa;
pub use tensor::{Encoding, Floats, QuantizedTensor, TensorView};

/// The ggml version whose bytes the block formats equal.
pub const GGML_VERSION: &str = "0.25.1";

/// What the upper floors use besides; no part of the public interface, and free to change.
#[doc(hidden)]
pub mod internal {
    /// The codecs of the block formats, by type.
    pub mod block {
        pub use crate::block::{Codec, codec};
    }
    /// Encoding piece by piece.
    pub mod codec {
        pub use crate::codec::{CodecOptions, NonFinite, RowEncoder, quantize};
    }
    /// Small floating-point types.
    pub mod numeric {
        pub use crate::numeric::f8;
    }
    /// The choice of instruction set.
    pub mod simd {
        pub use crate::simd::Isa;
    }
    /// Encodings taken apart.
    pub mod parts {
        pub use crate::parts::{
            Form, Origin, Parts, affine_form, block_form, first_inexact, is_writable,
            put_affine_together, put_block_together, take_affine_apart, take_block_apart,
        };
    }
    /// Thread pools.
    pub mod parallel {
        pub use crate::parallel::{available_threads, pool, resolve_threads};
    }
}

//! Interleaved block formats (ggml's): one file a format, one registry.
//!
//! A format is a layout struct, a decoder and an encoder, joined by [`BlockFormat`]. The scalar
//! functions named `_ref` define the bytes; whatever is faster must equal them.

mod blocks;
mod codebook;
mod codes;
mod compiled;
mod dot;
mod elements;
mod fp4;
mod iq1;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod k_affine;
mod k_symmetric;
mod lanes;
mod mxfp4;
mod nonlinear;
mod number;
mod nvfp4;
mod packing;
mod parts;
mod plain;
mod q1_0;
mod q2_0;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod q8_1;
mod q8_k;
mod search;
mod ternary;
mod thirty_two;
mod tq1_0;
mod tq2_0;
mod weights;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::simd::{Isa, Portable, Sixteen};
use bytemuck::Pod;
use dot::DotFormat;
pub(crate) use dot::{Q8, vector_type};
pub(crate) use parts::take_apart_codec;

/// One block format: its layout and the scalar reference of both directions.
///
/// Encoders get whole rows because some formats weigh a block against its whole row. `importance`
/// has one weight for every column. Lengths are checked before these are called: `rows` is a whole
/// number of rows of `cols` elements, `cols` a whole number of blocks.
trait BlockFormat: Sized {
    const DTYPE: DType;

    /// Whether the encoder refuses to work without importance, as ggml's does.
    const NEEDS_IMPORTANCE: bool = false;

    /// The bytes of one block; alignment 1, so that any byte slice can be viewed as blocks.
    type Block: Pod;

    /// The elements of one block: an array of `f32`.
    type Elements: Pod;

    /// Writes the elements of a block. Implementations must be `#[inline(always)]`.
    fn decode<S: Sixteen>(s: S, block: &Self::Block, y: &mut Self::Elements);

    /// Encodes `rows` into `out`: the reference.
    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Self::Block]);

    /// [`encode`](Self::encode) with an instruction set: the reference itself, compiled for it,
    /// unless the format has something better.
    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Self::Block],
    ) {
        compiled::encode::<Self>(isa, rows, cols, importance, out);
    }
}

type Decode = fn(isa: Isa, &[u8], &mut [f32]);
type Encode = fn(isa: Isa, rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [u8]);

type Matvec = fn(isa: Isa, rows: &[u8], x: &[f32], out: &mut [f32]);
type MatvecQ8 = fn(isa: Isa, rows: &[u8], x: &Q8, out: &mut [f32]);

/// The functions of one format, with the block type erased. Look one up with [`codec`].
pub struct Codec {
    needs_importance: bool,
    decode: Decode,
    decode_past_caches: Decode,
    encode: Encode,
    matvec: Matvec,
    matvec_q8: MatvecQ8,
}

impl Codec {
    const fn of<F: DotFormat>() -> Self {
        assert!(size_of::<F::Block>() == F::DTYPE.block_bytes());
        assert!(align_of::<F::Block>() == 1);
        Self {
            needs_importance: F::NEEDS_IMPORTANCE,
            decode: |isa, data, out| {
                let blocks = bytemuck::cast_slice(data);
                match isa {
                    Isa::Scalar => compiled::decode_each::<F, _>(Portable, blocks, out),
                    isa => compiled::decode::<F>(isa, blocks, out),
                }
            },
            decode_past_caches: |isa, data, out| {
                compiled::decode_past_caches::<F>(isa, bytemuck::cast_slice(data), out);
            },
            encode: |isa, rows, cols, importance, out| {
                let out = bytemuck::cast_slice_mut(out);
                match isa {
                    Isa::Scalar => F::encode(rows, cols, importance, out),
                    isa => F::encode_with(isa, rows, cols, importance, out),
                }
            },
            matvec: dot::matvec::<F>,
            matvec_q8: dot::matvec_q8::<F>,
        }
    }

    /// Whether [`encode`](Self::encode) works with importance only.
    pub fn needs_importance(&self) -> bool {
        self.needs_importance
    }

    /// Decodes whole blocks with the instructions of `isa`. Panics if the lengths do not belong
    /// together: callers check.
    pub fn decode(&self, isa: Isa, data: &[u8], out: &mut [f32]) {
        (self.decode)(isa, data, out);
    }

    /// [`decode`](Self::decode) for results that no cache holds: where the CPU can, they are written past
    /// them.
    pub(crate) fn decode_past_caches(&self, isa: Isa, data: &[u8], out: &mut [f32]) {
        match isa {
            Isa::Scalar | Isa::Portable => self.decode(isa, data, out),
            Isa::Avx2 | Isa::Avx512 => (self.decode_past_caches)(isa, data, out),
        }
    }

    /// Encodes whole rows with the instructions of `isa`. Panics if the lengths do not belong
    /// together: callers check.
    pub fn encode(
        &self,
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [u8],
    ) {
        (self.encode)(isa, rows, cols, importance, out);
    }

    /// Multiplies rows with a vector, one for each element of `out`. Panics if the lengths do not
    /// belong together: callers check.
    pub(crate) fn matvec(&self, isa: Isa, rows: &[u8], x: &[f32], out: &mut [f32]) {
        (self.matvec)(isa, rows, x, out);
    }

    /// The same with a vector of the type that [`vector_type`] says.
    pub(crate) fn matvec_q8(&self, isa: Isa, rows: &[u8], x: &Q8, out: &mut [f32]) {
        (self.matvec_q8)(isa, rows, x, out);
    }
}

/// The codec of a type; `unsupported` for types that have none (integers, f64).
pub fn codec(dtype: DType) -> Result<&'static Codec> {
    macro_rules! registry {
        ($($format:ty),* $(,)?) => {
            match dtype {
                $(<$format as BlockFormat>::DTYPE => {
                    static CODEC: Codec = Codec::of::<$format>();
                    Ok(&CODEC)
                })*
                _ => Err(Error::unsupported(format!("{dtype} tensors can be copied, but not encoded or decoded"))),
            }
        };
    }
    // Braces, because rustfmt leaves their inside alone: one format a line, in the order of the ids.
    registry! {
        plain::F32,
        plain::F16,
        q4_0::Q4_0,
        q4_1::Q4_1,
        q5_0::Q5_0,
        q5_1::Q5_1,
        q8_0::Q8_0,
        q8_1::Q8_1,
        q2_k::Q2K,
        q3_k::Q3K,
        q4_k::Q4K,
        q5_k::Q5K,
        q6_k::Q6K,
        q8_k::Q8K,
        iq2_xxs::Iq2Xxs,
        iq2_xs::Iq2Xs,
        iq3_xxs::Iq3Xxs,
        iq1_s::Iq1S,
        iq4_nl::Iq4Nl,
        iq3_s::Iq3S,
        iq2_s::Iq2S,
        iq4_xs::Iq4Xs,
        iq1_m::Iq1M,
        plain::BF16,
        tq1_0::Tq1_0,
        tq2_0::Tq2_0,
        mxfp4::Mxfp4,
        nvfp4::Nvfp4,
        q1_0::Q1_0,
        q2_0::Q2_0,
    }
}

//! Dot products of encoded rows with a vector, decoding on the way: with floats, or with 8-bit
//! integers as ggml computes them.
//!
//! Sums have a fixed order, so that every instruction set gives the same bits: docs/matvec.md defines
//! it. A format takes part with [`Small`] or [`Super`], beside its decoder.

mod floats;
mod groups;
mod plain;
mod supers;
mod unpack;
mod vector;

pub(super) use groups::{Group, Small};
pub(super) use supers::{Super, SuperBlock};
pub(super) use unpack::{
    bits, centred_products, crumbs, dot_pairs, dot_signed_pairs, nibbles, twice, two_five_bits,
    two_nibbles,
};
pub(crate) use vector::Q8;

use super::BlockFormat;
use super::number::fill;
use crate::dtype::DType;
use crate::simd::{Isa, Kernel, Lanes, Sixteen, SixtyFour};
use vector::Piece;

/// A format whose rows can be multiplied with vectors.
pub(super) trait DotFormat: BlockFormat {
    /// A part of the vector of integers.
    type Piece: Piece;

    /// Whether products with integers are looked up in a large table: with AVX-512 the compiler makes
    /// gathers of that, which take many times as long where microcode guards them.
    const LOOKS_UP: bool = false;

    /// A row times a vector of floats. Implementations must be `#[inline(always)]`.
    #[inline(always)]
    fn dot<S: SixtyFour>(s: S, row: &[Self::Block], x: &[f32]) -> f32 {
        floats::dot::<Self, S>(s, row, x)
    }

    /// A row times a vector of integers. Implementations must be `#[inline(always)]`.
    fn dot_q8<S: SixtyFour>(s: S, row: &[Self::Block], x: &[Self::Piece]) -> f32;
}

/// Which formats take which vectors: those of ggml's `vec_dot_type`, except that it has none for
/// Q8_1 and Q8_K, which are made for vectors themselves.
macro_rules! take {
    ($($piece:ty, $dot:ident, looks up: $looks_up:literal: $($format:ty),*;)*) => {
        $($(impl DotFormat for $format {
            type Piece = $piece;
            const LOOKS_UP: bool = $looks_up;

            #[inline(always)]
            fn dot_q8<S: SixtyFour>(s: S, row: &[Self::Block], x: &[Self::Piece]) -> f32 {
                $dot::dot::<Self, S>(s, row, x)
            }
        })*)*
    };
}

take! {
    Group, groups, looks up: false:
        super::q1_0::Q1_0, super::q2_0::Q2_0, super::q4_0::Q4_0, super::q4_1::Q4_1,
        super::q5_0::Q5_0, super::q5_1::Q5_1, super::q8_0::Q8_0, super::iq4_nl::Iq4Nl,
        super::mxfp4::Mxfp4, super::nvfp4::Nvfp4;
    SuperBlock, supers, looks up: false:
        super::q2_k::Q2K, super::q3_k::Q3K, super::q4_k::Q4K, super::q5_k::Q5K, super::q6_k::Q6K,
        super::iq1_s::Iq1S, super::iq1_m::Iq1M, super::iq2_xxs::Iq2Xxs, super::iq2_xs::Iq2Xs,
        super::iq2_s::Iq2S, super::iq4_xs::Iq4Xs, super::tq1_0::Tq1_0, super::tq2_0::Tq2_0;
    SuperBlock, supers, looks up: true:
        super::iq3_xxs::Iq3Xxs, super::iq3_s::Iq3S;
    f32, floats, looks up: false:
        super::q8_1::Q8_1, super::q8_k::Q8K;
}

/// The type that ggml encodes a vector to for rows of a type; `None` if it has no dot product for
/// them.
pub(crate) const fn vector_type(rows: DType) -> Option<DType> {
    use DType::*;
    match rows {
        F32 => Some(F32),
        F16 => Some(F16),
        BF16 => Some(BF16),
        Q4_1 | Q5_1 => Some(Q8_1),
        Q1_0 | Q2_0 | Q4_0 | Q5_0 | Q8_0 | Iq4Nl | Mxfp4 | Nvfp4 => Some(Q8_0),
        Q2K | Q3K | Q4K | Q5K | Q6K | Iq1S | Iq1M | Iq2Xxs | Iq2Xs | Iq2S | Iq3Xxs | Iq3S
        | Iq4Xs | Tq1_0 | Tq2_0 => Some(Q8K),
        _ => None,
    }
}

/// Rows times a vector of floats, with the instructions of `isa`.
pub(super) fn matvec<F: DotFormat>(isa: Isa, data: &[u8], x: &[f32], out: &mut [f32]) {
    isa.run(Floats::<F> {
        blocks: bytemuck::cast_slice(data),
        x,
        out,
    });
}

/// Rows times a vector of integers, with the instructions of `isa`.
pub(super) fn matvec_q8<F: DotFormat>(isa: Isa, data: &[u8], x: &Q8, out: &mut [f32]) {
    let isa = if F::LOOKS_UP { isa.narrow() } else { isa };
    isa.run(Integers::<F> {
        blocks: bytemuck::cast_slice(data),
        per_row: x.cols() / F::DTYPE.block_len(),
        x: F::Piece::of(x),
        out,
    });
}

struct Floats<'a, F: DotFormat> {
    blocks: &'a [F::Block],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<F: DotFormat> Kernel for Floats<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self
            .blocks
            .chunks_exact(self.x.len() / F::DTYPE.block_len());
        for (row, out) in rows.zip(self.out) {
            *out = F::dot(lanes.row(), row, self.x);
        }
    }
}

struct Integers<'a, F: DotFormat> {
    blocks: &'a [F::Block],
    per_row: usize,
    x: &'a [F::Piece],
    out: &'a mut [f32],
}

impl<F: DotFormat> Kernel for Integers<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self.blocks.chunks_exact(self.per_row);
        for (row, out) in rows.zip(self.out) {
            *out = F::dot_q8(lanes.row(), row, self.x);
        }
    }
}

/// The sum of 16 partial sums: first those that are 8 apart are added, then 4, 2 and 1.
#[inline(always)]
fn sum<S: Sixteen>(s: S, partial: S::F) -> f32 {
    let mut sums = [0.0; 16];
    s.store(partial, &mut sums);
    let eight: [f32; 8] = fill(|i| sums[i] + sums[i + 8]);
    let four: [f32; 4] = fill(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

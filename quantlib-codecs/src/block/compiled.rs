//! The scalar reference, compiled for each instruction set: as fast as it gets for whatever does its
//! work in one pass, because the compiler vectorizes that.
//!
//! It takes that everything below is `#[inline(always)]`: what is not is compiled for the baseline
//! CPU.

use super::BlockFormat;
use crate::simd::{Isa, Kernel, Lanes, Sixteen};

/// Decodes block by block. (A loop, because a closure would be compiled once for all.)
#[inline(always)]
pub(super) fn decode_each<F: BlockFormat, S: Sixteen>(s: S, blocks: &[F::Block], out: &mut [f32]) {
    let out: &mut [F::Elements] = bytemuck::cast_slice_mut(out);
    for (block, y) in blocks.iter().zip(out) {
        F::decode(s, block, y);
    }
}

/// [`decode_each`] with the instructions of `isa`.
pub(super) fn decode<F: BlockFormat>(isa: Isa, blocks: &[F::Block], out: &mut [f32]) {
    isa.run(Decode::<F> { blocks, out });
}

/// [`BlockFormat::encode`] with the instructions of `isa`.
pub(super) fn encode<F: BlockFormat>(
    isa: Isa,
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [F::Block],
) {
    isa.run(Encode::<F> {
        rows,
        cols,
        importance,
        out,
    });
}

struct Decode<'a, F: BlockFormat> {
    blocks: &'a [F::Block],
    out: &'a mut [f32],
}

impl<F: BlockFormat> Kernel for Decode<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        decode_each::<F, _>(lanes.row(), self.blocks, self.out);
    }
}

struct Encode<'a, F: BlockFormat> {
    rows: &'a [f32],
    cols: usize,
    importance: Option<&'a [f32]>,
    out: &'a mut [F::Block],
}

impl<F: BlockFormat> Kernel for Encode<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        F::encode(self.rows, self.cols, self.importance, self.out);
    }
}

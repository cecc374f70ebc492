//! Rows of super-blocks times a vector of Q8_K.

use super::super::BlockFormat;
use super::sum;
use crate::simd::SixtyFour;

/// 256 elements of a vector: a block of Q8_K.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct SuperBlock {
    /// Signed bytes but -128, as bytes without sign.
    pub(in crate::block) codes: [[u8; 64]; 4],
    /// Sums of 16 codes.
    pub(super) sums: [i16; 16],
    pub(super) scale: f32,
}

impl SuperBlock {
    /// Adds `scale` times this block's own times the integers.
    #[inline(always)]
    pub(in crate::block) fn add<S: SixtyFour>(
        &self,
        s: S,
        sum: S::F,
        scale: f32,
        integers: S::I,
    ) -> S::F {
        let scale = s.splat(scale * self.scale);
        s.add(sum, s.mul(s.to_float(integers), scale))
    }

    /// Subtracts `min` times this block's scale times `minima`, which are those of 16 elements each.
    #[inline(always)]
    pub(in crate::block) fn subtract<S: SixtyFour>(
        &self,
        s: S,
        sum: S::F,
        min: f32,
        minima: &[u8; 16],
    ) -> S::F {
        s.sub_scaled_pairs(sum, minima, &self.sums, min * self.scale)
    }
}

/// A format of 256 elements a block.
pub(in crate::block) trait Super: BlockFormat {
    /// Adds the terms of a block to partial sums. Implementations must be `#[inline(always)]`.
    fn add<S: SixtyFour>(s: S, block: &Self::Block, x: &SuperBlock, sum: S::F) -> S::F;
}

#[inline(always)]
pub(super) fn dot<F: Super, S: SixtyFour>(s: S, row: &[F::Block], x: &[SuperBlock]) -> f32 {
    let mut partial = s.splat(0.0);
    for (block, x) in row.iter().zip(x) {
        partial = F::add(s, block, x, partial);
    }
    sum(s, partial)
}

//! Rows of small blocks times a vector of Q8_0 or Q8_1.

use super::super::BlockFormat;
use super::sum;
use crate::simd::SixtyFour;
use bytemuck::Zeroable;

/// 512 elements of a vector: 16 blocks of Q8_0 or Q8_1.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Group {
    /// Signed bytes but -128, as bytes without sign.
    pub(super) codes: [[u8; 64]; 8],
    pub(super) scales: [f32; 16],
    /// Of each block of Q8_1, the sum of its elements as it is stored.
    pub(super) sums: [f32; 16],
}

/// Elements of a group.
pub(super) const GROUP: usize = 512;

/// A format of at most 128 elements a block, whose vectors have scales for 32.
///
/// `blocks` are those of a group everywhere, or whatever comes first of a row, filled up with zeros.
pub(in crate::block) trait Small: BlockFormat {
    /// The scale for each 32 elements.
    fn scales<S: SixtyFour>(s: S, blocks: &[Self::Block]) -> S::F;

    /// Products of the codes of the 64 elements number `i` with `x`, two added up.
    fn products<S: SixtyFour>(s: S, blocks: &[Self::Block], i: usize, x: S::B) -> S::P;

    /// The scales of the 64 elements number `i`, of which `scales` are those that
    /// [`scales`](Self::scales) says times those of the vector.
    #[inline(always)]
    fn each_scale<S: SixtyFour>(s: S, _: &[Self::Block], _i: usize, scales: &[f32; 2]) -> S::F {
        s.two(scales)
    }

    /// What is added to all elements, for each 32.
    #[inline(always)]
    fn minima<S: SixtyFour>(_: S, _: &[Self::Block]) -> Option<S::F> {
        None
    }

    /// Adds the terms of a group to partial sums.
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, blocks: &[Self::Block], x: &Group, sum: S::F) -> S::F {
        let mut sum = sum;
        let mut scales = [0.0; 16];
        s.store(
            s.mul(Self::scales(s, blocks), s.load(&x.scales)),
            &mut scales,
        );
        for (i, (codes, scales)) in x.codes.iter().zip(scales.as_chunks().0).enumerate() {
            let products = Self::products(s, blocks, i, s.bytes(codes));
            let scales = Self::each_scale(s, blocks, i, scales);
            sum = s.add(sum, s.mul(s.to_float(s.pairs(products)), scales));
        }
        match Self::minima(s, blocks) {
            None => sum,
            Some(minima) => s.add(sum, s.mul(minima, s.load(&x.sums))),
        }
    }
}

#[inline(always)]
pub(super) fn dot<F: Small, S: SixtyFour>(s: S, row: &[F::Block], x: &[Group]) -> f32 {
    let mut partial = s.splat(0.0);
    let groups = row.chunks_exact(GROUP / F::DTYPE.block_len());
    let rest = groups.remainder();
    let whole = groups.len();
    for (blocks, x) in groups.zip(x) {
        partial = F::add(s, blocks, x, partial);
    }
    if let (false, Some(x)) = (rest.is_empty(), x.get(whole)) {
        let mut filled = [F::Block::zeroed(); GROUP / 32];
        for (filled, block) in filled.iter_mut().zip(rest) {
            *filled = *block;
        }
        let blocks = &filled[..GROUP / F::DTYPE.block_len()];
        partial = F::add(s, blocks, x, partial);
    }
    sum(s, partial)
}

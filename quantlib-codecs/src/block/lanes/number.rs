//! Rounding, extremes and weights in lanes: what `number` and `weights` do for one block.

use crate::block::number::map;
use crate::numeric::F16;
use crate::simd::{Lanes, MAX_LANES};

/// 1.5 · 2^23: what is added to it is rounded to an integer.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// Magnitudes up to here are rounded right, also without [`Exact`](super::rounding::Exact) rounding.
const SAFE: f32 = 4_194_303.0;

/// Elements at a time in the innermost loops of the searches: the compiler does not unroll those, and
/// counting would take a tenth of the time.
pub(super) const STEP: usize = 4;

/// The nearest integer, as the scalar `nearest_int` gives it, also beyond its range.
#[inline(always)]
pub(super) fn nearest_int<L: Lanes>(l: L, x: L::F) -> L::I {
    let low = l.and_i(l.bits(l.add(x, l.splat(MAGIC))), l.splat_i(0x007f_ffff));
    l.sub_i(low, l.splat_i(0x0040_0000))
}

/// Whether `nearest_int` does not wrap around; false for NaNs.
#[inline(always)]
pub(super) fn is_safe<L: Lanes>(l: L, x: L::F) -> L::M {
    l.le(l.abs(x), l.splat(SAFE))
}

/// The element of the largest magnitude, with its sign: the first of equals, 0 if all are zero.
#[inline(always)]
pub(super) fn extreme<L: Lanes, const LEN: usize>(l: L, x: &[L::F; LEN]) -> L::F {
    let [mut max, mut magnitude] = [l.splat(0.0); 2];
    for i in 0..LEN {
        let abs = l.abs(x[i]);
        max = l.select(l.lt(magnitude, abs), x[i], max);
        magnitude = l.max(abs, magnitude);
    }
    max
}

/// The largest magnitudes of the `PART` elements from `first` on of each block.
#[inline(always)]
pub(in crate::block) fn max_magnitudes<L: Lanes, const LEN: usize, const PART: usize>(
    l: L,
    blocks: &[&[f32; LEN]; MAX_LANES],
    first: usize,
) -> [f32; MAX_LANES] {
    let mut maxima = [0.0; MAX_LANES];
    l.store(l.max_magnitudes::<LEN, PART>(blocks, first), &mut maxima);
    maxima
}

/// The mean magnitude of the block in each lane, summed up in order.
#[inline(always)]
pub(in crate::block) fn mean_magnitudes<L: Lanes, const LEN: usize>(
    l: L,
    blocks: &[&[f32; LEN]; MAX_LANES],
) -> [F16; MAX_LANES] {
    let mut sum = l.splat(0.0);
    for first in (0..LEN).step_by(16) {
        let x: [L::F; 16] = l.load(blocks, first);
        for i in 0..16 {
            sum = l.add(sum, l.abs(x[i]));
        }
    }
    let mut means = [0.0; MAX_LANES];
    l.store(l.div(sum, l.splat(LEN as f32)), &mut means);
    map(&means, F16::from_f32)
}

/// The sum of the squares of the block in each lane, in order.
#[inline(always)]
pub(in crate::block) fn sum_block_squares<L: Lanes, const LEN: usize>(
    l: L,
    blocks: &[&[f32; LEN]; MAX_LANES],
) -> L::F {
    let mut sum = l.splat(0.0);
    for first in (0..LEN).step_by(16) {
        sum = sum_squares::<L, 16>(l, sum, &l.load(blocks, first));
    }
    sum
}

/// The sum of squares in order, from `sum` on.
#[inline(always)]
pub(in crate::block) fn sum_squares<L: Lanes, const LEN: usize>(
    l: L,
    mut sum: L::F,
    x: &[L::F; LEN],
) -> L::F {
    for i in 0..LEN {
        sum = l.add(sum, l.mul(x[i], x[i]));
    }
    sum
}

/// The sum in order.
#[inline(always)]
pub(in crate::block) fn sum<L: Lanes, const LEN: usize>(l: L, x: &[L::F; LEN]) -> L::F {
    let mut sum = l.splat(0.0);
    for i in 0..LEN {
        sum = l.add(sum, x[i]);
    }
    sum
}

/// The squares.
#[inline(always)]
pub(in crate::block) fn squares<L: Lanes, const LEN: usize>(l: L, x: &[L::F; LEN]) -> [L::F; LEN] {
    let mut squares = *x;
    for i in 0..LEN {
        squares[i] = l.mul(x[i], x[i]);
    }
    squares
}

/// The weights of a group with importance: importance · √(`sigma2` + x²).
#[inline(always)]
pub(in crate::block) fn weigh_important<L: Lanes, const LEN: usize>(
    l: L,
    x: &[L::F; LEN],
    mut importance: [L::F; LEN],
    sigma2: L::F,
) -> [L::F; LEN] {
    for i in 0..LEN {
        let root = l.sqrt(l.add(sigma2, l.mul(x[i], x[i])));
        importance[i] = l.mul(importance[i], root);
    }
    importance
}

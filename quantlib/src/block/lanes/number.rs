//! Rounding, extremes and weights in lanes: what `number` and `weights` do for one block.

use crate::simd::Lanes;

/// 1.5 · 2^23: what is added to it is rounded to an integer.
const MAGIC: f32 = 12_582_912.0;

/// Magnitudes up to here are rounded right, so that [`round_clamped`] need not be exact.
const SAFE: f32 = 4_194_303.0;

/// The nearest integer, as the scalar `nearest_int` gives it, also beyond its range.
#[inline(always)]
pub(super) fn nearest_int<L: Lanes>(l: L, x: L::F) -> L::I {
    let low = l.and_i(l.bits(l.add(x, l.splat(MAGIC))), l.splat_i(0x007f_ffff));
    l.sub_i(low, l.splat_i(0x0040_0000))
}

/// The nearest integer, kept in `low..=high`, as a float. If not `EXACT`, only for magnitudes that
/// [`is_safe`] holds for, and faster.
#[inline(always)]
pub(super) fn round_clamped<L: Lanes, const EXACT: bool>(
    l: L,
    x: L::F,
    low: i32,
    high: i32,
) -> L::F {
    if EXACT {
        l.to_float(clamp(l, nearest_int(l, x), low, high))
    } else {
        // Next to MAGIC floats are as far apart as integers, and so are their bit patterns.
        let base = MAGIC.to_bits() as i32;
        let shifted = l.bits(l.add(x, l.splat(MAGIC)));
        let clamped = clamp(l, shifted, base + low, base + high);
        l.sub(l.with_bits(clamped), l.splat(MAGIC))
    }
}

#[inline(always)]
fn clamp<L: Lanes>(l: L, x: L::I, low: i32, high: i32) -> L::I {
    l.min_i(l.max_i(x, l.splat_i(low)), l.splat_i(high))
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
    importance: &[L::F; LEN],
    sigma2: L::F,
) -> [L::F; LEN] {
    let mut weights = *importance;
    for i in 0..LEN {
        let root = l.sqrt(l.add(sigma2, l.mul(x[i], x[i])));
        weights[i] = l.mul(importance[i], root);
    }
    weights
}

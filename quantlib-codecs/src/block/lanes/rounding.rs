//! Rounding to codes in lanes: with no more work than what is known of the numbers leaves to do.

use super::number::{MAGIC, nearest_int};
use crate::simd::Lanes;

/// A way to round to the nearest integer, kept in `low..=high`, as a float. Implementations must be
/// `#[inline(always)]`.
pub(super) trait Rounding {
    fn code<L: Lanes>(l: L, x: L::F, low: i32, high: i32) -> L::F;
}

/// For any number, as the scalar `nearest_int` does it.
pub(super) struct Exact;
/// For magnitudes where `nearest_int` does not wrap around, as for all below.
pub(super) struct Clamped;
/// For numbers that do not round to more than `high`.
pub(super) struct ClampedBelow;
/// For numbers that do not round to less than `low`.
pub(super) struct ClampedAbove;
/// For numbers that round to what is in range.
pub(super) struct Free;

// Next to MAGIC floats are as far apart as integers, so that limits can be applied to the sum.

impl Rounding for Exact {
    #[inline(always)]
    fn code<L: Lanes>(l: L, x: L::F, low: i32, high: i32) -> L::F {
        let code = nearest_int(l, x);
        l.to_float(l.min_i(l.max_i(code, l.splat_i(low)), l.splat_i(high)))
    }
}

impl Rounding for Clamped {
    #[inline(always)]
    fn code<L: Lanes>(l: L, x: L::F, low: i32, high: i32) -> L::F {
        let sum = l.add(x, l.splat(MAGIC));
        let sum = l.max_positive(sum, l.splat(MAGIC + low as f32));
        let sum = l.min_positive(sum, l.splat(MAGIC + high as f32));
        l.sub(sum, l.splat(MAGIC))
    }
}

impl Rounding for ClampedBelow {
    #[inline(always)]
    fn code<L: Lanes>(l: L, x: L::F, low: i32, _: i32) -> L::F {
        let sum = l.add(x, l.splat(MAGIC));
        let sum = l.max_positive(sum, l.splat(MAGIC + low as f32));
        l.sub(sum, l.splat(MAGIC))
    }
}

impl Rounding for ClampedAbove {
    #[inline(always)]
    fn code<L: Lanes>(l: L, x: L::F, _: i32, high: i32) -> L::F {
        let sum = l.add(x, l.splat(MAGIC));
        let sum = l.min_positive(sum, l.splat(MAGIC + high as f32));
        l.sub(sum, l.splat(MAGIC))
    }
}

impl Rounding for Free {
    #[inline(always)]
    fn code<L: Lanes>(l: L, x: L::F, _: i32, _: i32) -> L::F {
        l.sub(l.add(x, l.splat(MAGIC)), l.splat(MAGIC))
    }
}

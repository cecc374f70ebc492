//! The search for a scale and a minimum, in lanes.

use super::number::{STEP, is_safe};
use super::rounding::{Clamped, ClampedBelow, Exact, Rounding};
use crate::block::search::{Deviation, Grid};
use crate::simd::Lanes;

/// What the scalar `fit_affine` returns, for a group in each lane; instead of the codes, what makes
/// them: `nearest_int(inverse · (x - origin))`, kept in range.
pub(super) struct AffineFit<L: Lanes> {
    pub(super) scale: L::F,
    /// The minimum itself: not negated.
    pub(super) min: L::F,
    pub(super) inverse: L::F,
    pub(super) origin: L::F,
}

/// One group in each lane, with what the search knows of it from the start.
struct Group<'a, L: Lanes, const LEN: usize> {
    x: &'a [L::F; LEN],
    weights: &'a [L::F; LEN],
    smallest: L::F,
    largest: L::F,
    sum_w: L::F,
    sum_x: L::F,
    /// Lanes whose elements are all equal: they need no search, whatever comes out of it.
    flat: L::M,
    top: i32,
    deviation: Deviation,
}

/// The sums over a group of weight · code, weight · code² and weight · code · x.
struct Sums<L: Lanes> {
    l: L::F,
    l2: L::F,
    xl: L::F,
}

/// The scalar `fit_affine` in every lane. `codes` is scratch memory.
#[inline(always)]
pub(super) fn fit_affine<L: Lanes, const LEN: usize>(
    l: L,
    x: &[L::F; LEN],
    weights: &[L::F; LEN],
    top: i32,
    grid: Grid,
    deviation: Deviation,
    codes: &mut [L::F; LEN],
) -> AffineFit<L> {
    let zero = l.splat(0.0);
    let (mut smallest, mut largest, mut sum_w) = (x[0], x[0], weights[0]);
    let mut sum_x = l.mul(sum_w, x[0]);
    for i in 1..LEN {
        smallest = l.min(x[i], smallest);
        largest = l.max(x[i], largest);
        sum_w = l.add(sum_w, weights[i]);
        sum_x = l.add(sum_x, l.mul(weights[i], x[i]));
    }
    let first_min = l.select(l.lt(zero, smallest), zero, smallest);
    let group = Group {
        x,
        weights,
        smallest,
        largest,
        sum_w,
        sum_x,
        flat: l.eq(largest, first_min),
        top,
        deviation,
    };
    let first_inverse = l.div(l.splat(top as f32), l.sub(largest, first_min));
    let mut fit = AffineFit::<L> {
        scale: l.div(l.splat(1.0), first_inverse),
        min: first_min,
        inverse: first_inverse,
        origin: first_min,
    };
    group.round(l, fit.inverse, fit.min, codes);
    let mut best = group.error(l, fit.scale, fit.min, codes);
    for i in 0..=grid.last {
        let numerator = grid.first + grid.step * i as f32 + top as f32;
        let inverse = l.div(l.splat(numerator), l.sub(largest, fit.min));
        let sums = group.round(l, inverse, fit.min, codes);
        let (solvable, scale, min) = group.solve(l, &sums);
        let error = group.error(l, scale, min, codes);
        let better = l.and(solvable, l.lt(error, best));
        best = l.select(better, error, best);
        fit.inverse = l.select(better, inverse, fit.inverse);
        fit.origin = l.select(better, fit.min, fit.origin);
        fit.scale = l.select(better, scale, fit.scale);
        fit.min = l.select(better, min, fit.min);
    }
    AffineFit {
        scale: l.select(group.flat, zero, fit.scale),
        min: l.select(group.flat, first_min, fit.min),
        // So that all codes become 0.
        inverse: l.select(group.flat, zero, fit.inverse),
        origin: l.select(group.flat, first_min, fit.origin),
    }
}

impl<L: Lanes, const LEN: usize> Group<'_, L, LEN> {
    /// The codes for an inverse scale and a minimum, and the sums over them.
    #[inline(always)]
    fn round(&self, l: L, inverse: L::F, min: L::F, codes: &mut [L::F; LEN]) -> Sums<L> {
        // What is right for the smallest and the largest element is right for all between.
        let low = l.mul(inverse, l.sub(self.smallest, min));
        let high = l.mul(inverse, l.sub(self.largest, min));
        let safe = l.and(is_safe(l, low), is_safe(l, high));
        let below_top = l.splat(self.top as f32 + 0.25);
        if l.all(l.or(
            self.flat,
            l.and(l.le(low, below_top), l.and(l.le(high, below_top), safe)),
        )) {
            self.round_with::<ClampedBelow>(l, inverse, min, codes)
        } else if l.all(l.or(self.flat, safe)) {
            self.round_with::<Clamped>(l, inverse, min, codes)
        } else {
            self.round_with::<Exact>(l, inverse, min, codes)
        }
    }

    #[inline(always)]
    fn round_with<R: Rounding>(
        &self,
        l: L,
        inverse: L::F,
        min: L::F,
        codes: &mut [L::F; LEN],
    ) -> Sums<L> {
        let zero = l.splat(0.0);
        let mut sums = Sums {
            l: zero,
            l2: zero,
            xl: zero,
        };
        for first in (0..LEN).step_by(STEP) {
            for i in first..first + STEP {
                let x = self.x[i];
                let exact = l.mul(inverse, l.sub(x, min));
                let code = R::code(l, exact, 0, self.top);
                codes[i] = code;
                let weighted = l.mul(self.weights[i], code);
                sums.l = l.add(sums.l, weighted);
                sums.l2 = l.add(sums.l2, l.mul(weighted, code));
                sums.xl = l.add(sums.xl, l.mul(weighted, x));
            }
        }
        sums
    }

    /// Scale and minimum of the least squares for the codes that gave `sums`, and in which lanes
    /// there is a solution.
    #[inline(always)]
    fn solve(&self, l: L, sums: &Sums<L>) -> (L::M, L::F, L::F) {
        let zero = l.splat(0.0);
        let determinant = l.sub(l.mul(self.sum_w, sums.l2), l.mul(sums.l, sums.l));
        let scale = l.sub(l.mul(self.sum_w, sums.xl), l.mul(self.sum_x, sums.l));
        let scale = l.div(scale, determinant);
        let min = l.sub(l.mul(sums.l2, self.sum_x), l.mul(sums.l, sums.xl));
        let min = l.div(min, determinant);
        let positive = l.lt(zero, min);
        let solvable = l.lt(zero, determinant);
        if !l.any(positive) {
            return (solvable, scale, min);
        }
        let without_min = l.div(sums.xl, sums.l2);
        (
            solvable,
            l.select(positive, without_min, scale),
            l.select(positive, zero, min),
        )
    }

    #[inline(always)]
    fn error(&self, l: L, scale: L::F, min: L::F, codes: &[L::F; LEN]) -> L::F {
        let mut error = l.splat(0.0);
        for first in (0..LEN).step_by(STEP) {
            for i in first..first + STEP {
                let difference = l.sub(l.add(l.mul(scale, codes[i]), min), self.x[i]);
                let deviation = match self.deviation {
                    Deviation::Absolute => l.abs(difference),
                    Deviation::Squared => l.mul(difference, difference),
                };
                error = l.add(error, l.mul(self.weights[i], deviation));
            }
        }
        error
    }
}

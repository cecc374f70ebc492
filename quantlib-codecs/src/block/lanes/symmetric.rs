//! The search for a scale without a minimum, in lanes.

use super::number::extreme;
use super::rounding::{Clamped, ClampedAbove, Exact, Free, Rounding};
use crate::block::codes;
use crate::block::search::ZERO_GROUP;
use crate::simd::{Lanes, Narrow};

/// What the scalar `fit_symmetric` returns, for a group in each lane; instead of the codes, what
/// [`symmetric_codes`] makes them from.
pub(in crate::block) struct SymmetricFit<L: Lanes> {
    pub(in crate::block) scale: L::F,
    /// NaN for groups that count as zeros.
    pub(in crate::block) inverse: L::F,
}

/// The codes of a scalar `fit_symmetric` that found this inverse scale.
#[inline(always)]
pub(in crate::block) fn symmetric_codes<S: Narrow, const LEN: usize>(
    s: S,
    x: &[f32; LEN],
    inverse: f32,
    half: i32,
) -> [u8; LEN] {
    if inverse.is_nan() {
        return [0; LEN];
    }
    codes::multiplied(s, x, inverse, 0.0, -half, half - 1)
}

/// One group in each lane.
struct Group<'a, L: Lanes, const LEN: usize> {
    x: &'a [L::F; LEN],
    weights: &'a [L::F; LEN],
    /// Weight · x.
    weighted: &'a [L::F; LEN],
    farthest: L::F,
    half: i32,
}

/// The best scale so far.
struct Best<L: Lanes> {
    inverse: L::F,
    scale: L::F,
    /// By how much it lowers the error.
    gain: L::F,
}

/// Of weight · code · x and of weight · code².
#[derive(Clone, Copy)]
struct Sums<L: Lanes> {
    lx: L::F,
    l2: L::F,
}

/// The scalar `fit_symmetric` in every lane. Must be `EXACT` unless all `x` are finite.
#[inline(always)]
pub(in crate::block) fn fit_symmetric<L: Lanes, const LEN: usize, const EXACT: bool>(
    l: L,
    x: &[L::F; LEN],
    weights: &[L::F; LEN],
    half: i32,
) -> SymmetricFit<L> {
    let farthest = extreme(l, x);
    let none = l.lt(l.abs(farthest), l.splat(ZERO_GROUP));
    let mut weighted = *x;
    for i in 0..LEN {
        weighted[i] = l.mul(weights[i], x[i]);
    }
    let group = Group {
        x,
        weights,
        weighted: &weighted,
        // Any number that lets nothing overflow: the results of these lanes are thrown away.
        farthest: l.select(none, l.splat(1.0), farthest),
        half,
    };
    let best = if EXACT {
        let mut best = group.first_scale::<Exact>(l);
        for i in (-9..=9).filter(|i| *i != 0) {
            group.try_scales::<Exact, 1>(l, [i], &mut best);
        }
        best
    } else {
        // The farthest element comes to -(half + i / 10), or what little rounding makes of that.
        let mut best = group.first_scale::<ClampedAbove>(l);
        for pair in [[-9, -8], [-7, -6]] {
            group.try_scales::<Free, 2>(l, pair, &mut best);
        }
        for pair in [[-5, -4], [-3, -2], [-1, 1], [2, 3]] {
            group.try_scales::<ClampedAbove, 2>(l, pair, &mut best);
        }
        group.try_scales::<ClampedAbove, 1>(l, [4], &mut best);
        for pair in [[5, 6], [7, 8]] {
            group.try_scales::<Clamped, 2>(l, pair, &mut best);
        }
        group.try_scales::<Clamped, 1>(l, [9], &mut best);
        best
    };
    SymmetricFit {
        scale: l.select(none, l.splat(0.0), best.scale),
        inverse: l.select(none, l.splat(f32::NAN), best.inverse),
    }
}

impl<L: Lanes, const LEN: usize> Group<'_, L, LEN> {
    /// The scale that maps the farthest element to -`half`.
    #[inline(always)]
    fn first_scale<R: Rounding>(&self, l: L) -> Best<L> {
        let zero = l.splat(0.0);
        let inverse = l.div(l.splat(-self.half as f32), self.farthest);
        let [Sums { lx, l2 }] = self.sums::<R, 1>(l, [inverse]);
        let scale = l.select(l.eq(l2, zero), zero, l.div(lx, l2));
        let gain = l.mul(scale, lx);
        Best {
            inverse,
            scale,
            gain,
        }
    }

    /// In turn the scales that map the farthest element to -`half` - i / 10.
    #[inline(always)]
    fn try_scales<R: Rounding, const N: usize>(&self, l: L, is: [i32; N], best: &mut Best<L>) {
        let mut inverses = [self.farthest; N];
        for n in 0..N {
            let numerator = -(self.half as f32 + 0.1 * is[n] as f32);
            inverses[n] = l.div(l.splat(numerator), self.farthest);
        }
        let sums = self.sums::<R, N>(l, inverses);
        for n in 0..N {
            let Sums { lx, l2 } = sums[n];
            let higher = l.lt(l.mul(best.gain, l2), l.mul(lx, lx));
            let better = l.and(l.lt(l.splat(0.0), l2), higher);
            let scale = l.div(lx, l2);
            best.inverse = l.select(better, inverses[n], best.inverse);
            best.scale = l.select(better, scale, best.scale);
            best.gain = l.select(better, l.mul(scale, lx), best.gain);
        }
    }

    /// The sums for each of the inverse scales, side by side: loading the elements takes as long as
    /// calculating with them.
    #[inline(always)]
    fn sums<R: Rounding, const N: usize>(&self, l: L, inverses: [L::F; N]) -> [Sums<L>; N] {
        let zero = l.splat(0.0);
        let mut sums = [Sums { lx: zero, l2: zero }; N];
        for i in 0..LEN {
            let (x, weight, weighted) = (self.x[i], self.weights[i], self.weighted[i]);
            for n in 0..N {
                let code = R::code(l, l.mul(inverses[n], x), -self.half, self.half - 1);
                sums[n].lx = l.add(sums[n].lx, l.mul(weighted, code));
                sums[n].l2 = l.add(sums[n].l2, l.mul(l.mul(weight, code), code));
            }
        }
        sums
    }
}

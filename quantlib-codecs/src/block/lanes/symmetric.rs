//! The searches for a scale without a minimum, in lanes.

use super::number::{MAGIC, extreme};
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

/// The scales that the scalar `fit_symmetric_by_moves` finds, in every lane. All `x` must be finite.
///
/// A group's sums change with every code that moves, so each element waits for the one before: `N` groups
/// go side by side.
#[inline(always)]
pub(super) fn fit_symmetric_by_moves<L: Lanes, const LEN: usize, const N: usize>(
    l: L,
    x: &[[L::F; LEN]; N],
    half: i32,
) -> [L::F; N] {
    let zero = l.splat(0.0);
    let mut moves = Moves::start(l, x, half);
    for round in 0..5 {
        // A lane that moved nothing in one round moves nothing in the next.
        let mut moved = l.lt(zero, zero);
        for i in 0..LEN {
            moved = l.or(moved, moves.step(l, i, round > 0));
        }
        if !l.any(moved) {
            break;
        }
    }
    let mut scales = [zero; N];
    for n in 0..N {
        let Sums { lx, l2 } = moves.sums[n];
        let scale = l.select(l.lt(zero, l2), l.div(lx, l2), zero);
        scales[n] = l.select(moves.none[n], zero, scale);
    }
    scales
}

/// `N` groups in each lane whose codes are moved one by one.
struct Moves<'a, L: Lanes, const LEN: usize, const N: usize> {
    x: &'a [[L::F; LEN]; N],
    /// x² and x³.
    weights: [[L::F; LEN]; N],
    weighted: [[L::F; LEN]; N],
    codes: [[L::F; LEN]; N],
    sums: [Sums<L>; N],
    /// Groups that count as zeros.
    none: [L::M; N],
    /// Lanes in which [`Lanes::nearly_div`] keeps its promise, since no sum comes to 2^125.
    small: L::M,
    half: i32,
}

impl<'a, L: Lanes, const LEN: usize, const N: usize> Moves<'a, L, LEN, N> {
    /// The codes that map the farthest element to -`half`.
    #[inline(always)]
    fn start(l: L, x: &'a [[L::F; LEN]; N], half: i32) -> Self {
        let zero = l.splat(0.0);
        let mut moves = Self {
            x,
            weights: *x,
            weighted: *x,
            codes: *x,
            sums: [Sums { lx: zero, l2: zero }; N],
            none: [l.lt(zero, zero); N],
            small: l.le(zero, zero),
            half,
        };
        for n in 0..N {
            let farthest = extreme(l, &x[n]);
            let none = l.lt(l.abs(farthest), l.splat(ZERO_GROUP));
            let farthest = l.select(none, l.splat(1.0), farthest);
            moves.none[n] = none;
            moves.small = l.and(moves.small, l.lt(l.abs(farthest), l.splat(1e10)));
            let inverse = l.div(l.splat(-half as f32), farthest);
            for i in 0..LEN {
                let x = x[n][i];
                let code = Clamped::code(l, l.mul(inverse, x), -half, half - 1);
                moves.weights[n][i] = l.mul(x, x);
                moves.weighted[n][i] = l.mul(moves.weights[n][i], x);
                moves.codes[n][i] = code;
                moves.sums[n] = moves.with(l, n, i, code, moves.sums[n]);
            }
        }
        moves
    }

    /// The sums with a code for element `i` of group `n`.
    #[inline(always)]
    fn with(&self, l: L, n: usize, i: usize, code: L::F, sums: Sums<L>) -> Sums<L> {
        Sums {
            lx: l.add(sums.lx, l.mul(self.weighted[n][i], code)),
            l2: l.add(sums.l2, l.mul(l.mul(self.weights[n][i], code), code)),
        }
    }

    /// The sums without element `i` of group `n`.
    #[inline(always)]
    fn without(&self, l: L, n: usize, i: usize) -> Sums<L> {
        let (sums, code) = (self.sums[n], self.codes[n][i]);
        Sums {
            lx: l.sub(sums.lx, l.mul(self.weighted[n][i], code)),
            l2: l.sub(sums.l2, l.mul(l.mul(self.weights[n][i], code), code)),
        }
    }

    /// Moves element `i` of each group where that helps, and returns the lanes where it does in one of them.
    /// `seldom` says that few are expected to.
    #[inline(always)]
    fn step(&mut self, l: L, i: usize, seldom: bool) -> L::M {
        let zero = l.splat(0.0);
        let mut without = self.sums;
        for n in 0..N {
            without[n] = self.without(l, n, i);
        }
        let codes = self.best_codes(l, i, &without);
        let mut others = self.none;
        let mut any = l.lt(zero, zero);
        for n in 0..N {
            let other = l.not(l.eq(codes[n], self.codes[n][i]));
            others[n] = l.and(l.lt(zero, without[n].lx), other);
            any = l.or(any, others[n]);
        }
        // What is skipped here is what the next element would have to wait for.
        if seldom && !l.any(any) {
            return any;
        }
        let mut moved = l.lt(zero, zero);
        for n in 0..N {
            let (old, new) = (self.sums[n], self.with(l, n, i, codes[n], without[n]));
            let before = l.mul(l.mul(old.lx, old.lx), new.l2);
            let better = l.lt(before, l.mul(l.mul(new.lx, new.lx), old.l2));
            let moves = l.and(others[n], l.and(l.lt(zero, new.l2), better));
            self.codes[n][i] = l.select(moves, codes[n], self.codes[n][i]);
            self.sums[n] = Sums {
                lx: l.select(moves, new.lx, old.lx),
                l2: l.select(moves, new.l2, old.l2),
            };
            moved = l.or(moved, moves);
        }
        moved
    }

    /// The codes for element `i` of each group that are best for the sums without it.
    #[inline(always)]
    fn best_codes(&self, l: L, i: usize, without: &[Sums<L>; N]) -> [L::F; N] {
        let (low, high) = (-self.half, self.half - 1);
        let mut codes = [l.splat(0.0); N];
        let mut certain = self.small;
        for n in 0..N {
            let Sums { lx, l2 } = without[n];
            let quotient = l.nearly_div(l.mul(self.x[n][i], l2), lx);
            let code = l.sub(l.add(quotient, l.splat(MAGIC)), l.splat(MAGIC));
            codes[n] = l.max(l.min(code, l.splat(high as f32)), l.splat(low as f32));
            // So far from a tie that the true quotient is on the same side of it; false for NaNs, and for
            // numbers so large that their nearest integers wrap around.
            let error = l.mul(l.abs(quotient), l.splat(L::NEARLY));
            let distance = l.abs(l.sub(quotient, code));
            let clear = l.lt(distance, l.sub(l.splat(0.5), error));
            certain = l.and(certain, l.or(self.none[n], clear));
        }
        if l.all(certain) {
            return codes;
        }
        for n in 0..N {
            let Sums { lx, l2 } = without[n];
            codes[n] = Exact::code(l, l.div(l.mul(self.x[n][i], l2), lx), low, high);
        }
        codes
    }
}

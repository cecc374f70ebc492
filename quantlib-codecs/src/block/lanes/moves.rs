//! The search for a scale by moves of single codes, in lanes.

use super::number::{MAGIC, extreme};
use super::rounding::{Clamped, Exact, Rounding};
use crate::block::search::ZERO_GROUP;
use crate::simd::Lanes;

/// Of x³ · code and of x² · code².
#[derive(Clone, Copy)]
struct Sums<L: Lanes> {
    lx: L::F,
    l2: L::F,
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
    /// Lanes where [`Lanes::nearly_div`] keeps its promise, since no sum comes to 2^125.
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
        if let Some(error) = L::NEARLY {
            let (codes, certain) = self.likely_codes(l, i, without, error);
            if l.all(certain) {
                return codes;
            }
        }
        let mut codes = [l.splat(0.0); N];
        for n in 0..N {
            let Sums { lx, l2 } = without[n];
            let quotient = l.div(l.mul(self.x[n][i], l2), lx);
            codes[n] = Exact::code(l, quotient, -self.half, self.half - 1);
        }
        codes
    }

    /// The same without division, and the lanes where they are certain.
    #[inline(always)]
    fn likely_codes(
        &self,
        l: L,
        i: usize,
        without: &[Sums<L>; N],
        error: f32,
    ) -> ([L::F; N], L::M) {
        let (low, high) = (-self.half as f32, (self.half - 1) as f32);
        let (low, high) = (l.splat(low), l.splat(high));
        let mut codes = [low; N];
        let mut certain = self.small;
        for n in 0..N {
            let Sums { lx, l2 } = without[n];
            let quotient = l.nearly_div(l.mul(self.x[n][i], l2), lx);
            let code = l.sub(l.add(quotient, l.splat(MAGIC)), l.splat(MAGIC));
            codes[n] = l.max(l.min(code, high), low);
            // So far from a tie that the true quotient is on the same side of it; false for NaNs, and for
            // numbers so large that their nearest integers wrap around.
            let error = l.mul(l.abs(quotient), l.splat(error));
            let distance = l.abs(l.sub(quotient, code));
            let clear = l.lt(distance, l.sub(l.splat(0.5), error));
            certain = l.and(certain, l.or(self.none[n], clear));
        }
        (codes, certain)
    }
}

//! The search for the integer scales of a super-block's groups, in lanes.

use super::number::nearest_int;
use crate::block::search::ZERO_GROUP;
use crate::simd::Lanes;

/// What the scalar `fit_positive` returns, in every lane.
pub(super) struct PositiveFit<L: Lanes, const LEN: usize> {
    pub(super) scale: L::F,
    /// Bytes.
    pub(super) codes: [L::I; LEN],
}

/// The scalar `fit_positive` in every lane.
#[inline(always)]
pub(super) fn fit_positive<L: Lanes, const LEN: usize>(
    l: L,
    x: &[L::F; LEN],
    weights: &[L::F; LEN],
    top: i32,
) -> PositiveFit<L, LEN> {
    let (zero, byte, limit) = (l.splat(0.0), l.splat_i(0xff), l.splat_i(top));
    let mut max = zero;
    for i in 0..LEN {
        max = l.max(max, x[i]);
    }
    let none = l.lt(max, l.splat(ZERO_GROUP));
    let inverse = best_positive_scale(l, x, weights, top, max);
    let mut codes = [l.splat_i(0); LEN];
    let [mut sum_lx, mut sum_l2] = [zero; 2];
    for i in 0..LEN {
        let code = l.min_i(nearest_int(l, l.mul(inverse, x[i])), limit);
        codes[i] = l.and_i(code, byte);
        let code = l.to_float(code);
        let weighted = l.mul(weights[i], x[i]);
        sum_lx = l.add(sum_lx, l.mul(weighted, code));
        sum_l2 = l.add(sum_l2, l.mul(l.mul(weights[i], code), code));
    }
    for _ in 0..5 {
        // A lane that moved nothing in one round moves nothing in the next.
        let mut moved = l.lt(zero, zero);
        for i in 0..LEN {
            let w = weights[i];
            let old = l.to_float(codes[i]);
            let wx = l.mul(w, x[i]);
            let lx = l.sub(sum_lx, l.mul(wx, old));
            let l2 = l.sub(sum_l2, l.mul(l.mul(w, old), old));
            let possible = l.and(l.lt(zero, lx), l.lt(zero, l2));
            let new_code = l.min_i(nearest_int(l, l.div(l.mul(x[i], l2), lx)), limit);
            let other = l.not(l.eq_i(new_code, codes[i]));
            let possible = l.and(possible, other);
            if !l.any(possible) {
                continue;
            }
            let new = l.to_float(new_code);
            let lx = l.add(lx, l.mul(wx, new));
            let l2 = l.add(l2, l.mul(l.mul(w, new), new));
            let before = l.mul(l.mul(sum_lx, sum_lx), l2);
            let better = l.lt(before, l.mul(l.mul(lx, lx), sum_l2));
            let moves = l.and(possible, better);
            codes[i] = l.select_i(moves, l.and_i(new_code, byte), codes[i]);
            sum_lx = l.select(moves, lx, sum_lx);
            sum_l2 = l.select(moves, l2, sum_l2);
            moved = l.or(moved, moves);
        }
        if !l.any(moved) {
            break;
        }
    }
    let scale = l.select(l.lt(zero, sum_l2), l.div(sum_lx, sum_l2), zero);
    for i in 0..LEN {
        codes[i] = l.select_i(none, l.splat_i(0), codes[i]);
    }
    PositiveFit {
        scale: l.select(none, zero, scale),
        codes,
    }
}

/// The inverse scale with the smallest weighted squared error among `top`/`max` and 8 around it.
#[inline(always)]
fn best_positive_scale<L: Lanes, const LEN: usize>(
    l: L,
    x: &[L::F; LEN],
    weights: &[L::F; LEN],
    top: i32,
    max: L::F,
) -> L::F {
    let mut best = l.div(l.splat(top as f32), max);
    let mut best_error = error_at::<L, LEN, true>(l, x, weights, top, best);
    for i in -4..=4 {
        if i == 0 {
            continue;
        }
        let inverse = l.div(l.splat(0.1 * i as f32 + top as f32), max);
        let error = error_at::<L, LEN, false>(l, x, weights, top, inverse);
        let better = l.lt(error, best_error);
        best = l.select(better, inverse, best);
        best_error = l.select(better, error, best_error);
    }
    best
}

/// The weighted squared error; codes are bytes (`BYTES`) or at most `top`.
#[inline(always)]
fn error_at<L: Lanes, const LEN: usize, const BYTES: bool>(
    l: L,
    x: &[L::F; LEN],
    weights: &[L::F; LEN],
    top: i32,
    inverse: L::F,
) -> L::F {
    let scale = l.div(l.splat(1.0), inverse);
    let mut error = l.splat(0.0);
    for i in 0..LEN {
        let code = nearest_int(l, l.mul(inverse, x[i]));
        let code = if BYTES {
            l.and_i(code, l.splat_i(0xff))
        } else {
            l.min_i(code, l.splat_i(top))
        };
        let difference = l.sub(x[i], l.mul(scale, l.to_float(code)));
        let weighted = l.mul(l.mul(weights[i], difference), difference);
        error = l.add(error, weighted);
    }
    error
}

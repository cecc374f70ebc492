//! IQ4_NL and IQ4_XS in lanes: the search for a scale of the non-linear table.

use super::number::{STEP, extreme, squares, sum_squares, weigh_important};
use crate::block::nonlinear::{EPS, NEAREST, STEPS, VALUES};
use crate::simd::Lanes;

/// The weights of a group: x² without importance.
#[inline(always)]
pub(in crate::block) fn weigh<L: Lanes>(
    l: L,
    x: &[L::F; 32],
    importance: Option<&[L::F; 32]>,
    sigma2: L::F,
) -> [L::F; 32] {
    match importance {
        Some(importance) => weigh_important(l, x, *importance, sigma2),
        None => squares(l, x),
    }
}

/// The sum of the squares of all groups, times `factor`.
#[inline(always)]
pub(in crate::block) fn sigma2<L: Lanes, const GROUPS: usize>(
    l: L,
    x: &[[L::F; 32]; GROUPS],
    factor: f32,
) -> L::F {
    let mut sum = l.splat(0.0);
    for g in 0..GROUPS {
        sum = sum_squares(l, sum, &x[g]);
    }
    l.mul(sum, l.splat(factor))
}

/// The scalar `fit_scale_ref` in every lane. All `x` must be finite.
#[inline(always)]
pub(in crate::block) fn fit_scale<L: Lanes>(l: L, x: &[L::F; 32], weights: &[L::F; 32]) -> L::F {
    let zero = l.splat(0.0);
    let max = extreme(l, x);
    let none = l.lt(l.abs(max), l.splat(EPS));
    // Any number that lets nothing overflow: the results of these lanes are thrown away.
    let max = l.select(none, l.splat(1.0), max);
    let end = i32::from(VALUES[0]);
    let first = l.div(l.neg(max), l.splat(end as f32));
    let (qx, qq) = correlate(l, x, weights, l.div(l.splat(1.0), first));
    let mut scale = l.select(l.lt(zero, qq), l.div(qx, qq), zero);
    let mut best = l.mul(scale, qx);
    for step in -STEPS..=STEPS {
        let inverse = l.div(l.splat((step + end) as f32), max);
        let (qx, qq) = correlate(l, x, weights, inverse);
        let higher = l.lt(l.mul(best, qq), l.mul(qx, qx));
        let better = l.and(l.lt(zero, qq), higher);
        let new_scale = l.div(qx, qq);
        scale = l.select(better, new_scale, scale);
        best = l.select(better, l.mul(new_scale, qx), best);
    }
    l.select(none, zero, scale)
}

/// The weighted sums of value · element and of value².
#[inline(always)]
fn correlate<L: Lanes>(l: L, x: &[L::F; 32], weights: &[L::F; 32], inverse: L::F) -> (L::F, L::F) {
    let [mut qx, mut qq] = [l.splat(0.0); 2];
    for first in (0..32).step_by(STEP) {
        for i in first..first + STEP {
            let value = l.step(l.mul(inverse, x[i]), &NEAREST);
            let weighted = l.mul(weights[i], value);
            qx = l.add(qx, l.mul(weighted, x[i]));
            qq = l.add(qq, l.mul(weighted, value));
        }
    }
    (qx, qq)
}

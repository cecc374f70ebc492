//! The searches for scales that minimize a weighted squared error: the heart of ggml's encoders.
//!
//! Each takes one group of elements. Codes that the searches return start at 0: a symmetric code is
//! moved up by its number of negative levels. Operations and their order are the reference's.

use super::number::{extreme, nearest_int};

/// Groups whose largest magnitude is below this count as zeros.
pub(super) const ZERO_GROUP: f32 = 1e-15;

/// A scale with the codes that go with it.
pub(super) struct Fit<const N: usize> {
    /// `x ≈ scale · (code - offset)`.
    pub(super) scale: f32,
    pub(super) codes: [u8; N],
}

impl<const N: usize> Fit<N> {
    const ZERO: Self = Self {
        scale: 0.0,
        codes: [0; N],
    };
}

/// A scale and a minimum with the codes that go with them.
pub(super) struct AffineFit<const N: usize> {
    /// `x ≈ scale · code - min`.
    pub(super) scale: f32,
    /// The minimum with its sign turned: never negative.
    pub(super) min: f32,
    pub(super) codes: [u8; N],
}

/// The scales that [`fit_affine`] tries: range / (first + step · i + top) for i in 0..=last, where
/// the range reaches from the best minimum so far to the largest element.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) first: f32,
    pub(super) step: f32,
    pub(super) last: i32,
}

impl Grid {
    /// What every importance-aware encoder tries.
    pub(super) const WEIGHTED: Self = Self {
        first: -0.9,
        step: 0.05,
        last: 36,
    };
}

/// What [`fit_affine`] sums up over the deviations of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deviation {
    Absolute,
    Squared,
}

impl Deviation {
    #[inline(always)]
    fn of(self, difference: f32) -> f32 {
        match self {
            Self::Absolute => difference.abs(),
            Self::Squared => difference * difference,
        }
    }
}

/// Fits `x ≈ scale · code - min` with codes in 0..=`top`: for each scale of the grid the codes are
/// rounded, scale and minimum follow from them by weighted least squares, and the pair with the
/// smallest deviation wins.
#[inline(always)]
pub(super) fn fit_affine<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    top: i32,
    grid: Grid,
    deviation: Deviation,
) -> AffineFit<N> {
    let [mut min, mut max] = [x[0]; 2];
    let mut sum_w = weights[0];
    let mut sum_x = sum_w * x[0];
    for (&x, &w) in x.iter().zip(weights).skip(1) {
        if x < min {
            min = x;
        }
        if x > max {
            max = x;
        }
        sum_w += w;
        sum_x += w * x;
    }
    if min > 0.0 {
        min = 0.0;
    }
    if max == min {
        return AffineFit {
            scale: 0.0,
            min: -min,
            codes: [0; N],
        };
    }
    let codes_at = |inverse: f32, min: f32| -> [i32; N] {
        x.map(|x| nearest_int(inverse * (x - min)).clamp(0, top))
    };
    let error_of = |scale: f32, min: f32, codes: &[i32; N]| {
        let mut error = 0.0;
        for ((&x, &w), &code) in x.iter().zip(weights).zip(codes) {
            error += w * deviation.of(scale * code as f32 + min - x);
        }
        error
    };
    let inverse = top as f32 / (max - min);
    let mut scale = 1.0 / inverse;
    let mut best = codes_at(inverse, min);
    let mut best_error = error_of(scale, min, &best);
    for i in 0..=grid.last {
        let numerator = grid.first + grid.step * i as f32 + top as f32;
        let codes = codes_at(numerator / (max - min), min);
        let [mut sum_l, mut sum_l2, mut sum_xl] = [0.0; 3];
        for ((&x, &w), &code) in x.iter().zip(weights).zip(&codes) {
            let l = code as f32;
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant > 0.0 {
            let mut new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
            let mut new_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
            if new_min > 0.0 {
                new_min = 0.0;
                new_scale = sum_xl / sum_l2;
            }
            let error = error_of(new_scale, new_min, &codes);
            if error < best_error {
                (best, best_error, scale, min) = (codes, error, new_scale, new_min);
            }
        }
    }
    AffineFit {
        scale,
        min: -min,
        codes: best.map(|code| code as u8),
    }
}

/// Fits `x ≈ scale · (code - half)` with codes in 0..2 `half`: of 19 scales around the one that
/// maps the farthest element to code 0, refined by weighted least squares, the best wins.
#[inline(always)]
pub(super) fn fit_symmetric<const N: usize>(x: &[f32; N], weights: &[f32; N], half: i32) -> Fit<N> {
    let farthest = extreme(x);
    if farthest.abs() < ZERO_GROUP {
        return Fit::ZERO;
    }
    let code = |inverse: f32, x: f32| nearest_int(inverse * x).clamp(-half, half - 1);
    let sums = |inverse: f32| {
        let [mut sum_lx, mut sum_l2] = [0.0; 2];
        for (&x, &w) in x.iter().zip(weights) {
            let l = code(inverse, x) as f32;
            sum_lx += w * x * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };
    let mut best_inverse = -half as f32 / farthest;
    let (sum_lx, sum_l2) = sums(best_inverse);
    let mut scale = if sum_l2 != 0.0 { sum_lx / sum_l2 } else { 0.0 };
    let mut best = scale * sum_lx;
    for i in (-9..=9).filter(|&i| i != 0) {
        let inverse = -(half as f32 + 0.1 * i as f32) / farthest;
        let (sum_lx, sum_l2) = sums(inverse);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            best_inverse = inverse;
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    Fit {
        scale,
        codes: x.map(|x| (code(best_inverse, x) + half) as u8),
    }
}

/// Fits `x ≈ scale · (code - half)` with codes in 0..2 `half`, weighted by x²: starts from the scale
/// that maps the farthest element to code 0, then moves single codes while that helps.
#[inline(always)]
pub(super) fn fit_symmetric_by_moves<const N: usize>(x: &[f32; N], half: i32) -> Fit<N> {
    let farthest = extreme(x);
    if farthest.abs() < ZERO_GROUP {
        return Fit::ZERO;
    }
    let clamp = |l: i32| l.clamp(-half, half - 1);
    let inverse = -half as f32 / farthest;
    let mut codes = x.map(|x| clamp(nearest_int(inverse * x)));
    let [mut sum_lx, mut sum_l2] = [0.0; 2];
    for (&x, &code) in x.iter().zip(&codes) {
        let (w, l) = (x * x, code as f32);
        sum_lx += w * x * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut moved = false;
        for (&x, code) in x.iter().zip(&mut codes) {
            let (w, l) = (x * x, *code as f32);
            let mut lx = sum_lx - w * x * l;
            if lx > 0.0 {
                let mut l2 = sum_l2 - w * l * l;
                let new = clamp(nearest_int(x * l2 / lx));
                if new != *code {
                    let l = new as f32;
                    lx += w * x * l;
                    l2 += w * l * l;
                    if l2 > 0.0 && lx * lx * sum_l2 > sum_lx * sum_lx * l2 {
                        (*code, sum_lx, sum_l2) = (new, lx, l2);
                        moved = true;
                    }
                }
            }
        }
        if !moved {
            break;
        }
    }
    Fit {
        scale: if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 },
        codes: codes.map(|code| (code + half) as u8),
    }
}

/// Fits `x ≈ scale · code` for `x` that are not negative, with codes up to `top`: the best of 9
/// scales, then single codes are moved while that helps. Used for the scales of groups.
///
/// Codes are stored as bytes without a lower bound, so that a negative one wraps, as in the
/// reference.
#[inline(always)]
pub(super) fn fit_positive<const N: usize>(x: &[f32; N], weights: &[f32; N], top: i32) -> Fit<N> {
    let max = x.iter().fold(0.0, |max, &x| if max > x { max } else { x });
    if max < ZERO_GROUP {
        return Fit::ZERO;
    }
    let inverse = best_positive_scale(x, weights, top, max);
    let mut codes = [0u8; N];
    let [mut sum_lx, mut sum_l2] = [0.0; 2];
    for ((&x, &w), stored) in x.iter().zip(weights).zip(&mut codes) {
        let code = nearest_int(inverse * x).min(top);
        *stored = code as u8;
        let l = code as f32;
        sum_lx += w * x * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut moved = false;
        for ((&x, &w), code) in x.iter().zip(weights).zip(&mut codes) {
            let l = f32::from(*code);
            let mut lx = sum_lx - w * x * l;
            let mut l2 = sum_l2 - w * l * l;
            if lx > 0.0 && l2 > 0.0 {
                let new = nearest_int(x * l2 / lx).min(top);
                if new != i32::from(*code) {
                    let l = new as f32;
                    lx += w * x * l;
                    l2 += w * l * l;
                    if lx * lx * sum_l2 > sum_lx * sum_lx * l2 {
                        (*code, sum_lx, sum_l2) = (new as u8, lx, l2);
                        moved = true;
                    }
                }
            }
        }
        if !moved {
            break;
        }
    }
    Fit {
        scale: if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 },
        codes,
    }
}

/// The inverse scale with the smallest weighted squared error among `top`/`max` and 8 around it.
#[inline(always)]
fn best_positive_scale<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    top: i32,
    max: f32,
) -> f32 {
    let error_at = |inverse: f32, code: fn(i32, i32) -> i32| {
        let scale = 1.0 / inverse;
        let mut error = 0.0;
        for (&x, &w) in x.iter().zip(weights) {
            let difference = x - scale * code(nearest_int(inverse * x), top) as f32;
            error += w * difference * difference;
        }
        error
    };
    let mut best = top as f32 / max;
    let mut best_error = error_at(best, |code, _| i32::from(code as u8));
    for i in (-4..=4).filter(|&i| i != 0) {
        let inverse = (0.1 * i as f32 + top as f32) / max;
        let error = error_at(inverse, i32::min);
        if error < best_error {
            (best, best_error) = (inverse, error);
        }
    }
    best
}

/// The codes that a search found, group by group.
pub(super) trait FoundCodes<const LEN: usize> {
    fn of_group(&self, group: usize) -> [u8; LEN];
}

impl<const GROUPS: usize, const LEN: usize> FoundCodes<LEN> for [[u8; LEN]; GROUPS] {
    #[inline(always)]
    fn of_group(&self, group: usize) -> [u8; LEN] {
        self[group]
    }
}

//! The non-linear 4-bit table that IQ4_NL and IQ4_XS share, and their search for a scale.

use super::number::extreme;
use crate::simd::{Narrow, Steps};
use bytemuck::cast_ref;

/// The 16 values that a code stands for, in units of the scale.
pub(super) const VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Half way between neighbouring values; all of these are exact in f32.
const MIDPOINTS: [f32; 15] = {
    let mut midpoints = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        midpoints[i] = (VALUES[i] as f32 + VALUES[i + 1] as f32) / 2.0;
        i += 1;
    }
    midpoints
};

/// Groups whose largest magnitude is below this get scale 0.
pub(super) const EPS: f32 = 1e-15;

/// How far the attempts of a search go to both sides.
pub(super) const STEPS: i32 = 7;

/// The value that is nearest to a number.
pub(super) static NEAREST: Steps = Steps::new(&MIDPOINTS, &{
    let mut values = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        values[i] = VALUES[i] as f32;
        i += 1;
    }
    values
});

/// The code whose value is nearest to `x`, the upper one of two at the same distance.
fn nearest_code(x: f32) -> u8 {
    let mut code = 15;
    for mid in MIDPOINTS {
        code -= u8::from(x < mid);
    }
    code
}

/// The codes of elements, packed, for the scale 1 / `inverse`.
#[inline(always)]
pub(super) fn pack_nearest<S: Narrow>(s: S, x: &[f32; 32], inverse: f32) -> [u8; 16] {
    let inverse = s.splat(inverse);
    let [low, high]: &[[f32; 16]; 2] = cast_ref(x);
    let low = s.reached(s.mul(inverse, s.load(low)), &NEAREST);
    let high = s.reached(s.mul(inverse, s.load(high)), &NEAREST);
    s.nibbles(&low, &high)
}

/// The scale that fits 32 elements with the least weighted squared error, of 16 attempts.
///
/// Each attempt maps the extreme element to somewhere near the table's end, rounds to codes, and
/// takes the least-squares scale for these codes. The first attempt uses the table's end with the
/// opposite sign, the others use -127 - 7 to -127 + 7.
pub(super) fn fit_scale_ref(x: &[f32; 32], weights: &[f32; 32]) -> f32 {
    let max = extreme(x);
    if max.abs() < EPS {
        return 0.0;
    }
    let end = i32::from(VALUES[0]);
    let (qx, qq) = correlate(x, weights, 1.0 / (-max / end as f32));
    let mut scale = if qq > 0.0 { qx / qq } else { 0.0 };
    let mut best = scale * qx;
    for step in -STEPS..=STEPS {
        let (qx, qq) = correlate(x, weights, (step + end) as f32 / max);
        if qq > 0.0 && qx * qx > best * qq {
            scale = qx / qq;
            best = scale * qx;
        }
    }
    scale
}

/// The weighted sums of value · element and of value², where codes are nearest to `inverse` · element.
fn correlate(x: &[f32; 32], weights: &[f32; 32], inverse: f32) -> (f32, f32) {
    let mut sums = (0.0, 0.0);
    for (x, w) in x.iter().zip(weights) {
        let q = f32::from(VALUES[usize::from(nearest_code(inverse * x))]);
        sums.0 += w * q * x;
        sums.1 += w * q * q;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest value by comparing rounded distances, as the contract's bisection does.
    fn by_distance(x: f32) -> u8 {
        let values = VALUES.map(f32::from);
        let above = values.iter().position(|v| x < *v).unwrap_or(15).max(1);
        if x - values[above - 1] < values[above] - x {
            above as u8 - 1
        } else {
            above as u8
        }
    }

    #[test]
    fn codes_change_exactly_at_the_midpoints() {
        for mid in MIDPOINTS {
            for x in [
                mid.next_down().next_down(),
                mid.next_down(),
                mid,
                mid.next_up(),
            ] {
                assert_eq!(nearest_code(x), by_distance(x), "{x}");
            }
        }
        for i in -130_000..130_000 {
            let x = i as f32 / 1000.0;
            assert_eq!(nearest_code(x), by_distance(x), "{x}");
        }
    }

    #[test]
    fn an_exact_multiple_of_the_table_finds_its_scale() {
        let x: [f32; 32] = std::array::from_fn(|i| 0.25 * f32::from(VALUES[i % 16]));
        assert_eq!(fit_scale_ref(&x, &[1.0; 32]), 0.25);
    }
}

//! The 4-bit float E2M1 that MXFP4 and NVFP4 share.

use super::number::{map, max_abs};
use super::packing::pack_nibbles;
use crate::simd::Narrow;

/// Twice the value of each code. Code 8, negative zero, decodes to zero and is never written.
pub(super) const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Half way between the magnitudes of neighbouring codes, in units of half the scale.
const MIDPOINTS: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];

/// As far as twice the largest value, in units of half the scale, the errors that decide are exact in
/// f32.
const FARTHEST: f32 = 24.0;

/// The codes of elements, packed: every element becomes the nearest value's code.
#[inline(always)]
pub(super) fn pack<const N: usize, const BYTES: usize>(
    x: &[f32; N],
    half_scale: f32,
) -> [u8; BYTES] {
    let codes = if max_abs(x) <= FARTHEST * half_scale {
        let midpoints = map(&MIDPOINTS, |middle| middle * half_scale);
        map(x, |x| nearest_code(&midpoints, x))
    } else {
        let values = DOUBLED.map(|v| f32::from(v) * half_scale);
        map(x, |x| nearest_code_ref(&values, x))
    };
    pack_nibbles(&codes, N)
}

/// The codes of elements of which `max` is the largest magnitude, 16 at a time; `None` where the
/// errors that decide are not exact in f32.
#[inline(always)]
pub(super) fn codes<S: Narrow, const N: usize>(
    s: S,
    x: &[f32; N],
    max: f32,
    half_scale: f32,
) -> Option<[u8; N]> {
    if max > FARTHEST * half_scale {
        return None;
    }
    let mut midpoints = [s.splat(half_scale); 7];
    for (midpoint, middle) in midpoints.iter_mut().zip(MIDPOINTS) {
        *midpoint = s.mul(*midpoint, s.splat(middle));
    }
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut::<16>().0) {
        let x = s.load(x);
        let magnitudes = s.count_below(&midpoints, s.abs(x));
        let negative = s.count_below(&[midpoints[0]], s.negate(x, u16::MAX));
        for ((code, magnitude), negative) in codes.iter_mut().zip(magnitudes).zip(negative) {
            *code = magnitude | (negative << 3);
        }
    }
    Some(codes)
}

/// [`MIDPOINTS`] in quarters of an octave above half the scale.
const QUARTERS: [i8; 7] = [-4, 2, 5, 7, 9, 11, 13];

/// [`codes`] for a scale that is a power of two: all midpoints are quarters of octaves above it.
#[inline(always)]
pub(super) fn codes_by_octaves<S: Narrow, const N: usize>(
    s: S,
    x: &[f32; N],
    max: f32,
    half_scale: f32,
) -> Option<[u8; N]> {
    // Magnitudes that are not normal numbers must be below all midpoints.
    if max > FARTHEST * half_scale || !(MIDPOINTS[0] * half_scale).is_normal() {
        return None;
    }
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut::<16>().0) {
        let x = s.load(x);
        let quarters = s.quarter_octaves(x, half_scale);
        let signs = s.signs(x);
        *codes = s.count_reached(&QUARTERS, &quarters);
        for (code, sign) in codes.iter_mut().zip(signs) {
            let negative = (sign < 0) & (*code > 0);
            *code |= u8::from(negative) << 3;
        }
    }
    Some(codes)
}

/// The code of the value nearest to `x`, between equals the one nearer to zero.
#[inline(always)]
fn nearest_code(midpoints: &[f32; 7], x: f32) -> u8 {
    let mut magnitude = 0;
    for middle in midpoints {
        magnitude += u8::from(x.abs() > *middle);
    }
    let negative = x < 0.0 && magnitude > 0;
    magnitude + 8 * u8::from(negative)
}

/// The code of the value nearest to `x` as far as rounded errors tell, the first of equals.
#[inline(always)]
fn nearest_code_ref(values: &[f32; 16], x: f32) -> u8 {
    let mut best = (0, (values[0] - x).abs());
    for (code, value) in (0..).zip(values) {
        let error = (value - x).abs();
        if error < best.1 {
            best = (code, error);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparing_with_midpoints_finds_the_least_error() {
        for exponent in [-128.0f32, -127.0, -126.0, -30.0, 0.0, 40.0, 120.0] {
            let half_scale = exponent.exp2();
            let values = DOUBLED.map(|v| f32::from(v) * half_scale);
            let midpoints = MIDPOINTS.map(|middle| middle * half_scale);
            for x in (0..=24).map(|i| i as f32 * 0.5 * half_scale) {
                for x in [x.next_down(), x, x.next_up()].map(|x| x.min(24.0 * half_scale)) {
                    for x in [x, -x] {
                        let code = nearest_code_ref(&values, x);
                        assert_eq!(nearest_code(&midpoints, x), code, "{x:e} of {half_scale:e}");
                    }
                }
            }
        }
    }
}

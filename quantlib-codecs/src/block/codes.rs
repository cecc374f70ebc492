//! From elements to codes, 16 at a time: the last pass of encoders.

use crate::simd::Narrow;

/// `(x + min) / scale`, rounded and kept in `low..=high`, and moved up to start at 0: the codes for
/// the scale and the minimum that the file really holds.
#[inline(always)]
pub(super) fn divided<S: Narrow, const N: usize>(
    s: S,
    x: &[f32; N],
    scale: f32,
    min: f32,
    low: i32,
    high: i32,
) -> [u8; N] {
    let (scale, min) = (s.splat(scale), s.splat(min));
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut().0) {
        let exact = s.div(s.add(s.load(x), min), scale);
        *codes = s.nearest_codes(exact, low, high);
    }
    codes
}

/// `inverse · (x - origin)`, rounded and kept in `low..=high`, and moved up to start at 0: the codes
/// of a search.
#[inline(always)]
pub(super) fn multiplied<S: Narrow, const N: usize>(
    s: S,
    x: &[f32; N],
    inverse: f32,
    origin: f32,
    low: i32,
    high: i32,
) -> [u8; N] {
    let (inverse, origin) = (s.splat(inverse), s.splat(origin));
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut().0) {
        let exact = s.mul(inverse, s.sub(s.load(x), origin));
        *codes = s.nearest_codes(exact, low, high);
    }
    codes
}

/// `(x - min) · inverse + offset` without its fraction, as bytes that wrap.
#[inline(always)]
pub(super) fn truncated<S: Narrow, const N: usize>(
    s: S,
    x: &[f32; N],
    min: f32,
    inverse: f32,
    offset: f32,
) -> [u8; N] {
    let [min, inverse, offset] = [s.splat(min), s.splat(inverse), s.splat(offset)];
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut().0) {
        let exact = s.mul(s.sub(s.load(x), min), inverse);
        *codes = s.truncated_bytes(s.add(exact, offset));
    }
    codes
}

/// `x · inverse`, rounded to nearest, ties away from zero, as bytes that wrap.
#[inline(always)]
pub(super) fn rounded<S: Narrow, const N: usize>(s: S, x: &[f32; N], inverse: f32) -> [i8; N] {
    let inverse = s.splat(inverse);
    let mut codes = [0; N];
    for (x, codes) in x.as_chunks().0.iter().zip(codes.as_chunks_mut().0) {
        let exact = s.mul(s.load(x), inverse);
        *codes = bytemuck::cast::<[u8; 16], [i8; 16]>(s.truncated_bytes(s.half_away(exact)));
    }
    codes
}

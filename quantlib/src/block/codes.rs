//! From elements to codes, 16 at a time: the last pass of encoders that search.

use crate::simd::Sixteen;

/// `(x + min) / scale`, rounded and kept in `low..=high`, and moved up to start at 0: the codes for
/// the scale and the minimum that the file really holds.
#[inline(always)]
pub(super) fn divided<S: Sixteen, const N: usize>(
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
pub(super) fn multiplied<S: Sixteen, const N: usize>(
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

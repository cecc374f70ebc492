//! What Q3_K and Q6_K share: super-blocks of 16 groups of 16 elements with scales but no minima.

use super::codes;
use super::elements::{centre, scale_signed};
use super::number::map;
use super::search::{Fit, FoundCodes};
use crate::numeric::F16;
use crate::simd::{Narrow, Sixteen};

/// The scales and codes of all groups, as `fit` finds them from the index and elements of each.
#[inline(always)]
pub(super) fn fit_groups(
    x: &[[f32; 16]; 16],
    fit: impl Fn(usize, &[f32; 16]) -> Fit<16>,
) -> ([f32; 16], [[u8; 16]; 16]) {
    let mut scales = [0.0; 16];
    let mut codes = [[0; 16]; 16];
    for i in 0..16 {
        let group = fit(i, &x[i]);
        (scales[i], codes[i]) = (group.scale, group.codes);
    }
    (scales, codes)
}

/// The codes of all groups, anew for the scales as the header has them; where those are zero, the
/// codes of the search stay, as in the reference.
#[inline(always)]
pub(super) fn recoded<S: Narrow>(
    s: S,
    x: &[[f32; 16]; 16],
    found: impl FoundCodes<16>,
    scale: F16,
    scales: &[i8; 16],
    half: i32,
) -> [[u8; 16]; 16] {
    let scale = scale.to_f32();
    let mut codes = [[0; 16]; 16];
    for i in 0..16 {
        let group_scale = scale * f32::from(scales[i]);
        codes[i] = if group_scale == 0.0 {
            found.of_group(i)
        } else {
            codes::divided(s, &x[i], group_scale, 0.0, -half, half - 1)
        };
    }
    codes
}

/// `scale · scales[group] · (code - half)` for every element.
#[inline(always)]
pub(super) fn decode_groups<S: Sixteen>(
    s: S,
    scale: F16,
    scales: &[i8; 16],
    codes: &[u8; 256],
    half: i32,
    y: &mut [f32; 256],
) {
    let scale = s.half_to_float(scale);
    let scales = map(scales, |multiple| scale * f32::from(multiple));
    let codes = centre(codes, half as u8);
    let (codes, _) = codes.as_chunks::<16>();
    for (g, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        scale_signed(s, &codes[g], scales[g], y);
    }
}

//! What Q4_0, Q4_1, Q5_0 and Q5_1 share: the codes of a block of 32 without importance.

use super::number::{extreme, map, range, reciprocal, truncate};

/// A symmetric block: the element farthest from zero gets code 0, which stands for -`half`.
/// Returns the scale and the codes, in 0..2 `half`.
#[inline(always)]
pub(super) fn symmetric_ref(x: &[f32; 32], half: i32) -> (f32, [u8; 32]) {
    let scale = extreme(x) / -half as f32;
    (scale, symmetric_codes_at(x, scale, half))
}

/// The codes of a symmetric block with this scale.
#[inline(always)]
fn symmetric_codes_at(x: &[f32; 32], scale: f32, half: i32) -> [u8; 32] {
    let inverse = reciprocal(scale);
    let offset = half as f32 + 0.5;
    map(x, |x| code(x * inverse + offset, 2 * half - 1))
}

/// An affine block: codes 0 to `top` reach from the smallest element to the largest.
/// Returns the scale, the minimum and the codes.
#[inline(always)]
pub(super) fn affine_ref(x: &[f32; 32], top: i32) -> (f32, f32, [u8; 32]) {
    let (min, max) = range(x);
    let scale = (max - min) / top as f32;
    (scale, min, affine_codes_at(x, scale, min, top))
}

/// The codes of an affine block with this scale and minimum.
#[inline(always)]
fn affine_codes_at(x: &[f32; 32], scale: f32, min: f32, top: i32) -> [u8; 32] {
    let inverse = reciprocal(scale);
    map(x, |x| code((x - min) * inverse + 0.5, top))
}

/// `a` without its fraction, by way of a signed byte, and at most `top`.
///
/// Only scales so small that their reciprocal overflows make `a` anything else than 0 to `top` + 1.
#[inline(always)]
fn code(a: f32, top: i32) -> u8 {
    i32::from(truncate(a) as i8).min(top) as u8
}

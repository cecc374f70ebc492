//! From codes to elements, 16 at a time: what decoders share.

use crate::simd::Sixteen;

/// `code · scale`.
#[inline(always)]
pub(super) fn scale_signed<S: Sixteen>(s: S, codes: &[i8], scale: f32, y: &mut [f32]) {
    let scale = s.splat(scale);
    for (codes, y) in codes.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
        s.store(s.mul(s.widen_i8(codes), scale), y);
    }
}

/// `code · scale + offset`.
#[inline(always)]
pub(super) fn scale_and_add<S: Sixteen>(
    s: S,
    codes: &[u8],
    scale: f32,
    offset: f32,
    y: &mut [f32],
) {
    let (scale, offset) = (s.splat(scale), s.splat(offset));
    for (codes, y) in codes.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
        s.store(s.add(s.mul(s.widen_u8(codes), scale), offset), y);
    }
}

/// `code · scale - offset`.
#[inline(always)]
pub(super) fn scale_and_subtract<S: Sixteen>(
    s: S,
    codes: &[u8],
    scale: f32,
    offset: f32,
    y: &mut [f32],
) {
    let (scale, offset) = (s.splat(scale), s.splat(offset));
    for (codes, y) in codes.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
        s.store(s.sub(s.mul(s.widen_u8(codes), scale), offset), y);
    }
}

/// `table[code] · scale`.
#[inline(always)]
pub(super) fn look_up<S: Sixteen>(s: S, table: &[i8; 16], codes: &[u8], scale: f32, y: &mut [f32]) {
    let scale = s.splat(scale);
    for (codes, y) in codes.as_chunks().0.iter().zip(y.as_chunks_mut().0) {
        s.store(s.mul(s.look_up(table, codes), scale), y);
    }
}

/// `code - zero` as signed bytes.
#[inline(always)]
pub(super) fn centre<const N: usize>(codes: &[u8; N], zero: u8) -> [i8; N] {
    let mut centred = [0; N];
    for (centred, code) in centred.iter_mut().zip(codes) {
        *centred = code.wrapping_sub(zero) as i8;
    }
    centred
}

//! The 4-bit float E2M1 that MXFP4 and NVFP4 share.

use super::packing::{pack_nibbles, unpack_nibbles};

/// Twice the value of each code. Code 8, negative zero, decodes to zero and is never written.
const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The elements of codes, those in the low nibbles first; `half_scale` is half the scale.
pub(super) fn unpack<const N: usize, const BYTES: usize>(
    codes: &[u8; BYTES],
    half_scale: f32,
) -> [f32; N] {
    unpack_nibbles(codes, N).map(|code| f32::from(DOUBLED[usize::from(code)]) * half_scale)
}

/// The reverse of [`unpack`]: every element becomes the nearest value's code.
pub(super) fn pack<const N: usize, const BYTES: usize>(
    x: &[f32; N],
    half_scale: f32,
) -> [u8; BYTES] {
    let values = DOUBLED.map(|v| f32::from(v) * half_scale);
    pack_nibbles(&x.map(|x| nearest_code(&values, x)), N)
}

/// The code of the value nearest to `x`, the first of equals.
fn nearest_code(values: &[f32; 16], x: f32) -> u8 {
    let mut best = (0, (values[0] - x).abs());
    for (code, value) in (0..).zip(values) {
        let error = (value - x).abs();
        if error < best.1 {
            best = (code, error);
        }
    }
    best.0
}

//! The 4-bit float E2M1 that MXFP4 and NVFP4 share.

/// Twice the value of each code. Code 8, negative zero, decodes to zero and is never written.
const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Decodes codes of N elements, where `half_scale` is half the scale: element i is in the low nibble of byte
/// i, element i + N/2 in the high one.
pub(super) fn unpack(codes: &[u8], half_scale: f32, y: &mut [f32]) {
    let (low, high) = y.split_at_mut(codes.len());
    for ((codes, low), high) in codes.iter().zip(low).zip(high) {
        *low = f32::from(DOUBLED[usize::from(codes & 15)]) * half_scale;
        *high = f32::from(DOUBLED[usize::from(codes >> 4)]) * half_scale;
    }
}

/// The reverse of [`unpack`]: every element becomes the nearest value's code.
pub(super) fn pack(x: &[f32], half_scale: f32, codes: &mut [u8]) {
    let values = DOUBLED.map(|v| f32::from(v) * half_scale);
    let (low, high) = x.split_at(codes.len());
    for ((codes, low), high) in codes.iter_mut().zip(low).zip(high) {
        *codes = nearest_code(&values, *low) | nearest_code(&values, *high) << 4;
    }
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

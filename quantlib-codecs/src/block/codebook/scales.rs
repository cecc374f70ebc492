//! The 4-bit (or 3-bit) scales of the groups of a super-block.

use crate::block::number::{map, nearest_int};

/// The codes of non-negative scales s ≈ unit · (2 code + 1), with codes up to `top`, and the unit
/// that makes the largest scale the highest code. `None` if all scales are zero.
pub(in crate::block) fn quantize_scales<const N: usize>(
    scales: &[f32; N],
    top: u8,
) -> Option<(f32, [u8; N])> {
    let max = scales.iter().fold(0.0, |max: f32, s| max.max(*s));
    if max == 0.0 {
        return None;
    }
    let unit = max / f32::from(2 * top + 1);
    let inverse = 1.0 / unit;
    let code = |s: f32| nearest_int(0.5 * (inverse * s - 1.0)).clamp(0, i32::from(top)) as u8;
    Some((unit, map(scales, code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_scale_gets_the_highest_code() {
        let (unit, codes) = quantize_scales(&[0.0, 1.0, 31.0, 15.9], 15).unwrap();
        assert_eq!((unit, codes), (1.0, [0, 0, 15, 7]));
        assert!(quantize_scales(&[0.0; 4], 15).is_none());
    }
}

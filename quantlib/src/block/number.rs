//! Small steps that many formats share: rounding, reciprocals, extremes.
//!
//! The bytes of a format are those of strict single-precision arithmetic, so every rounding counts.

/// The nearest integer, ties to even, for `|x| < 2^22`.
///
/// Adding 1.5 · 2^23 leaves no bits for a fraction, so the sum's low bits are the rounded integer.
/// Beyond the range they are some other number from -2^22 to 2^22 - 1, and the formats store it.
#[inline(always)]
pub(super) fn nearest_int(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// Rounds toward zero as x86 does: whatever no `i32` holds, NaN too, becomes `i32::MIN`.
///
/// It matters where the reciprocal of a denormal scale overflows to infinity.
#[inline(always)]
pub(super) fn truncate(x: f32) -> i32 {
    const END: f32 = 2_147_483_648.0;
    if (-END..END).contains(&x) {
        x as i32
    } else {
        i32::MIN
    }
}

/// Rounds to the nearest integer, ties away from zero; see [`truncate`] for what does not fit.
#[inline(always)]
pub(super) fn round(x: f32) -> i32 {
    // The largest number below 0.5: with 0.5 itself the addition would round 0.49999997 up to 1.
    truncate(x + 0.499_999_97_f32.copysign(x))
}

/// `array::map` that is sure to be inlined, and so compiled for the instruction set of its caller.
#[inline(always)]
pub(super) fn map<T: Copy, U: Copy + Default, const N: usize>(
    x: &[T; N],
    f: impl Fn(T) -> U,
) -> [U; N] {
    let mut mapped = [U::default(); N];
    for (mapped, x) in mapped.iter_mut().zip(x) {
        *mapped = f(*x);
    }
    mapped
}

/// `1 / x`, and 0 for 0.
#[inline(always)]
pub(super) fn reciprocal(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The largest magnitude.
pub(super) fn max_abs(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |max: f32, x| max.max(x.abs()))
}

/// The element of the largest magnitude, with its sign: the first of equals, 0 if all are zero.
pub(super) fn extreme(x: &[f32]) -> f32 {
    let larger = |max: f32, x: &f32| if x.abs() > max.abs() { *x } else { max };
    x.iter().fold(0.0, larger)
}

/// The smallest and the largest element.
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    let smaller = |min: f32, x: &f32| if *x < min { *x } else { min };
    let larger = |max: f32, x: &f32| if *x > max { *x } else { max };
    (
        x.iter().fold(f32::MAX, smaller),
        x.iter().fold(f32::MIN, larger),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundings_agree_with_the_standard_ones() {
        for i in -4_000_000..4_000_000 {
            let x = i as f32 / 16_384.0;
            assert_eq!(nearest_int(x), x.round_ties_even() as i32, "{x}");
            assert_eq!(round(x), x.round() as i32, "{x}");
            assert_eq!(truncate(x), x as i32, "{x}");
        }
        assert_eq!(round(0.499_999_97), 0);
        assert_eq!(round(-0.499_999_97), 0);
    }

    #[test]
    fn nearest_int_breaks_ties_to_even() {
        let pairs = [(0.5, 0), (1.5, 2), (-0.5, 0), (-2.5, -2), (7.49, 7)];
        for (x, want) in pairs {
            assert_eq!(nearest_int(x), want);
        }
        assert_eq!(nearest_int(f32::INFINITY), -1 << 22);
    }

    #[test]
    fn truncate_gives_the_integer_indefinite_value() {
        assert_eq!(truncate(-3.9), -3);
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e9] {
            assert_eq!(truncate(x), i32::MIN);
        }
        assert_eq!(truncate(-2_147_483_648.0), i32::MIN);
    }

    #[test]
    fn extreme_takes_the_first_of_equals() {
        assert_eq!(extreme(&[1.0, -3.0, 3.0]), -3.0);
        assert_eq!(max_abs(&[1.0, -3.0, 2.0]), 3.0);
    }
}

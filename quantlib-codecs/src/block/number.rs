//! Small steps that many formats share: rounding, reciprocals, extremes.
//!
//! The bytes of a format are those of strict single-precision arithmetic, so every rounding counts.

pub(super) use crate::simd::truncate;

/// The nearest integer, ties to even, for `|x| < 2^22`.
///
/// Adding 1.5 · 2^23 leaves no bits for a fraction, so the sum's low bits are the rounded integer.
/// Beyond the range they are some other number from -2^22 to 2^22 - 1, and the formats store it.
#[inline(always)]
pub(super) fn nearest_int(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
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

/// `array::from_fn` that is sure to be inlined.
#[inline(always)]
pub(super) fn fill<T: Copy + Default, const N: usize>(f: impl Fn(usize) -> T) -> [T; N] {
    let mut filled = [T::default(); N];
    for (i, filled) in filled.iter_mut().enumerate() {
        *filled = f(i);
    }
    filled
}

/// `1 / x`, and 0 for 0.
#[inline(always)]
pub(super) fn reciprocal(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The bits of a float without its sign. But for NaNs they are ordered like the magnitudes.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// The largest magnitude, or NaN if there are NaNs. Comparing bits vectorizes, comparing floats does
/// not.
#[inline(always)]
pub(super) fn max_abs(x: &[f32]) -> f32 {
    let larger = |max: u32, x: &f32| max.max(x.to_bits() & MAGNITUDE);
    f32::from_bits(x.iter().fold(0, larger))
}

/// The element of the largest magnitude, with its sign: the first of equals, 0 if all are zero.
/// NaNs do not count.
#[inline(always)]
pub(super) fn extreme(x: &[f32]) -> f32 {
    let max = max_abs(x);
    if max.is_nan() {
        let larger = |max: f32, x: &f32| if x.abs() > max.abs() { *x } else { max };
        return x.iter().fold(0.0, larger);
    }
    if max == 0.0 {
        return 0.0;
    }
    let any = |wanted: f32| x.iter().fold(false, |any, x| any | (*x == wanted));
    match (any(max), any(-max)) {
        (true, false) => max,
        (false, true) => -max,
        _ => x.iter().copied().find(|x| x.abs() == max).unwrap_or(max),
    }
}

/// The smallest and the largest of finite elements, the first of equals.
#[inline(always)]
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    let (min, max) = x.iter().fold((i32::MAX, i32::MIN), |(min, max), x| {
        let rank = rank(x.to_bits());
        (min.min(rank), max.max(rank))
    });
    (first_zero(unrank(min), x), first_zero(unrank(max), x))
}

/// Integers that are ordered like finite floats, except that -0 is below 0.
#[inline(always)]
fn rank(bits: u32) -> i32 {
    let bits = bits as i32;
    bits ^ ((bits >> 31) & MAGNITUDE as i32)
}

/// The float of a [`rank`].
#[inline(always)]
fn unrank(rank: i32) -> f32 {
    f32::from_bits((rank ^ ((rank >> 31) & MAGNITUDE as i32)) as u32)
}

/// `found`, or if that is zero, the first of all zeros.
#[inline(always)]
fn first_zero(found: f32, x: &[f32]) -> f32 {
    if found != 0.0 {
        return found;
    }
    x.iter().copied().find(|x| *x == 0.0).unwrap_or(found)
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
        assert_eq!(extreme(&[1.0, 3.0, -3.0]), 3.0);
        assert_eq!(extreme(&[f32::NAN, -3.0, f32::NAN]), -3.0);
        assert_eq!(extreme(&[f32::NAN, f32::NEG_INFINITY]), f32::NEG_INFINITY);
        assert_eq!(max_abs(&[1.0, -3.0, 2.0]), 3.0);
    }

    #[test]
    fn range_takes_the_first_of_equals() {
        assert_eq!(range(&[2.0, -1.0, 3.0]), (-1.0, 3.0));
        for zeros in [[0.0, -0.0], [-0.0, 0.0]] {
            let (min, max) = range(&zeros);
            assert_eq!(min.to_bits(), zeros[0].to_bits());
            assert_eq!(max.to_bits(), zeros[0].to_bits());
        }
    }
}

//! From 16 neighbouring elements to bytes: what encoders do in their last pass.

use super::Sixteen;
use super::steps::Steps;

/// As [`Sixteen`]: a value proves that the CPU has the instructions, and all methods are
/// `#[inline(always)]`.
pub(crate) trait Narrow: Sixteen {
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// `a` moved away from zero by the largest number below 0.5: [`truncated_bytes`] of that rounds to
    /// nearest, ties away from zero. (0.5 itself would round 0.49999997 up to 1.)
    ///
    /// [`truncated_bytes`]: Self::truncated_bytes
    fn half_away(self, a: Self::F) -> Self::F;
    /// The lowest bytes of [`truncate`].
    fn truncated_bytes(self, a: Self::F) -> [u8; 16];
    /// How many of the thresholds are below `a`.
    fn count_below<const N: usize>(self, thresholds: &[Self::F; N], a: Self::F) -> [u8; 16];
    /// How many of the thresholds `a` reaches. NaNs reach all.
    fn reached(self, a: Self::F, steps: &Steps) -> [u8; 16];
    /// How many quarters of an octave magnitudes lie above `one`, a power of two: the next smaller integer,
    /// within `-128..=127`. Quarters of an octave are the same distance apart, as are floats; where
    /// numbers are not normal, there are no octaves.
    fn quarter_octaves(self, a: Self::F, one: f32) -> [i8; 16];
    /// Bytes that are negative where `a` has a negative sign.
    fn signs(self, a: Self::F) -> [i8; 16];
    /// How many of the thresholds each of the bytes reaches.
    fn count_reached<const N: usize>(self, thresholds: &[i8; N], bytes: &[i8; 16]) -> [u8; 16];
    /// `low & 15 | high << 4`, byte by byte.
    fn nibbles(self, low: &[u8; 16], high: &[u8; 16]) -> [u8; 16];
    /// Bit `i` is bit `bit` of byte `i`.
    fn bit_of_each(self, bytes: &[u8; 16], bit: u32) -> u16;
    /// Bit `i` is set where `0 <= a` in element `i`.
    fn not_negative(self, a: Self::F) -> u16;
    /// The nearest integers, ties to even, kept in `low..=high`, less `low`: codes, which must not
    /// exceed 255. Beyond 2^22 integers are wrong in the way of ggml's `nearest_int`.
    fn nearest_codes(self, a: Self::F, low: i32, high: i32) -> [u8; 16];
}

/// The bits of a float below the quarters of its octave.
pub(super) const BELOW_QUARTERS: u32 = 21;

/// What [`Narrow::half_away`] adds.
pub(super) const HALF: f32 = 0.499_999_97;

/// Rounds toward zero as x86 does: whatever no `i32` holds, NaN too, becomes `i32::MIN`.
#[inline(always)]
pub(crate) fn truncate(x: f32) -> i32 {
    const END: f32 = 2_147_483_648.0;
    let x = if x > -END { x } else { -END };
    let x = if x < END { x } else { -END };
    // SAFETY: x is a number from -2^31 up to but not including 2^31. (The checks of `as` would come
    // a second time, in every lane.)
    #[allow(unsafe_code)]
    unsafe {
        x.to_int_unchecked()
    }
}

/// 1.5 · 2^23: a float that is added to it is rounded to an integer, found in the sum's lowest bits.
pub(super) const MAGIC: f32 = 12_582_912.0;
/// Those bits.
pub(super) const ROUNDED: i32 = 0x007f_ffff;
/// What they hold for zero.
pub(super) const ROUNDED_ZERO: i32 = 0x0040_0000;

impl Narrow for super::Portable {
    #[inline(always)]
    fn div(self, mut a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        for (a, b) in a.iter_mut().zip(b) {
            *a /= b;
        }
        a
    }

    #[inline(always)]
    fn abs(self, mut a: [f32; 16]) -> [f32; 16] {
        for a in &mut a {
            *a = a.abs();
        }
        a
    }

    #[inline(always)]
    fn half_away(self, mut a: [f32; 16]) -> [f32; 16] {
        for a in &mut a {
            *a += HALF.copysign(*a);
        }
        a
    }

    #[inline(always)]
    fn truncated_bytes(self, a: [f32; 16]) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (byte, a) in bytes.iter_mut().zip(a) {
            *byte = truncate(a) as u8;
        }
        bytes
    }

    #[inline(always)]
    fn count_below<const N: usize>(self, thresholds: &[[f32; 16]; N], a: [f32; 16]) -> [u8; 16] {
        let mut counts = [0; 16];
        for threshold in thresholds {
            for ((count, threshold), a) in counts.iter_mut().zip(threshold).zip(a) {
                *count += u8::from(*threshold < a);
            }
        }
        counts
    }

    #[inline(always)]
    fn reached(self, a: [f32; 16], steps: &Steps) -> [u8; 16] {
        let mut counts = [15; 16];
        for threshold in &steps.thresholds[..15] {
            for (count, a) in counts.iter_mut().zip(a) {
                *count -= u8::from(a < *threshold);
            }
        }
        counts
    }

    #[inline(always)]
    fn quarter_octaves(self, a: [f32; 16], one: f32) -> [i8; 16] {
        let mut quarters = [0; 16];
        for (quarter, a) in quarters.iter_mut().zip(a) {
            let above = a.abs().to_bits() as i32 - one.to_bits() as i32 - 1;
            *quarter = (above >> BELOW_QUARTERS).clamp(-128, 127) as i8;
        }
        quarters
    }

    #[inline(always)]
    fn signs(self, a: [f32; 16]) -> [i8; 16] {
        let mut signs = [0; 16];
        for (sign, a) in signs.iter_mut().zip(a) {
            *sign = -i8::from(a.is_sign_negative());
        }
        signs
    }

    #[inline(always)]
    fn count_reached<const N: usize>(self, thresholds: &[i8; N], bytes: &[i8; 16]) -> [u8; 16] {
        let mut counts = [0; 16];
        for threshold in thresholds {
            for (count, byte) in counts.iter_mut().zip(bytes) {
                *count += u8::from(threshold <= byte);
            }
        }
        counts
    }

    #[inline(always)]
    fn nibbles(self, low: &[u8; 16], high: &[u8; 16]) -> [u8; 16] {
        let mut bytes = [0; 16];
        for ((byte, low), high) in bytes.iter_mut().zip(low).zip(high) {
            *byte = (low & 15) | (high << 4);
        }
        bytes
    }

    #[inline(always)]
    fn bit_of_each(self, bytes: &[u8; 16], bit: u32) -> u16 {
        let mut bits = 0;
        for (i, byte) in bytes.iter().enumerate() {
            bits |= u16::from((byte >> bit) & 1) << i;
        }
        bits
    }

    #[inline(always)]
    fn not_negative(self, a: [f32; 16]) -> u16 {
        let mut bits = 0;
        for (i, a) in a.iter().enumerate() {
            bits |= u16::from(*a >= 0.0) << i;
        }
        bits
    }

    #[inline(always)]
    fn nearest_codes(self, a: [f32; 16], low: i32, high: i32) -> [u8; 16] {
        let mut codes = [0; 16];
        for (code, a) in codes.iter_mut().zip(a) {
            let rounded = ((a + MAGIC).to_bits() as i32 & ROUNDED) - ROUNDED_ZERO;
            *code = (rounded.clamp(low, high) - low) as u8;
        }
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    /// Results as bytes.
    struct Everything<'a>(&'a mut Vec<u8>);

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let s = lanes.row();
            let bytes: [u8; 16] = std::array::from_fn(|i| (i * 37 % 256) as u8);
            let b = s.widen_i8(&bytes.map(|byte| byte as i8));
            let mut quotients = [0.0; 16];
            s.store(s.div(s.splat(1.5), b), &mut quotients);
            self.0
                .extend(quotients.iter().flat_map(|q| q.to_le_bytes()));
            self.0.extend(s.not_negative(b).to_le_bytes());
            for bit in 0..8 {
                self.0.extend(s.bit_of_each(&bytes, bit).to_le_bytes());
            }
            self.0
                .extend(s.nibbles(&bytes, &bytes.map(|byte| byte & 15)));
            let thresholds = [-30.5, 0.0, 37.0].map(|t| s.splat(t));
            self.0.extend(s.count_below(&thresholds, b));
            self.0.extend(s.count_below(&thresholds, s.abs(b)));
            for (factor, one) in [
                (1.0, 4.0),
                (0.01, 0.5),
                (1e-38, 1e30f32.log2().floor().exp2()),
            ] {
                let scaled = s.mul(b, s.splat(factor));
                let quarters = s.quarter_octaves(scaled, one);
                self.0.extend(quarters.map(|quarter| quarter as u8));
                self.0
                    .extend(s.count_reached(&[-127, -4, 0, 1, 127], &quarters));
                self.0
                    .extend(s.signs(scaled).map(|sign| u8::from(sign < 0)));
            }
            for scale in [0.5, 0.1, 1e8, f32::INFINITY] {
                let rounded = s.half_away(s.mul(b, s.splat(scale)));
                self.0.extend(s.truncated_bytes(rounded));
            }
            let ties = s.mul(b, s.splat(0.5));
            let wrapped = s.mul(ties, s.splat(1e6));
            for (a, low, high) in [(ties, -32, 31), (ties, 0, 255), (wrapped, -4, 3)] {
                self.0.extend(s.nearest_codes(a, low, high));
            }
        }
    }

    #[test]
    fn all_agree() {
        let run = |isa: Isa| {
            let mut results = Vec::new();
            isa.run(Everything(&mut results));
            results
        };
        let expected = run(Isa::Portable);
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            assert_eq!(run(*isa), expected, "{isa}");
        }
    }
}

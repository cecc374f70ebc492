//! IEEE half precision: 1 sign bit, 5 exponent bits with bias 15, 10 mantissa bits.

use bytemuck::{Pod, Zeroable};

/// A half-precision number as stored.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct F16([u8; 2]);

/// The smallest normal number, 2^-14, as f32 bits.
const MIN_NORMAL: u32 = 113 << 23;
/// The least value that rounds to infinity, 65520, as f32 bits.
const OVERFLOW: u32 = 0x477f_f000;
/// The difference of the exponent biases, where an f32 has its exponent.
const REBIAS: u32 = 112 << 23;
/// Infinity as stored.
const INFINITY: u32 = 0x7c00;
/// The only NaN that is ever written, but for its sign.
const NAN: u32 = 0x7e00;

impl F16 {
    /// The number with this bit pattern.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits.to_le_bytes())
    }

    /// Rounds to nearest, ties to even; too large numbers become infinite. NaNs lose their payload.
    #[inline(always)]
    pub(crate) fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let sign = (bits >> 16) & 0x8000;
        let abs = bits & 0x7fff_ffff;
        // Adding 0.5 lets the addition round to multiples of 2^-24, the spacing of denormals.
        let denormal = (f32::from_bits(abs) + 0.5)
            .to_bits()
            .wrapping_sub(0.5f32.to_bits());
        let normal = abs
            .wrapping_sub(REBIAS)
            .wrapping_add(0xfff + ((abs >> 13) & 1))
            >> 13;
        let rounded = if abs < MIN_NORMAL { denormal } else { normal };
        let finite = if abs < OVERFLOW { rounded } else { INFINITY };
        let magnitude = if x.is_nan() { NAN } else { finite };
        Self::from_bits((sign | magnitude) as u16)
    }

    /// Exact; a NaN becomes quiet and keeps its payload.
    #[inline(always)]
    pub(crate) fn to_f32(self) -> f32 {
        let bits = u32::from(u16::from_le_bytes(self.0));
        let sign = (bits & 0x8000) << 16;
        let abs = bits & 0x7fff;
        let normal = (abs << 13) + REBIAS;
        let denormal = (abs as f32 * f32::from_bits((127 - 24) << 23)).to_bits();
        let quiet = u32::from(abs > INFINITY) << 22;
        let not_finite = (normal + REBIAS) | quiet;
        // Two choices, not a match: they compile to selections, which vectorize.
        let finite = if abs < 0x0400 { denormal } else { normal };
        let magnitude = if abs < INFINITY { finite } else { not_finite };
        f32::from_bits(sign | magnitude)
    }
}

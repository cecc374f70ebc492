//! bfloat16: the upper half of an f32.

use bytemuck::{Pod, Zeroable};

/// A bfloat16 number as stored.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Bf16([u8; 2]);

impl Bf16 {
    /// The number with this bit pattern.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits.to_le_bytes())
    }

    /// Rounds to nearest, ties to even. A NaN becomes quiet and keeps the upper half of its payload.
    #[inline(always)]
    pub(crate) fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        let stored = if x.is_nan() { quiet } else { rounded };
        Self::from_bits(stored as u16)
    }

    /// Exact; a NaN keeps all its bits.
    #[inline(always)]
    pub(crate) fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }
}

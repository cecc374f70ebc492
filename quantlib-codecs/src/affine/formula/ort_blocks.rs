//! onnxruntime's weight-only quantizer: MatMulNBits and its form with DequantizeLinear.

use super::{Fit, Formula, clamp, nearest_even_i32, round_away_i32};
use crate::numeric::F16;

/// The range includes zero; elements are multiplied with the scale's reciprocal.
#[derive(Clone, Copy)]
pub(super) struct OrtBlocks {
    bits: u8,
    symmetric: bool,
    /// Whether codes count from the middle, as signed integers do.
    signed: bool,
    variant: Variant,
    /// Whether codes are made with the scale as f16 stores it.
    stored_scale: bool,
}

/// For whom weights are quantized: the two functions differ in corners.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// MatMulNBits: elements are rounded after the zero point is added.
    MatMul,
    /// DequantizeLinear: before.
    Qdq,
}

impl OrtBlocks {
    pub(super) fn new(
        bits: u8,
        symmetric: bool,
        signed: bool,
        variant: Variant,
        f16: bool,
    ) -> Self {
        Self {
            bits,
            symmetric,
            signed,
            variant,
            stored_scale: f16 && (variant == Variant::MatMul || !symmetric),
        }
    }

    #[inline(always)]
    fn max(self) -> f32 {
        f32::from(u16::MAX >> (16 - self.bits))
    }

    #[inline(always)]
    fn middle(self) -> f32 {
        f32::from(1u16 << (self.bits - 1))
    }

    /// What stored codes are less than those that are counted from 0.
    #[inline(always)]
    fn offset(self) -> f32 {
        if self.signed { self.middle() } else { 0.0 }
    }
}

/// 1/x, and 0 of 0.
#[inline(always)]
fn reciprocal(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

impl Formula for OrtBlocks {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let (scale, zero) = if self.symmetric {
            let edge = if high.abs() > low.abs() { high } else { low };
            (edge / -self.middle(), self.middle())
        } else {
            let (low, high) = (low.min(0.0), high.max(0.0));
            let scale = (high - low) / self.max();
            let zero = if scale == 0.0 { 0.0 } else { -low / scale };
            (scale, round_away_i32(clamp(zero, 0.0, self.max())) as f32)
        };
        let used = match self.stored_scale {
            true => F16::from_f32(scale).to_f32(),
            false => scale,
        };
        let factor = reciprocal(used);
        // Infinity is no integer: it becomes the least, and so the lowest code.
        let factor = match factor.is_infinite() && self.variant == Variant::Qdq {
            true => f32::NAN,
            false => factor,
        };
        Fit {
            scale,
            zero: zero - self.offset(),
            factor,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        let zero = fit.zero + self.offset();
        let steps = x * fit.factor;
        let code = match self.variant {
            Variant::MatMul => round_away_i32(clamp(steps + zero, 0.0, self.max())),
            Variant::Qdq => {
                round_away_i32(clamp(steps, -zero, self.max() - zero)) + nearest_even_i32(zero)
            }
        };
        code - nearest_even_i32(self.offset())
    }
}

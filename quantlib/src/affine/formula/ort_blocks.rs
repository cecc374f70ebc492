//! onnxruntime's weight-only quantizer: MatMulNBits and its form with DequantizeLinear.

use super::{Fit, Formula, clamp, round_away_i32};
use crate::numeric::F16;

/// The range includes zero; elements are multiplied with the scale's reciprocal.
#[derive(Clone, Copy)]
pub(super) struct OrtBlocks {
    bits: u8,
    symmetric: bool,
    /// Whether codes count from the middle, as signed integers do.
    signed: bool,
    /// Whether codes are made with the scale as it is stored, in f16.
    stored_scale: bool,
}

impl OrtBlocks {
    pub(super) fn new(bits: u8, symmetric: bool, signed: bool, stored_scale: bool) -> Self {
        Self {
            bits,
            symmetric,
            signed,
            stored_scale,
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
        Fit {
            scale,
            zero: zero - self.offset(),
            factor: reciprocal(used),
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        let zero = fit.zero + self.offset();
        let code = clamp(x * fit.factor + zero, 0.0, self.max());
        round_away_i32(code) - self.offset() as i32
    }
}

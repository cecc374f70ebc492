//! What the ternary formats share: the scale and the rounding to -1, 0 and 1.

use super::number::{max_abs, reciprocal};

/// The largest magnitude of a block.
pub(super) struct Scale {
    pub(super) value: f32,
    inverse: f32,
}

impl Scale {
    #[inline(always)]
    pub(super) fn of(x: &[f32]) -> Self {
        let value = max_abs(x);
        let inverse = reciprocal(value);
        // Where the inverse of a denormal scale is infinite, all ratios are 0, as in ggml.
        let inverse = if inverse.is_finite() { inverse } else { 0.0 };
        Self { value, inverse }
    }

    /// 0, 1 or 2 for the nearest of -scale, 0 and scale, ties away from zero.
    #[inline(always)]
    pub(super) fn digit(&self, x: f32) -> u8 {
        let ratio = x * self.inverse;
        1 + u8::from(ratio >= 0.5) - u8::from(ratio <= -0.5)
    }
}

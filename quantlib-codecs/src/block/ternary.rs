//! What the ternary formats share: the scale and the rounding to -1, 0 and 1.

use super::number::{max_abs, reciprocal, round};

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
        Self { value, inverse }
    }

    /// 0, 1 or 2 for the nearest of -scale, 0 and scale, ties away from zero.
    ///
    /// Where the inverse of a denormal scale is infinite, everything is 1, as in ggml.
    #[inline(always)]
    pub(super) fn digit(&self, x: f32) -> u8 {
        let ratio = x * self.inverse;
        let rounded = if ratio.is_finite() { round(ratio) } else { 0 };
        (rounded + 1) as u8
    }
}

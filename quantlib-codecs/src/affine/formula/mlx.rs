//! MLX's affine quantization, as its CPU backend computes it.

use super::{Fit, Formula, clamp, nearest_even_i32};

/// The scale reaches the edge that is farther from zero exactly, and zero has a code if the edge is at
/// least half a step away.
#[derive(Clone, Copy)]
pub(super) struct Mlx {
    /// The largest code.
    max: f32,
}

/// No scale is smaller.
const MIN_SCALE: f32 = 1e-7;

impl Mlx {
    pub(super) fn new(bits: u8) -> Self {
        let max = f32::from((1u16 << bits) - 1);
        Self { max }
    }
}

impl Formula for Mlx {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let step = ((high - low) / self.max).max(MIN_SCALE);
        if self.max == 1.0 {
            return Fit {
                scale: step,
                zero: low,
                factor: step,
            };
        }
        let (edge, step) = if low.abs() > high.abs() {
            (low, step)
        } else {
            (high, -step)
        };
        // May be beyond what the trick with 2^23 rounds: constants far from zero.
        let steps = (edge / step).round_ties_even();
        if steps == 0.0 {
            return Fit {
                scale: step,
                zero: 0.0,
                factor: step,
            };
        }
        let scale = edge / steps;
        Fit {
            scale,
            zero: edge,
            factor: scale,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        nearest_even_i32(clamp((x - fit.zero) / fit.factor, 0.0, self.max))
    }
}

//! onnxruntime's weight-only quantizer of embeddings: GatherBlockQuantized, 4 bits in blocks.

use super::{Fit, Formula, clamp, nearest_even_i32, round_to};
use crate::dtype::DType;

/// Every step is rounded to the type of the elements, as numpy does it; halves go to even.
#[derive(Clone, Copy)]
pub(super) struct OrtGather {
    source: DType,
    symmetric: bool,
}

/// The range of codes: symmetric ones are signed.
const MAX: f32 = 15.0;
const MIDDLE: f32 = 8.0;

impl OrtGather {
    pub(super) fn new(source: DType, symmetric: bool) -> Self {
        Self { source, symmetric }
    }

    #[inline(always)]
    fn round(self, x: f32) -> f32 {
        round_to(self.source, x)
    }
}

impl Formula for OrtGather {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let (scale, zero) = if self.symmetric {
            let edge = if high.abs() > low.abs() { high } else { low };
            (self.round(edge / -MIDDLE), 0.0)
        } else {
            let (low, high) = (low.min(0.0), high.max(0.0));
            let scale = self.round(self.round(high - low) / MAX);
            let zero = match scale == 0.0 {
                true => MIDDLE,
                false => self.round(-low / scale).round_ties_even(),
            };
            (scale, clamp(zero, 0.0, MAX))
        };
        Fit {
            scale,
            zero,
            factor: scale,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        if fit.factor == 0.0 {
            return if self.symmetric { 0 } else { MIDDLE as i32 };
        }
        let (least, most) = match self.symmetric {
            true => (-MIDDLE, MIDDLE - 1.0),
            false => (0.0, MAX),
        };
        let steps = self.round(self.round(x / fit.factor) + fit.zero);
        nearest_even_i32(clamp(steps, least, most))
    }
}

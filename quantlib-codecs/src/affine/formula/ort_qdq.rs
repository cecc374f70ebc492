//! onnxruntime's static quantization: QuantizeLinear's arithmetic, with scales found in double
//! precision.

use super::{Fit, Formula, clamp, nearest_even_i32, round_to};
use crate::dtype::DType;

/// The range includes zero; a range that is too small for the scale's type is none.
#[derive(Clone, Copy)]
pub(super) struct OrtQdq {
    /// The type of the elements, which is that of onnxruntime's scales.
    source: DType,
    symmetric: bool,
    /// Whether scales are for blocks, which have a function of their own.
    blocked: bool,
    /// The codes that ranges are stretched over.
    low: f64,
    high: f64,
    /// The codes that elements may have.
    least: f32,
    most: f32,
}

impl OrtQdq {
    pub(super) fn new(
        bits: u8,
        symmetric: bool,
        signed: bool,
        blocked: bool,
        source: DType,
    ) -> Self {
        let half = f64::from(1u32 << (bits - 1));
        let (least, most) = match signed {
            true => (-half, half - 1.0),
            false => (0.0, 2.0 * half - 1.0),
        };
        // Of signed types, those of 8 and 16 bits have a symmetric range without the lowest code.
        let narrow = symmetric && signed && bits >= 8;
        Self {
            source,
            symmetric,
            blocked,
            low: if narrow { -most } else { least },
            high: most,
            least: least as f32,
            most: most as f32,
        }
    }

    /// With ranges stretched over half as many codes: of 8 bits -64 to 64, or 0 to 127.
    pub(super) fn reduced(self, signed: bool) -> Self {
        let quarter = (f64::from(self.most) - f64::from(self.least) + 1.0) / 4.0;
        let (low, high) = match signed {
            // Only types of 8 and 16 bits have the upper edge too.
            true if quarter >= 64.0 => (-quarter, quarter),
            true => (-quarter, quarter - 1.0),
            false => (0.0, 2.0 * quarter - 1.0),
        };
        Self { low, high, ..self }
    }

    /// The smallest normal number of the elements' type.
    #[inline(always)]
    fn tiny(self) -> f64 {
        match self.source {
            DType::F16 => 2f64.powi(-14),
            _ => f64::from(f32::MIN_POSITIVE),
        }
    }
}

impl Formula for OrtQdq {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let (mut low, mut high) = (low.min(0.0), high.max(0.0));
        if self.symmetric {
            high = low.abs().max(high);
            low = -high;
        }
        let range = match self.blocked {
            true => f64::from(round_to(self.source, high - low)),
            false => f64::from(high) - f64::from(low),
        };
        let exact = range / (self.high - self.low);
        let scale = round_to(self.source, exact as f32);
        let used = if self.blocked {
            f64::from(scale)
        } else {
            exact
        };
        if used < self.tiny() {
            return Fit {
                scale: 1.0,
                zero: 0.0,
                factor: 1.0,
            };
        }
        let zero = match self.symmetric {
            true => (self.low + self.high) / 2.0,
            false => self.low - f64::from(low) / used,
        };
        let zero = zero.round_ties_even();
        let zero = if self.blocked && !self.symmetric {
            zero.clamp(self.low, self.high)
        } else {
            zero
        };
        Fit {
            scale,
            zero: zero as f32,
            factor: scale,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        let steps = clamp(x / fit.factor, self.least - fit.zero, self.most - fit.zero);
        nearest_even_i32(steps) + nearest_even_i32(fit.zero)
    }
}

//! NNCF's weight compression.

use super::{Fit, Formula, clamp, nearest_even_i32};

/// Integers: the range includes zero, or reaches one edge exactly with a scale that has a sign.
#[derive(Clone, Copy)]
pub(super) struct Nncf {
    bits: u8,
    symmetric: bool,
}

impl Nncf {
    pub(super) fn new(bits: u8, symmetric: bool) -> Self {
        Self { bits, symmetric }
    }

    #[inline(always)]
    fn max(self) -> f32 {
        f32::from(u16::MAX >> (16 - self.bits))
    }

    #[inline(always)]
    fn half(self) -> f32 {
        f32::from(1u16 << (self.bits - 1))
    }
}

impl Formula for Nncf {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let scale = if self.symmetric {
            let edge = if low.abs() >= high { low.abs() } else { -high };
            edge / self.half()
        } else {
            (high.max(0.0) - low.min(0.0)) / self.max()
        };
        let scale = if scale.abs() < f32::EPSILON {
            f32::EPSILON
        } else {
            scale
        };
        let zero = match self.symmetric {
            true => 0.0,
            false => clamp(-(low.min(0.0) / scale).round_ties_even(), 0.0, self.max()),
        };
        Fit {
            scale,
            zero,
            factor: scale,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        let steps = x / fit.factor;
        match self.symmetric {
            true => nearest_even_i32(clamp(steps, -self.half(), self.half() - 1.0)),
            false => nearest_even_i32(clamp(steps + fit.zero, 0.0, self.max())),
        }
    }
}

//! MLX's floating-point modes, as its CPU backend computes them.

use super::floats::Small;
use super::{Fit, Formula, round_to};
use crate::dtype::DType;
use crate::numeric::f8;

/// 4-bit floats, between two values the one nearer to zero. (From 2^9 times the scale on, which bf16
/// weights above 229376 reach in nvfp4, MLX compares distances that are rounded and picks others.)
#[derive(Clone, Copy)]
pub(super) struct E2M1;

impl Small for E2M1 {
    const MAX: f32 = 6.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        let size = x.abs();
        let mut code = 0;
        for middle in [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0] {
            code += i32::from(size > middle);
        }
        // Zero has no sign.
        code + 8 * i32::from(x < 0.0 && size > 0.25)
    }
}

/// mxfp4 and mxfp8: scales are the least powers of two with which nothing overflows. (Those below
/// 2^-127 wrap around in MLX; here they become 2^-127.)
#[derive(Clone, Copy)]
pub(super) struct PowerOfTwo<S> {
    source: DType,
    _small: S,
}

/// nvfp4: scales are 8-bit floats, of numbers that are multiplied with a factor of the whole tensor.
#[derive(Clone, Copy)]
pub(super) struct SmallFloat<S> {
    source: DType,
    /// 1 changes nothing.
    factor: f32,
    _small: S,
}

impl<S> PowerOfTwo<S> {
    pub(super) fn new(source: DType, small: S) -> Self {
        Self {
            source,
            _small: small,
        }
    }
}

impl<S> SmallFloat<S> {
    pub(super) fn new(source: DType, small: S, factor: f32) -> Self {
        Self {
            source,
            factor,
            _small: small,
        }
    }
}

#[inline(always)]
fn largest(low: f32, high: f32) -> f32 {
    low.abs().max(high.abs())
}

#[inline(always)]
fn without_zero(scale: f32) -> Fit {
    Fit {
        scale,
        zero: 0.0,
        factor: scale,
    }
}

impl<S: Small> Formula for PowerOfTwo<S> {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let ratio = round_to(self.source, largest(low, high) / S::MAX);
        without_zero(match ratio == 0.0 {
            true => 1.0,
            false => f8::e8m0(f8::to_e8m0(ratio)),
        })
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        S::nearest(round_to(self.source, x / fit.factor))
    }
}

impl<S: Small> Formula for SmallFloat<S> {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let ratio = round_to(self.source, largest(low, high) / S::MAX);
        without_zero(f8::e4m3(f8::to_e4m3(ratio * self.factor)))
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        let ratio = round_to(self.source, x / fit.factor) * self.factor;
        S::nearest(if fit.factor == 0.0 { 0.0 } else { ratio })
    }
}

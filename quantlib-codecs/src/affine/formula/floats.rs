//! Floats of 4 and 8 bits whose largest number is the largest of the elements they share a scale with.

use super::{Fit, Formula};
use crate::dtype::DType;
use crate::numeric::{F16, f8};

/// Numbers that codes mean, of both signs.
pub(super) trait Small: Copy + Send + Sync {
    /// The largest of them.
    const MAX: f32;
    /// The code of the nearest.
    fn nearest(x: f32) -> i32;
}

/// How many of these numbers lie below `x`.
#[inline(always)]
fn above(x: f32, middles: &[f32]) -> i32 {
    let mut count = 0;
    for middle in middles {
        count += i32::from(x > *middle);
    }
    count
}

/// The quantiles of a normal distribution, as bitsandbytes finds the nearest.
#[derive(Clone, Copy)]
pub(super) struct Nf4;

/// The same as NNCF does, whose middles of some quantiles are another f32.
#[derive(Clone, Copy)]
pub(super) struct NncfNf4;

/// Between each two quantiles of NF4, but for those that tools do not agree on.
const fn nf4_middles(own: [f32; 3]) -> [f32; 15] {
    [
        -0.848_096_4,
        -0.610_632_9,
        -0.459_995_27,
        -0.339_679_42,
        -0.234_607_4,
        -0.137_911_74,
        -0.045_525_018,
        0.039_790_15,
        own[0],
        0.203_521_25,
        0.292_013_76,
        0.389_312_54,
        own[1],
        0.642_786_9,
        own[2],
    ]
}

impl Small for Nf4 {
    const MAX: f32 = 1.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        const MIDDLES: [f32; 15] = nf4_middles([0.120_255_25, 0.501_663_45, 0.861_478_45]);
        above(x, &MIDDLES)
    }
}

impl Small for NncfNf4 {
    const MAX: f32 = 1.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        const MIDDLES: [f32; 15] = nf4_middles([0.120_255_254, 0.501_663_4, 0.861_478_4]);
        above(x, &MIDDLES)
    }
}

/// bitsandbytes' FP4: its codes are not in the order of their numbers.
#[derive(Clone, Copy)]
pub(super) struct Fp4;

impl Small for Fp4 {
    const MAX: f32 = 1.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        // As bitsandbytes has them, which are not quite the middles.
        const MIDDLES: [f32; 7] = [
            0.002_604_17,
            0.085_937_5,
            0.208_333_33,
            0.291_666_66,
            0.416_666_7,
            0.583_333,
            0.833_333_3,
        ];
        // Codes in the order of their numbers, four bits each.
        const ORDER: u32 = 0x3254_7610;
        let code = ORDER >> (4 * above(x.abs(), &MIDDLES)) & 7;
        code as i32 + 8 * i32::from(x < 0.0)
    }
}

/// 4-bit floats, ties to even. Zero has no sign.
#[derive(Clone, Copy)]
pub(super) struct EvenE2M1;

impl Small for EvenE2M1 {
    const MAX: f32 = 6.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        let size = x.abs();
        let below = above(size, &[0.25, 1.25, 2.5, 5.0]);
        // Between these pairs the even code is the upper one.
        let from = i32::from(size >= 0.75) + i32::from(size >= 1.75) + i32::from(size >= 3.5);
        let code = below + from;
        code + 8 * i32::from(x < 0.0 && code > 0)
    }
}

/// 8-bit floats with 4 exponent bits, ties to even.
#[derive(Clone, Copy)]
pub(super) struct EvenE4M3;

impl Small for EvenE4M3 {
    const MAX: f32 = 448.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        i32::from(f8::to_e4m3(x))
    }
}

/// 8-bit floats with 5 exponent bits, ties to even.
#[derive(Clone, Copy)]
pub(super) struct EvenE5M2;

impl Small for EvenE5M2 {
    const MAX: f32 = 57344.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        i32::from(f8::to_e5m2(x))
    }
}

/// 8-bit floats with 4 exponent bits as OpenVINO rounds to them: by way of f16.
#[derive(Clone, Copy)]
pub(super) struct HalfE4M3;

impl Small for HalfE4M3 {
    const MAX: f32 = 448.0;

    #[inline(always)]
    fn nearest(x: f32) -> i32 {
        i32::from(f8::to_e4m3(F16::from_f32(x).to_f32()))
    }
}

/// bitsandbytes, as onnxruntime's MatMulBnb4 has it: elements are multiplied with the reciprocal of
/// the scale.
#[derive(Clone, Copy)]
pub(super) struct Bnb4<S>(pub(super) S);

impl<S: Small> Formula for Bnb4<S> {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let scale = low.abs().max(high.abs());
        Fit {
            scale,
            zero: 0.0,
            factor: if scale == 0.0 { 0.0 } else { 1.0 / scale },
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        S::nearest(x * fit.factor)
    }
}

/// NNCF's float modes, and plain 8-bit floats: elements are divided by the scale.
#[derive(Clone, Copy)]
pub(super) struct Largest<S> {
    /// Whether scales are powers of two.
    pub(super) power: bool,
    pub(super) _small: S,
}

impl<S> Largest<S> {
    pub(super) fn new(scale: DType, small: S) -> Self {
        Self {
            power: scale == DType::F8E8M0,
            _small: small,
        }
    }
}

impl<S: Small> Formula for Largest<S> {
    #[inline(always)]
    fn fit(self, low: f32, high: f32) -> Fit {
        let scale = low.abs().max(high.abs()) / S::MAX;
        let scale = if scale < f32::EPSILON {
            f32::EPSILON
        } else {
            scale
        };
        let scale = match self.power {
            true => f8::e8m0(f8::to_e8m0(scale)),
            false => scale,
        };
        Fit {
            scale,
            zero: 0.0,
            factor: scale,
        }
    }

    #[inline(always)]
    fn code(self, x: f32, fit: Fit) -> i32 {
        S::nearest(x / fit.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bits_tie_to_even() {
        let numbers = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0f32];
        for (i, pair) in numbers.windows(2).enumerate() {
            let middle = (pair[0] + pair[1]) / 2.0;
            let even = (i + i % 2) as i32;
            assert_eq!(EvenE2M1::nearest(middle), even, "{middle}");
            assert_eq!(EvenE2M1::nearest(middle.next_down()), i as i32);
            assert_eq!(EvenE2M1::nearest(middle.next_up()), i as i32 + 1);
            assert_eq!(EvenE2M1::nearest(pair[1]), i as i32 + 1);
            assert_eq!(EvenE2M1::nearest(-pair[1]), i as i32 + 9);
        }
        assert_eq!([-0.1, 0.0, 9.0].map(EvenE2M1::nearest), [0, 0, 7]);
    }

    #[test]
    fn tables_find_their_own_numbers() {
        for (code, x) in crate::affine::tables::NF4.into_iter().enumerate() {
            assert_eq!(Nf4::nearest(x), code as i32);
        }
        for (code, x) in crate::affine::tables::FP4.into_iter().enumerate() {
            if x != 0.0 {
                assert_eq!(Fp4::nearest(x), code as i32, "{x}");
            }
        }
    }
}

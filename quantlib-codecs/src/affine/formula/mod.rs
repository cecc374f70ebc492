//! Whose arithmetic finds scales, zeros and codes: one file a tool.

mod floats;
mod mlx;
mod mlx_float;
mod nncf;
mod ort_blocks;
mod ort_gather;
mod ort_qdq;

use super::global::GlobalScale;
use super::spec::{AffineSpec, Element, Formula as Name, Group, Packing, Zero};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::numeric::{Bf16, F16};
use floats::{Bnb4, EvenE2M1, EvenE4M3, EvenE5M2, Fp4, HalfE4M3, Largest, Nf4, NncfNf4, Small};
use mlx::Mlx;
use mlx_float::{E2M1, PowerOfTwo, SmallFloat};
use nncf::Nncf;
use ort_blocks::{OrtBlocks, Variant};
use ort_gather::OrtGather;
use ort_qdq::OrtQdq;

/// From a group's range to its scale, and from elements to codes.
///
/// Everything is in single precision unless an implementation says otherwise, and `#[inline(always)]`:
/// loops over it are compiled for each instruction set.
pub(super) trait Formula: Copy + Send + Sync {
    /// The scale and the zero for elements between `low` and `high`.
    fn fit(self, low: f32, high: f32) -> Fit;

    /// The code of `x`, in two's complement if it is negative.
    fn code(self, x: f32, fit: Fit) -> i32;
}

/// What a group's codes mean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    /// As it is stored.
    pub(super) scale: f32,
    /// The zero point or the bias, as it is stored.
    pub(super) zero: f32,
    /// The number that elements are divided by, or multiplied with, as the formula does it.
    pub(super) factor: f32,
}

/// 1.5 · 2^23: added to a number below 2^22 it leaves no room for fractions.
const MAGIC: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for |x| < 2^22. Loops of it vectorize, unlike those of `as i32`,
/// which saturates.
#[inline(always)]
pub(super) fn nearest_even_i32(x: f32) -> i32 {
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

/// The nearest integer, ties away from zero, for |x| < 2^22: C's `roundf`.
#[inline(always)]
pub(super) fn round_away_i32(x: f32) -> i32 {
    // The number below one half: a half itself would round 0.49999997 up.
    let magnitude = x.abs() + 0.499_999_97;
    let near = (magnitude + MAGIC) - MAGIC;
    let below = if near > magnitude { near - 1.0 } else { near };
    nearest_even_i32(below.copysign(x))
}

/// `x` rounded to the type of the elements.
#[inline(always)]
pub(super) fn round_to(source: DType, x: f32) -> f32 {
    match source {
        DType::F16 => F16::from_f32(x).to_f32(),
        DType::BF16 => Bf16::from_f32(x).to_f32(),
        _ => x,
    }
}

/// `x` between `low` and `high`; `low` for NaN.
#[inline(always)]
pub(super) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// Work that is written once for all formulas.
pub(super) trait WithFormula {
    type Output;
    fn run<F: Formula>(self, formula: F) -> Self::Output;
}

/// Does `work` with the formula that a spec names, for elements that are stored as `source`.
///
/// # Errors
/// `unsupported` if the formula does not compute what else the spec asks for.
pub(super) fn choose<W: WithFormula>(
    spec: &AffineSpec,
    source: DType,
    work: W,
) -> Result<W::Output> {
    let AffineSpec {
        bits, symmetric, ..
    } = *spec;
    let signed = spec.element == Element::Signed;
    let integers = signed || spec.element == Element::Unsigned;
    // Symmetric codes need no zero if they have a sign, or their packing implies their middle.
    let implied = signed || spec.packing == Packing::MatMulNBits;
    let zero_fits = match spec.zero {
        Zero::None => symmetric && implied,
        Zero::Point => true,
        Zero::Bias => false,
    };
    match (spec.formula, spec.element, spec.zero) {
        (Name::Mlx, Element::Unsigned, Zero::Bias) if bits <= 8 => Ok(work.run(Mlx::new(bits))),
        (Name::Mlx, Element::E2M1, Zero::None) => match spec.scale {
            DType::F8E4M3 => {
                let factor = spec.global_scale.map_or(1.0, GlobalScale::encode);
                Ok(work.run(SmallFloat::new(source, E2M1, factor)))
            }
            _ => Ok(work.run(PowerOfTwo::new(source, E2M1))),
        },
        (Name::Mlx, Element::E4M3, Zero::None) => Ok(work.run(PowerOfTwo::new(source, EvenE4M3))),
        (Name::Bnb4, Element::Nf4, Zero::None) => Ok(work.run(Bnb4(Nf4))),
        (Name::Bnb4, Element::Fp4, Zero::None) => Ok(work.run(Bnb4(Fp4))),
        (Name::Nncf, Element::Nf4, Zero::None) => Ok(largest(spec, NncfNf4, work)),
        (Name::Largest | Name::Nncf, Element::E2M1, Zero::None) => {
            Ok(largest(spec, EvenE2M1, work))
        }
        (Name::Nncf, Element::E4M3, Zero::None) => Ok(largest(spec, HalfE4M3, work)),
        (Name::Largest, Element::E4M3, Zero::None) => Ok(largest(spec, EvenE4M3, work)),
        (Name::Largest, Element::E5M2, Zero::None) => Ok(largest(spec, EvenE5M2, work)),
        (Name::OrtBlocks, ..) if integers && bits <= 8 && zero_fits => {
            let variant = match spec.packing {
                Packing::MatMulNBits => Variant::MatMul,
                _ => Variant::Qdq,
            };
            let f16 = source == DType::F16;
            let formula = OrtBlocks::new(bits, symmetric, signed, variant, f16);
            Ok(work.run(formula))
        }
        (Name::OrtGather, ..) if integers && bits == 4 && zero_fits && symmetric == signed => {
            Ok(work.run(OrtGather::new(source, symmetric)))
        }
        (Name::OrtQdq, ..) if integers && zero_fits => {
            let blocked = matches!(spec.group, Group::Blocks(_));
            let formula = OrtQdq::new(bits, symmetric, signed, blocked, source);
            Ok(work.run(formula))
        }
        (Name::OrtReduced, ..) if integers && bits > 1 && zero_fits => {
            let blocked = matches!(spec.group, Group::Blocks(_));
            let formula = OrtQdq::new(bits, symmetric, signed, blocked, source);
            Ok(work.run(formula.reduced(signed)))
        }
        (Name::Nncf, ..) if integers && bits <= 8 && zero_fits && symmetric == signed => {
            Ok(work.run(Nncf::new(bits, symmetric)))
        }
        _ => Err(Error::unsupported(format!(
            "{:?} has no formula for {:?} codes of {bits} bits, {:?} to place zero and {} ranges; choose another formula",
            spec.formula,
            spec.element,
            spec.zero,
            if symmetric { "symmetric" } else { "asymmetric" },
        ))),
    }
}

fn largest<S: Small, W: WithFormula>(spec: &AffineSpec, small: S, work: W) -> W::Output {
    work.run(Largest::new(spec.scale, small))
}

#[cfg(test)]
mod tests {
    use super::{nearest_even_i32, round_away_i32};

    #[test]
    fn integers_are_the_nearest() {
        let steps = (-70_000..70_000).map(|i| i as f32 / 2.0);
        let corners = [0.499_999_97, 0.3, -0.3, 65_534.504, 4_194_303.0];
        for x in steps.chain(corners) {
            for x in [x.next_down(), x, x.next_up(), -x] {
                assert_eq!(round_away_i32(x), x.round() as i32, "{x}");
                assert_eq!(nearest_even_i32(x), x.round_ties_even() as i32, "{x}");
            }
        }
    }
}

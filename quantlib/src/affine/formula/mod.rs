//! Whose arithmetic finds scales, zeros and codes: one file a tool.

mod mlx;

use super::spec::{AffineSpec, Element, Formula as Name, Zero};
use crate::dtype::DType;
use crate::error::{Error, Result};
use mlx::Mlx;

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

/// The nearest integer, ties to even, for |x| < 2^22: adding 1.5 · 2^23 leaves no room for fractions.
#[inline(always)]
pub(super) fn nearest_even_i32(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
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
    _source: DType,
    work: W,
) -> Result<W::Output> {
    match (spec.formula, spec.element, spec.zero) {
        (Name::Mlx, Element::Unsigned, Zero::Bias) => Ok(work.run(Mlx::new(spec.bits))),
        _ => Err(Error::unsupported(format!(
            "{:?} has no formula for {:?} codes of {} bits with {:?} and {} ranges; choose another formula",
            spec.formula,
            spec.element,
            spec.bits,
            spec.zero,
            if spec.symmetric {
                "symmetric"
            } else {
                "asymmetric"
            },
        ))),
    }
}

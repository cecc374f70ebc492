//! The second level of nvfp4's scales: one number for a whole tensor.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The largest product of a code and a group's scale, 6 · 448: what the tensor's scale stands for.
const LARGEST: f32 = 2688.0;

/// What MLX calls `global_scale`: a tensor's largest magnitude, by which the 8-bit floats that scale its
/// groups use their whole range.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::AffineSpec;
/// use quantlib::affine::GlobalScale;
/// let weights: Vec<f32> = (0..64).map(|i| (i as f32).sin() * 1e-3).collect();
/// let mut spec = AffineSpec::mlx_float("nvfp4")?;
/// spec.global_scale = Some(GlobalScale::of(&weights)?);
/// let q = quantlib::quantize_affine(weights[..].into(), &[1, 64], &spec)?;
/// let error = |(x, y): (&f32, f32)| (x - y).abs();
/// // Without it, groups of such small numbers would get scales of few digits.
/// assert!(weights.iter().zip(q.dequantize()?).map(error).all(|e| e < 2e-4));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct GlobalScale(f32);

/// It is no NaN.
impl Eq for GlobalScale {}

impl GlobalScale {
    /// Takes a number as it is stored.
    ///
    /// # Errors
    /// `misuse` unless it and 2688 divided by it are positive and finite.
    pub fn new(scale: f32) -> Result<Self> {
        let usable = |x: f32| x > 0.0 && x.is_finite();
        if !usable(scale) || !usable(LARGEST / scale) {
            return Err(Error::misuse(format!(
                "a global scale of {scale} was asked for; it is a tensor's largest magnitude, or 1 if that is 0"
            )));
        }
        Ok(Self(scale))
    }

    /// The largest magnitude of a tensor.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of(x: &[f32]) -> Result<Self> {
        Self::new(x.iter().fold(0.0, |most, x| x.abs().max(most)))
    }

    /// The number as it is stored.
    pub fn get(self) -> f32 {
        self.0
    }

    /// What scales are multiplied with before they are stored.
    pub(super) fn encode(self) -> f32 {
        LARGEST / self.0
    }

    /// What stored scales are multiplied with.
    pub(super) fn decode(self) -> f32 {
        self.0 / LARGEST
    }
}

impl TryFrom<f32> for GlobalScale {
    type Error = Error;

    fn try_from(scale: f32) -> Result<Self> {
        Self::new(scale)
    }
}

impl From<GlobalScale> for f32 {
    fn from(scale: GlobalScale) -> Self {
        scale.0
    }
}

#[cfg(test)]
mod tests {
    use super::GlobalScale;

    #[test]
    fn only_what_can_be_divided_by() {
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, f32::MIN_POSITIVE] {
            assert!(GlobalScale::new(scale).is_err(), "{scale}");
        }
        for scale in [1e-35, 1.0, f32::MAX] {
            assert_eq!(
                GlobalScale::new(scale).map(GlobalScale::get).ok(),
                Some(scale)
            );
        }
    }
}

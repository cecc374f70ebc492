//! What is added up of two tensors, and what follows from it.

use serde::Serialize;

/// Sums over pairs of values, in f64. Pieces are added in the tensor's order, so the result does not
/// depend on how many threads there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Pairs of finite values, which are all that count below.
    count: u64,
    /// Pairs with a NaN or an infinite value.
    non_finite: u64,
    /// Σ a²
    a_squared: f64,
    /// Σ b²
    b_squared: f64,
    /// Σ a·b
    product: f64,
    /// Σ (a − b)²
    error_squared: f64,
    /// max |a − b|
    max_error: f64,
}

impl Sums {
    /// Those of one piece.
    pub(super) fn of(a: &[f32], b: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&a, &b) in a.iter().zip(b) {
            if !(a.is_finite() && b.is_finite()) {
                sums.non_finite += 1;
                continue;
            }
            let (a, b) = (f64::from(a), f64::from(b));
            let error = (a - b).abs();
            sums.count += 1;
            sums.a_squared += a * a;
            sums.b_squared += b * b;
            sums.product += a * b;
            sums.error_squared += error * error;
            sums.max_error = sums.max_error.max(error);
        }
        sums
    }

    /// Both together, this one first.
    pub(super) fn then(mut self, next: &Self) -> Self {
        self.count += next.count;
        self.non_finite += next.non_finite;
        self.a_squared += next.a_squared;
        self.b_squared += next.b_squared;
        self.product += next.product;
        self.error_squared += next.error_squared;
        self.max_error = self.max_error.max(next.max_error);
        self
    }

    pub(super) fn errors(&self) -> Errors {
        #[expect(clippy::cast_precision_loss, reason = "a count below 2^53")]
        let mean = self.error_squared / (self.count as f64).max(1.0);
        let norms = self.a_squared.sqrt() * self.b_squared.sqrt();
        let has = |is: bool, value: f64| is.then_some(value);
        Errors {
            rmse: mean.sqrt(),
            max_error: self.max_error,
            cosine: has(norms > 0.0, (self.product / norms).clamp(-1.0, 1.0)),
            sqnr_db: has(
                self.error_squared > 0.0 && self.a_squared > 0.0,
                10.0 * (self.a_squared / self.error_squared).log10(),
            ),
            non_finite: self.non_finite,
        }
    }
}

/// How far the values of B are from those of A, both widened to f32 and compared in f64. Pairs with
/// NaN or infinite values are counted and left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Errors {
    /// Root of the mean squared error: √(Σ(a − b)² / n).
    pub rmse: f64,
    /// Largest error: max |a − b|.
    pub max_error: f64,
    /// Cosine of the angle between A and B: Σab / √(Σa² · Σb²); none if either is all zeros.
    pub cosine: Option<f64>,
    /// Signal to quantization noise in decibel: 10·log₁₀(Σa² / Σ(a − b)²); none if there is no error,
    /// or no signal.
    pub sqnr_db: Option<f64>,
    /// Pairs with a NaN or an infinite value.
    pub non_finite: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_their_formulas() {
        let errors = Sums::of(&[3.0, 0.0, f32::NAN], &[3.0, 4.0, 1.0]).errors();
        assert_eq!(errors.rmse, 8f64.sqrt());
        assert_eq!(errors.max_error, 4.0);
        assert_eq!(errors.cosine, Some(0.6));
        assert_eq!(errors.sqnr_db, Some(10.0 * (9.0f64 / 16.0).log10()));
        assert_eq!(errors.non_finite, 1);
        let equal = Sums::of(&[1.0], &[1.0]).errors();
        assert_eq!(
            (equal.rmse, equal.cosine, equal.sqnr_db),
            (0.0, Some(1.0), None)
        );
        let nothing = Sums::default().errors();
        assert_eq!((nothing.rmse, nothing.cosine), (0.0, None));
    }
}

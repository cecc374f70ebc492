//! How much each element's error counts in the searches of the IQ formats.

use super::number::{fill, map};

/// The sum of squares, in order. Formats scale it to a mean in different orders, which overflow
/// differently.
pub(super) fn sum_squares(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |sum, x| sum + x * x)
}

/// The weights of a group: its importance · √(sigma2 + x²), and x² without importance.
#[inline(always)]
pub(super) fn weigh<const N: usize>(
    x: &[f32; N],
    importance: Option<&[f32; N]>,
    sigma2: f32,
) -> [f32; N] {
    match importance {
        Some(w) => weigh_important(x, w, sigma2),
        None => map(x, |x| x * x),
    }
}

/// The weights of a group with importance.
#[inline(always)]
pub(super) fn weigh_important<const N: usize>(
    x: &[f32; N],
    importance: &[f32; N],
    sigma2: f32,
) -> [f32; N] {
    fill(|i| importance[i] * (sigma2 + x[i] * x[i]).sqrt())
}

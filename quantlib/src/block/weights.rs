//! How much each element's error counts in the searches of the IQ formats.

/// The sum of squares, in order. Formats scale it to a mean in different orders, which overflow
/// differently.
pub(super) fn sum_squares(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |sum, x| sum + x * x)
}

/// The weights of a group: its importance · √(sigma2 + x²), and x² without importance.
pub(super) fn weigh<const N: usize>(
    x: &[f32; N],
    importance: Option<&[f32; N]>,
    sigma2: f32,
) -> [f32; N] {
    match importance {
        Some(w) => weigh_important(x, w, sigma2),
        None => x.map(|x| x * x),
    }
}

/// The weights of a group with importance.
pub(super) fn weigh_important<const N: usize>(
    x: &[f32; N],
    importance: &[f32; N],
    sigma2: f32,
) -> [f32; N] {
    std::array::from_fn(|i| importance[i] * (sigma2 + x[i] * x[i]).sqrt())
}

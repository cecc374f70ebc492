//! `general.size_label` from the number of parameters.

/// The number with two or more digits and a unit: `13.6M`, `124M`, `7.2B`.
pub(super) fn label(parameters: u64) -> String {
    let count = parameters as f64;
    let (scaled, unit) = if count > 1e12 {
        (count * 1e-12, 'T')
    } else if count > 1e9 {
        (count * 1e-9, 'B')
    } else if count > 1e6 {
        (count * 1e-6, 'M')
    } else {
        (count * 1e-3, 'K')
    };
    let whole = format!("{:.0}", scaled.round_ties_even());
    let digits = whole.trim_start_matches('0').len();
    let decimals = 2usize.saturating_sub(digits);
    format!("{scaled:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn two_digits_or_more() {
        for (parameters, expected) in [
            (1_708_800, "1.7M"),
            (13_600_000, "14M"),
            (124_439_808, "124M"),
            (7_241_732_096, "7.2B"),
            (400, "0.40K"),
            (999_600, "1000K"),
            (1_000_000, "1000K"),
        ] {
            assert_eq!(label(parameters), expected);
        }
    }
}

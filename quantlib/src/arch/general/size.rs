//! `general.size_label` from the numbers of parameters.

use crate::error::Result;
use crate::model::OutputTensor;

/// Numbers of parameters, counted as the converter does.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::arch) struct Parameters {
    /// Of the whole model.
    total: u64,
    /// Of what all experts share.
    shared: u64,
    /// Of one expert.
    expert: u64,
    /// Number of experts, on average over the tensors that hold them.
    experts: u64,
    /// Whether these are the elements of the matrices that an adapter changes.
    adapter: bool,
}

impl Parameters {
    /// Counts those of a file's tensors.
    ///
    /// # Errors
    /// `malformed` if there are more than any number holds.
    pub(in crate::arch) fn of(tensors: &[OutputTensor]) -> Result<Self> {
        let mut counts = Self::default();
        let (mut experts, mut stacks) = (0u64, 0u64);
        let mut last_cols = 0;
        for tensor in tensors {
            let elements = match tensor.name.strip_suffix(".lora_a") {
                // Counted with the other factor, whose columns its rows stand for.
                Some(_) => {
                    counts.adapter = true;
                    last_cols = tensor.shape.last().copied().unwrap_or(1) as u64;
                    continue;
                }
                None if tensor.name.ends_with(".lora_b") => {
                    let rank = tensor.shape.last().copied().unwrap_or(1).max(1) as u64;
                    (tensor.elements()? / rank).saturating_mul(last_cols)
                }
                None => tensor.elements()?,
            };
            counts.total = counts.total.saturating_add(elements);
            match stacked(tensor) {
                Some(count) => {
                    counts.expert = counts.expert.saturating_add(elements / count);
                    experts = experts.saturating_add(count);
                    stacks += 1;
                }
                None => counts.shared = counts.shared.saturating_add(elements),
            }
        }
        counts.experts = experts.checked_div(stacks).unwrap_or(0);
        Ok(counts)
    }

    /// The total, negative for an adapter as in gguf-py.
    pub(super) fn signed(&self) -> i64 {
        let total = i64::try_from(self.total).unwrap_or(i64::MAX);
        if self.adapter { -total } else { total }
    }

    /// `13.6M`, or `8x7B` with experts.
    pub(super) fn label(&self) -> String {
        match self.experts {
            0 => label(self.total),
            experts => format!(
                "{experts}x{}",
                label(self.shared.saturating_add(self.expert))
            ),
        }
    }
}

/// The number of experts whose matrices a tensor holds.
fn stacked(tensor: &OutputTensor) -> Option<u64> {
    match tensor.shape[..] {
        [.., experts, _, _] if tensor.name.contains("_exps.") && experts > 0 => {
            Some(experts as u64)
        }
        _ => None,
    }
}

/// The number with two or more digits and a unit: `13.6M`, `124M`, `7.2B`.
fn label(parameters: u64) -> String {
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

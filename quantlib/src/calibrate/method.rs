//! From what is known of a tensor's values to the range that is quantized.

use super::spread::Bucket;
use crate::error::{Error, Result};
use std::str::FromStr;

/// The least and the greatest value that codes stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    #[expect(missing_docs, reason = "the names say it")]
    pub low: f32,
    #[expect(missing_docs, reason = "the names say it")]
    pub high: f32,
}

impl Range {
    /// What of it lies within another.
    pub(super) fn within(self, outer: Self) -> Self {
        Self {
            low: self.low.clamp(outer.low, outer.high),
            high: self.high.clamp(outer.low, outer.high),
        }
    }
}

/// The codes that a range is divided among.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// The least code.
    pub least: f64,
    /// The greatest code.
    pub most: f64,
    /// Whether the range is the same on both sides of zero.
    pub is_symmetric: bool,
}

impl Levels {
    /// Codes from 0 on, with a zero point.
    pub fn asymmetric(bits: u8) -> Self {
        Self {
            least: 0.0,
            most: 2f64.powi(bits.into()) - 1.0,
            is_symmetric: false,
        }
    }

    /// Codes of both signs, as many of each.
    pub fn symmetric(bits: u8) -> Self {
        let most = 2f64.powi(i32::from(bits) - 1) - 1.0;
        Self {
            least: -most,
            most,
            is_symmetric: true,
        }
    }

    /// Scale and zero point of a range, zero taken in: [`Formula::OrtQdq`](crate::affine::Formula)'s
    /// but for the rounding of scales.
    pub fn fit(self, range: Range) -> (f64, f64) {
        let (mut low, mut high) = (
            f64::from(range.low.min(0.0)),
            f64::from(range.high.max(0.0)),
        );
        if self.is_symmetric {
            high = high.max(-low);
            low = -high;
        }
        let scale = (high - low) / (self.most - self.least);
        match scale < f64::from(f32::MIN_POSITIVE) {
            true => (1.0, 0.0),
            false => (scale, (self.least - low / scale).round_ties_even()),
        }
    }

    fn count(self) -> f64 {
        self.most - self.least + 1.0
    }
}

/// How a range is found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// From the least to the greatest value of all samples.
    MinMax,
    /// The mean of each sample's least and greatest value.
    Average,
    /// The middle so many per cent of the values.
    Percentile {
        /// Up to 100.
        percent: f64,
    },
    /// The range whose codes tell most of the distribution: the least relative entropy
    /// (Kullback-Leibler). For codes of more than 8 bits this is all of it.
    Entropy,
    /// The range with the least squared error.
    #[default]
    LeastError,
}

impl Method {
    /// One of each.
    pub const ALL: &[Self] = &[
        Self::MinMax,
        Self::Average,
        Self::Percentile { percent: 99.999 },
        Self::Entropy,
        Self::LeastError,
    ];

    /// The name: `"minmax"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Average => "moving-average",
            Self::Percentile { .. } => "percentile",
            Self::Entropy => "entropy",
            Self::LeastError => "mse",
        }
    }
}

/// Parses a name in either case; percentiles may be followed by how many, as in `percentile:99.9`
/// (99.999 by default).
impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, percent) = match lower.split_once(':') {
            Some((name, percent)) => (name, Some(percent)),
            None => (&lower[..], None),
        };
        let found = Self::ALL.iter().find(|method| method.name() == name);
        match (found, percent) {
            (Some(method), None) => Ok(*method),
            (Some(Self::Percentile { .. }), Some(percent)) => match percent.parse() {
                Ok(percent) if (50.0..=100.0).contains(&percent) => {
                    Ok(Self::Percentile { percent })
                }
                _ => Err(Error::misuse(format!(
                    "'{percent}' is no percentile; give a number from 50 to 100"
                ))),
            },
            _ => {
                let names: Vec<_> = Self::ALL.iter().map(|method| method.name()).collect();
                Err(Error::misuse(format!(
                    "'{text}' is no method of calibration; these are: {} (or percentile:99.9)",
                    names.join(", ")
                )))
            }
        }
    }
}

/// The middle `percent` per cent.
pub(super) fn percentile(buckets: &[Bucket], percent: f64, extremes: Range) -> Range {
    let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let cut = (1.0 - percent / 100.0) / 2.0 * total as f64;
    let low = beyond(buckets.iter(), cut).map(|bucket| bucket.value - bucket.width / 2.0);
    let high = beyond(buckets.iter().rev(), cut).map(|bucket| bucket.value + bucket.width / 2.0);
    Range {
        low: low.map_or(extremes.low, |low| low as f32),
        high: high.map_or(extremes.high, |high| high as f32),
    }
}

/// The first bucket before whose end there are more than so many values.
fn beyond<'b>(mut buckets: impl Iterator<Item = &'b Bucket>, cut: f64) -> Option<&'b Bucket> {
    let mut passed = 0.0;
    buckets.find(|bucket| {
        passed += bucket.count as f64;
        passed > cut
    })
}

/// The sum of the squares of what quantizing loses.
pub(super) fn error_of(buckets: &[Bucket], range: Range, levels: Levels) -> f64 {
    let (scale, zero) = levels.fit(range);
    let (first, last) = (levels.least - zero, levels.most - zero);
    let each = |bucket: &Bucket| {
        let steps = bucket.value / scale;
        let error = match (first..=last).contains(&steps) && bucket.width > scale {
            // The values lie anywhere between codes.
            true => scale * scale / 12.0,
            false => {
                let code = steps.round_ties_even().clamp(first, last);
                (code * scale - bucket.value).powi(2) + bucket.width * bucket.width / 12.0
            }
        };
        error * bucket.count as f64
    };
    buckets.iter().map(each).sum()
}

/// Fractions of a range's end that the search for the least error tries.
fn fractions() -> impl Iterator<Item = f32> {
    (5..=100).rev().map(|percent| percent as f32 / 100.0)
}

/// Draws one end in as long as that helps, then the other, and both once more.
pub(super) fn least_error(buckets: &[Bucket], extremes: Range, levels: Levels) -> Range {
    let mut best = extremes;
    for _ in 0..2 {
        best.high = best_end(extremes.high, |high| {
            error_of(buckets, Range { high, ..best }, levels)
        });
        best.low = best_end(extremes.low, |low| {
            error_of(buckets, Range { low, ..best }, levels)
        });
    }
    best
}

/// The fraction of an end with the least error, the widest of equals.
fn best_end(end: f32, error: impl Fn(f32) -> f64) -> f32 {
    let mut best = (f64::INFINITY, end);
    for candidate in fractions().map(|fraction| fraction * end) {
        let error = error(candidate);
        if error < best.0 {
            best = (error, candidate);
        }
    }
    best.1
}

/// Bins of equal width that distributions are compared in.
const BINS: usize = 2048;

/// The fraction of the range with the least relative entropy of what codes tell.
pub(super) fn least_entropy(buckets: &[Bucket], extremes: Range, levels: Levels) -> Range {
    let (mut low, mut high) = (extremes.low.min(0.0), extremes.high.max(0.0));
    if levels.is_symmetric {
        high = high.max(-low);
        low = -high;
    }
    let parts = levels.count() as usize;
    if parts * 2 > BINS || low >= high {
        return extremes;
    }
    let bins = linear(buckets, low, high);
    // The bin that zero lies in, towards which both ends are drawn.
    let zero = -f64::from(low) / (f64::from(high) - f64::from(low));
    let mut best = (f64::INFINITY, 1.0);
    for kept in (parts * 2..=BINS).rev().step_by(BINS / 128) {
        let fraction = kept as f64 / BINS as f64;
        let first = ((1.0 - fraction) * zero * BINS as f64) as usize;
        let divergence = divergence(&bins, first..first + kept, parts);
        if divergence < best.0 {
            best = (divergence, fraction);
        }
    }
    let scale = |end: f32| (f64::from(end) * best.1) as f32;
    Range {
        low: scale(low),
        high: scale(high),
    }
    .within(extremes)
}

/// The counts in bins of equal width; those of a wide bucket are shared among the bins that it covers.
fn linear(buckets: &[Bucket], low: f32, high: f32) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    let width = (f64::from(high) - f64::from(low)) / BINS as f64;
    let bin = |x: f64| (((x - f64::from(low)) / width).max(0.0) as usize).min(BINS - 1);
    for bucket in buckets {
        let half = bucket.width / 2.0;
        let covered = bin(bucket.value - half)..=bin(bucket.value + half);
        let share = bucket.count as f64 / covered.clone().count() as f64;
        bins[covered].iter_mut().for_each(|bin| *bin += share);
    }
    bins
}

/// The relative entropy of bins, those outside folded into the ends of those inside, to what `parts`
/// codes tell of them: of each code's bins the mean of those that are not empty.
fn divergence(bins: &[f64], inside: std::ops::Range<usize>, parts: usize) -> f64 {
    /// What empty bins are taken to hold, so that the logarithm exists.
    const LITTLE: f64 = 1e-4;
    let mut p = bins[inside.clone()].to_vec();
    let (len, sliced) = (p.len(), p.clone());
    p[0] += bins[..inside.start].iter().sum::<f64>();
    p[len - 1] += bins[inside.end..].iter().sum::<f64>();
    let mut q = vec![0.0; len];
    for part in 0..parts {
        let own = part * len / parts..(part + 1) * len / parts;
        let used = p[own.clone()].iter().filter(|count| **count > 0.0).count();
        let mean = sliced[own.clone()].iter().sum::<f64>() / used.max(1) as f64;
        for i in own {
            q[i] = if p[i] > 0.0 { mean } else { 0.0 };
        }
    }
    let smooth = |x: f64| x.max(LITTLE);
    let sum = |x: &[f64]| x.iter().copied().map(smooth).sum::<f64>();
    let (p_sum, q_sum) = (sum(&p), sum(&q));
    let term = |(p, q): (&f64, &f64)| {
        let (p, q) = (smooth(*p) / p_sum, smooth(*q) / q_sum);
        p * (p / q).ln()
    };
    p.iter().zip(&q).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse() {
        for method in Method::ALL {
            assert_eq!(method.name().parse::<Method>().unwrap(), *method);
        }
        let percentile: Method = "Percentile:99.5".parse().unwrap();
        assert_eq!(percentile, Method::Percentile { percent: 99.5 });
        for wrong in [
            "",
            "max",
            "minmax:3",
            "percentile:",
            "percentile:101",
            "percentile:nan",
        ] {
            assert!(wrong.parse::<Method>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fits_are_quantize_linears() {
        let range = Range {
            low: -1.0,
            high: 3.0,
        };
        assert_eq!(Levels::asymmetric(8).fit(range), (4.0 / 255.0, 64.0));
        assert_eq!(Levels::symmetric(8).fit(range), (3.0 / 127.0, 0.0));
        let positive = Range {
            low: 1.0,
            high: 3.0,
        };
        assert_eq!(Levels::asymmetric(16).fit(positive), (3.0 / 65535.0, 0.0));
        assert_eq!(Levels::asymmetric(8).fit(Range::default()), (1.0, 0.0));
    }
}

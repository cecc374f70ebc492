//! What is remembered of a tensor's values.

use super::method::{Levels, Method, Range, error_of, least_entropy, least_error, percentile};
use super::spread::{Bucket, Spread};

/// What is remembered of one tensor while samples run: its extremes, the mean of each sample's
/// extremes, and how its values are spread. No more than that, however many samples there are.
///
/// ```
/// use quantlib::calibrate::{Levels, Method, Observer};
/// let mut observer = Observer::default();
/// observer.observe(&[-1.0, 0.5, f32::MIN]); // a mask
/// observer.observe(&[3.0, 0.0]);
/// let range = observer.range(Method::MinMax, Levels::asymmetric(8));
/// assert_eq!((range.low, range.high), (-1.0, 3.0));
/// assert_eq!(observer.ignored().count, 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Observer {
    spread: Spread,
    values: u64,
    samples: u64,
    lows: f64,
    highs: f64,
}

/// Values that no range takes in: infinities, NaN, and what lies absurdly far from all others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ignored {
    /// How many there are.
    pub count: u64,
    /// The least magnitude among them as a power of two; 0 if there are none.
    pub from: f64,
}

/// The biased exponent from which magnitudes are absurd whatever the others are: 2^96. No activation
/// gets there, but masks do.
const ABSURD: usize = 127 + 96;

/// The biased exponent from which a gap makes magnitudes absurd: 2^13. Masks of -10000 are beyond, and
/// so are few activations.
const SUSPECT: usize = 127 + 13;

/// Octaves without any value between the absurd and the others.
const GAP: usize = 10;

impl Observer {
    /// Takes in the tensor's values in one sample.
    pub fn observe(&mut self, x: &[f32]) {
        self.spread.observe(x);
        self.values += x.len() as u64;
        let limit = f32::from_bits((ABSURD as u32) << 23);
        let sane = x.iter().filter(|x| x.abs() < limit);
        let widen = |(low, high): (f32, f32), x: &f32| (low.min(*x), high.max(*x));
        let (low, high) = sane.fold((f32::INFINITY, f32::NEG_INFINITY), widen);
        if low <= high {
            self.samples += 1;
            self.lows += f64::from(low);
            self.highs += f64::from(high);
        }
    }

    /// How many values were observed.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Bytes that the observer takes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.spread.memory()
    }

    /// The biased exponent from which magnitudes are ignored.
    fn end(&self) -> usize {
        let counts = self.spread.by_exponent();
        let used = |range: std::ops::Range<usize>| counts[range].iter().any(|count| *count > 0);
        let suspects = SUSPECT..=ABSURD;
        let mut gaps = suspects
            .filter(|&end| used(0..end - GAP) && !used(end - GAP..end) && used(end..counts.len()));
        gaps.next().unwrap_or(ABSURD)
    }

    /// The values that no range takes in.
    pub fn ignored(&self) -> Ignored {
        let end = self.end();
        let counts = self.spread.by_exponent();
        let beyond = counts.iter().enumerate().skip(end);
        let mut beyond = beyond.filter(|(_, count)| **count > 0);
        let count = beyond.clone().map(|(_, count)| count).sum();
        let from = beyond.next();
        Ignored {
            count,
            from: from.map_or(0.0, |(exponent, _)| 2f64.powi(exponent as i32 - 127)),
        }
    }

    /// The least and the greatest value but for those that are ignored; zeros if there are none.
    pub fn extremes(&self) -> Range {
        let (low, high) = self.spread.extremes(self.end()).unwrap_or_default();
        Range { low, high }
    }

    /// The range that a method finds best for so many levels. It lies within the extremes; a range
    /// that is to be quantized takes in zero besides.
    pub fn range(&self, method: Method, levels: Levels) -> Range {
        let extremes = self.extremes();
        match method {
            Method::MinMax => extremes,
            Method::Average => self.average().within(extremes),
            Method::Percentile { percent } => {
                percentile(&self.buckets(), percent, extremes).within(extremes)
            }
            Method::Entropy => least_entropy(&self.buckets(), extremes, levels),
            Method::LeastError => least_error(&self.buckets(), extremes, levels),
        }
    }

    fn average(&self) -> Range {
        let samples = self.samples.max(1) as f64;
        Range {
            low: (self.lows / samples) as f32,
            high: (self.highs / samples) as f32,
        }
    }

    fn buckets(&self) -> Vec<Bucket> {
        self.spread.buckets(self.end())
    }

    /// The power of the values to that of the error which a range makes of them, in decibels; `None`
    /// if there is no error.
    pub fn signal_to_noise(&self, range: Range, levels: Levels) -> Option<f64> {
        let buckets = self.buckets();
        let signal = buckets.iter().map(|b| b.count as f64 * b.value * b.value);
        let (signal, noise) = (signal.sum::<f64>(), error_of(&buckets, range, levels));
        (noise > 0.0 && signal > 0.0).then(|| 10.0 * (signal / noise).log10())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell(n: usize, scale: f32) -> Vec<f32> {
        // Sums of twelve uniform numbers, from a linear congruence.
        let mut state = 1u32;
        let mut uniform = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        (0..n)
            .map(|_| ((0..12).map(|_| uniform()).sum::<f64>() - 6.0) as f32 * scale)
            .collect()
    }

    #[test]
    fn masks_are_no_part_of_the_range() {
        for mask in [f32::MIN, f32::NEG_INFINITY, -1e9, -10_000.0, f32::NAN] {
            let mut observer = Observer::default();
            let mut values = bell(10_000, 1.0);
            observer.observe(&values);
            let range = observer.extremes();
            values.extend([mask; 5000]);
            observer.observe(&values);
            assert_eq!(observer.extremes(), range, "{mask}");
            assert_eq!(observer.ignored().count, 5000, "{mask}");
            for method in Method::ALL {
                let range = observer.range(*method, Levels::asymmetric(8));
                assert!(
                    range.low > -6.0 && range.high < 6.0,
                    "{mask} {method:?} {range:?}"
                );
                assert!(
                    range.low < -2.0 && range.high > 2.0,
                    "{mask} {method:?} {range:?}"
                );
            }
        }
    }

    #[test]
    fn large_values_are_not_absurd() {
        let mut values = bell(10_000, 1.0);
        values.extend([900.0, 4000.0]);
        let mut observer = Observer::default();
        observer.observe(&values);
        assert_eq!(
            (observer.extremes().high, observer.ignored().count),
            (4000.0, 0)
        );
    }

    #[test]
    fn nothing_but_masks_is_nothing() {
        let mut observer = Observer::default();
        observer.observe(&[f32::MIN, 0.0, f32::MIN]);
        assert_eq!(
            observer.extremes(),
            Range {
                low: 0.0,
                high: 0.0
            }
        );
        assert_eq!(observer.ignored().count, 2);
        for method in Method::ALL {
            let range = observer.range(*method, Levels::asymmetric(8));
            assert_eq!((range.low, range.high), (0.0, 0.0), "{method:?}");
        }
        assert_eq!(
            Observer::default().extremes(),
            Range {
                low: 0.0,
                high: 0.0
            }
        );
    }

    #[test]
    fn averages_are_of_samples() {
        let mut observer = Observer::default();
        for sample in [[-1.0, 2.0], [-3.0, 6.0], [-2.0, 1.0]] {
            observer.observe(&sample);
        }
        let range = observer.range(Method::Average, Levels::asymmetric(8));
        assert_eq!((range.low, range.high), (-2.0, 3.0));
    }

    #[test]
    fn percentiles_and_searches_cut_outliers() {
        let mut values = bell(200_000, 1.0);
        values.push(300.0);
        let mut observer = Observer::default();
        observer.observe(&values);
        let levels = Levels::asymmetric(8);
        let range = observer.range(Method::Percentile { percent: 99.9 }, levels);
        assert!(
            (-3.5..-3.0).contains(&range.low) && (3.0..3.5).contains(&range.high),
            "{range:?}"
        );
        let range = observer.range(Method::Entropy, levels);
        assert!(range.high < 300.0, "{range:?}");
    }

    #[test]
    fn the_least_error_is_less_than_others() {
        let mut observer = Observer::default();
        observer.observe(&bell(200_000, 1.0));
        let levels = Levels::asymmetric(4);
        let range = observer.range(Method::LeastError, levels);
        assert!(range.high < 3.5 && range.low > -3.5, "{range:?}");
        let ratio = |range| observer.signal_to_noise(range, levels).unwrap();
        assert!(ratio(range) > ratio(observer.extremes()) + 1.0);
        for method in Method::ALL {
            assert!(
                ratio(range) >= ratio(observer.range(*method, levels)),
                "{method:?}"
            );
        }
    }

    #[test]
    fn noise_is_that_of_the_quantizer() {
        let values = bell(100_000, 2.0);
        let mut observer = Observer::default();
        observer.observe(&values);
        let range = Range {
            low: -7.0,
            high: 6.0,
        };
        for levels in [
            Levels::asymmetric(8),
            Levels::symmetric(8),
            Levels::asymmetric(4),
        ] {
            let (scale, zero) = levels.fit(range);
            let error = values.iter().map(|x| {
                let x = f64::from(*x);
                let code = (x / scale).round_ties_even() + zero;
                ((code.clamp(levels.least, levels.most) - zero) * scale - x).powi(2)
            });
            let signal: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
            let exact = 10.0 * (signal / error.sum::<f64>()).log10();
            let estimate = observer.signal_to_noise(range, levels).unwrap();
            assert!((exact - estimate).abs() < 0.2, "{exact} {estimate}");
        }
    }
}

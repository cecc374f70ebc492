//! Counts of values that need no range beforehand, and no rescaling when a wider one comes.

/// Buckets of an octave: 7 bits of the mantissa.
const BUCKETS: usize = 128;

/// How values are spread: counts by their upper 16 bits, which are sign, exponent and 7 bits of the
/// mantissa. Values that are counted together differ by less than a hundredth, whether small or large:
/// one mask of -3.4e38 costs the others no precision, unlike in bins of equal width. The memory is that
/// of the octaves in use, at most half a megabyte, however many values there are; and the order in which
/// values come does not matter.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    /// By sign and exponent.
    octaves: Vec<Option<Box<Octave>>>,
}

/// The values of one sign between two powers of two.
#[derive(Clone, Debug)]
struct Octave {
    counts: [u64; BUCKETS],
    /// The mantissas of the least and the greatest magnitude.
    least: u32,
    most: u32,
}

/// Values that are counted together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The middle of them.
    pub value: f64,
    /// From the least to the greatest of them.
    pub width: f64,
    /// How many there are.
    pub count: u64,
}

const MANTISSA: u32 = (1 << 23) - 1;

/// Octaves of one sign.
const EXPONENTS: usize = 256;

impl Spread {
    /// Counts values.
    pub fn observe(&mut self, x: &[f32]) {
        self.octaves.resize(2 * EXPONENTS, None);
        for x in x {
            let bits = x.to_bits();
            let octave = self.octaves[(bits >> 23) as usize].get_or_insert_with(|| {
                Box::new(Octave {
                    counts: [0; BUCKETS],
                    least: u32::MAX,
                    most: 0,
                })
            });
            let mantissa = bits & MANTISSA;
            octave.counts[(mantissa >> 16) as usize] += 1;
            octave.least = octave.least.min(mantissa);
            octave.most = octave.most.max(mantissa);
        }
    }

    /// The octaves in use of one sign: their biased exponents, small ones first.
    fn octaves(&self, negative: bool) -> impl DoubleEndedIterator<Item = (usize, &Octave)> {
        let first = if negative { EXPONENTS } else { 0 };
        let octaves = self.octaves.iter().skip(first).take(EXPONENTS);
        octaves
            .enumerate()
            .filter_map(|(exponent, octave)| Some((exponent, octave.as_deref()?)))
    }

    /// How many values have magnitudes of each biased exponent, whatever their sign; zeros, which have
    /// none, are not counted.
    pub(super) fn by_exponent(&self) -> [u64; EXPONENTS] {
        let mut counts = [0; EXPONENTS];
        for negative in [false, true] {
            for (exponent, octave) in self.octaves(negative) {
                let skipped = usize::from(exponent == 0);
                counts[exponent] += octave.counts[skipped..].iter().sum::<u64>();
            }
        }
        counts
    }

    /// The least and the greatest value with a biased exponent below `end`, exactly; none if there are
    /// no such values.
    pub(super) fn extremes(&self, end: usize) -> Option<(f32, f32)> {
        let at = |negative: bool, exponent: usize, mantissa: u32| {
            let sign = if negative { 1 << 31 } else { 0 };
            f32::from_bits(sign | (exponent as u32) << 23 | mantissa)
        };
        let below = |negative| self.octaves(negative).filter(move |(e, _)| *e < end);
        let farthest = |negative| {
            below(negative)
                .next_back()
                .map(|(e, o)| at(negative, e, o.most))
        };
        let nearest = |negative| {
            below(negative)
                .next()
                .map(|(e, o)| at(negative, e, o.least))
        };
        Some((
            farthest(true).or_else(|| nearest(false))?,
            farthest(false).or_else(|| nearest(true))?,
        ))
    }

    /// What was counted with biased exponents below `end`, from the least value to the greatest.
    pub(super) fn buckets(&self, end: usize) -> Vec<Bucket> {
        let bucket = |negative: bool, exponent: usize, index: usize, count: u64| {
            let first = f64::from(f32::from_bits(
                (exponent as u32) << 23 | (index as u32) << 16,
            ));
            let last = f64::from(f32::from_bits(
                (exponent as u32) << 23 | (index as u32) << 16 | 0xffff,
            ));
            let middle = match (exponent, index) {
                // Nearly always zeros.
                (0, 0) => 0.0,
                _ => (first + last) / 2.0,
            };
            Bucket {
                value: if negative { -middle } else { middle },
                width: last - first,
                count,
            }
        };
        let side = |negative: bool| {
            let octaves = self.octaves(negative).filter(|(e, _)| *e < end);
            let buckets = octaves.flat_map(move |(exponent, octave)| {
                let counts = octave.counts.iter().copied().enumerate();
                let used = counts.filter(|(_, count)| *count > 0);
                used.map(move |(index, count)| bucket(negative, exponent, index, count))
            });
            buckets.collect::<Vec<_>>()
        };
        let mut all = side(true);
        all.reverse();
        all.extend(side(false));
        all
    }

    /// Bytes that the counts take.
    pub fn memory(&self) -> usize {
        let used = self.octaves.iter().flatten().count();
        used * size_of::<Octave>() + self.octaves.len() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_exact_and_buckets_in_order() {
        let values = [-3.5f32, 0.1, 0.0, 7.25, -1e-20, 1e30, 7.26];
        let mut spread = Spread::default();
        spread.observe(&values);
        assert_eq!(spread.extremes(255), Some((-3.5, 1e30)));
        assert_eq!(spread.extremes(200), Some((-3.5, 7.26)));
        let buckets = spread.buckets(255);
        assert!(buckets.is_sorted_by(|a, b| a.value < b.value));
        assert_eq!(buckets.iter().map(|b| b.count).sum::<u64>(), 7);
        // 7.25 and 7.26 are within a hundredth of each other.
        assert_eq!(buckets.len(), 6);
        assert_eq!(spread.by_exponent().iter().sum::<u64>(), 6);
    }

    #[test]
    fn one_sign_alone_has_its_own_extremes() {
        let mut spread = Spread::default();
        assert_eq!(spread.extremes(255), None);
        spread.observe(&[2.0, 0.5, 9.0]);
        assert_eq!(spread.extremes(255), Some((0.5, 9.0)));
        let mut spread = Spread::default();
        spread.observe(&[-2.0, -0.5, -9.0]);
        assert_eq!(spread.extremes(255), Some((-9.0, -0.5)));
    }

    #[test]
    fn order_and_number_of_values_do_not_matter() {
        let values: Vec<f32> = (0..5000)
            .map(|i| (i as f32 * 0.37).sin() * i as f32)
            .collect();
        let mut at_once = Spread::default();
        at_once.observe(&values);
        let mut backwards = Spread::default();
        for part in values.chunks(77).rev() {
            backwards.observe(part);
        }
        assert_eq!(at_once.buckets(255), backwards.buckets(255));
        let before = at_once.memory();
        for _ in 0..10 {
            at_once.observe(&values);
        }
        assert_eq!(at_once.memory(), before);
        assert!(before < 512 * 1100);
    }
}

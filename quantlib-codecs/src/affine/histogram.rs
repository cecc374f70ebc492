//! Histograms of a tensor's values, and the ranges that they suggest: onnxruntime's percentiles and
//! relative entropy.

/// Counts of values in bins of equal width, as `numpy.histogram` has them for single precision.
#[derive(Clone, Debug)]
pub struct Histogram {
    first: f32,
    last: f32,
    edges: Vec<f32>,
    counts: Vec<u64>,
}

impl Histogram {
    /// So many empty bins between two edges; of no width, they are half a unit to each side.
    pub fn new(first: f32, last: f32, bins: usize) -> Self {
        let (first, last) = match first == last {
            true => (first - 0.5, last + 0.5),
            false => (first, last),
        };
        let step = (last - first) / bins as f32;
        let edge = |i: usize| {
            if i == bins {
                last
            } else {
                i as f32 * step + first
            }
        };
        Self {
            first,
            last,
            edges: (0..=bins).map(edge).collect(),
            counts: vec![0; bins],
        }
    }

    /// Counts values; those beyond the edges are none of them.
    pub fn observe(&mut self, x: &[f32]) {
        let bins = self.counts.len();
        let width = self.last - self.first;
        for x in x.iter().copied() {
            if !(self.first <= x && x <= self.last) {
                continue;
            }
            let mut bin = ((x - self.first) / width * bins as f32) as usize;
            bin = bin.min(bins - 1);
            // The quotient is rounded: the edges decide.
            if x < self.edges[bin] {
                bin -= 1;
            } else if bin + 1 < bins && x >= self.edges[bin + 1] {
                bin += 1;
            }
            self.counts[bin] += 1;
        }
    }

    /// The edge below the first bin up to whose end there are this share of the values.
    fn quantile(&self, share: f64) -> f32 {
        let total = self.counts.iter().sum::<u64>() as f64;
        let mut cumulated = 0.0;
        for (count, edge) in self.counts.iter().zip(&self.edges) {
            cumulated += *count as f64 / total;
            if cumulated >= share {
                return *edge;
            }
        }
        self.last
    }

    /// The range of the middle `percent` per cent, as onnxruntime's asymmetric percentile calibration
    /// has it.
    pub fn middle(&self, percent: f64) -> (f32, f32) {
        let cut = (100.0 - percent) / 200.0;
        (self.quantile(cut), self.quantile(1.0 - cut))
    }

    /// The size below which `percent` per cent are, for histograms of magnitudes: onnxruntime's
    /// symmetric percentile calibration.
    pub fn below(&self, percent: f64) -> f32 {
        self.quantile(percent / 100.0)
    }

    /// The range around the middle bin whose 128 equal parts tell most of the distribution: the least
    /// relative entropy, as onnxruntime's entropy calibration computes it.
    pub fn least_entropy(&self) -> (f32, f32) {
        let middle = self.counts.len() / 2;
        let mut best = (f32::INFINITY, (self.first, self.last));
        for half in QUANTIZED / 2..=middle {
            let inside = middle - half..(middle + half + 1).min(self.counts.len());
            let divergence = self.divergence(inside.clone()).unwrap_or(f32::INFINITY);
            if divergence < best.0 {
                best = (
                    divergence,
                    (self.edges[inside.start], self.edges[inside.end]),
                );
            }
        }
        best.1
    }

    /// Of the bins inside, the rest folded into their ends, from what 128 parts of them tell.
    fn divergence(&self, inside: std::ops::Range<usize>) -> Option<f32> {
        let sliced = &self.counts[inside.clone()];
        let mut p = sliced.to_vec();
        let last = p.len() - 1;
        p[0] += self.counts[..inside.start].iter().sum::<u64>();
        p[last] += self.counts[inside.end..].iter().sum::<u64>();
        let merged = p.len() / QUANTIZED;
        let mut q = vec![0u64; p.len()];
        for part in 0..QUANTIZED {
            let bins = part * merged..(part + 1) * merged;
            let to = if part + 1 == QUANTIZED {
                p.len()
            } else {
                bins.end
            };
            let sum: u64 = sliced[bins.start..to].iter().sum();
            let used = p[bins.clone()].iter().filter(|count| **count != 0).count() as u64;
            if let Some(each) = sum.checked_div(used) {
                q[bins].fill(each);
            }
        }
        Some(relative_entropy(&smooth(&p)?, &smooth(&q)?))
    }
}

/// Parts that a range is told apart in.
const QUANTIZED: usize = 128;

/// Takes a little from each bin for those that are empty; `None` if all are.
fn smooth(counts: &[u64]) -> Option<Vec<f32>> {
    const LITTLE: f64 = 1e-4;
    let zeros = counts.iter().filter(|count| **count == 0).count();
    let used = counts.len() - zeros;
    if used == 0 {
        return None;
    }
    let taken = -(LITTLE * zeros as f64 / used as f64) as f32;
    let smoothed = counts.iter().map(|count| match count {
        0 => LITTLE as f32,
        count => *count as f32 + taken,
    });
    Some(smoothed.collect())
}

fn relative_entropy(p: &[f32], q: &[f32]) -> f32 {
    let sum = |x: &[f32]| x.iter().copied().map(f64::from).sum::<f64>();
    let (p_sum, q_sum) = (sum(p), sum(q));
    let term = |(p, q): (&f32, &f32)| {
        let (p, q) = (f64::from(*p) / p_sum, f64::from(*q) / q_sum);
        p * (p / q).ln()
    };
    p.iter().zip(q).map(term).sum::<f64>() as f32
}

//! What must be known of a whole tensor before it is encoded: the ranges of elements that share a
//! scale where that are not just the neighbours of a group.

use super::formula::{Fit, Formula, WithFormula, choose};
use super::histogram::Histogram;
use super::layout::AffineLayout;
use super::spec::{AffineSpec, Clip, Group, Zero};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::simd::{Isa, Kernel, Lanes};

/// The extremes of what shares a scale: of the whole tensor, or for each index of the axis.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    pub(crate) low: Vec<f32>,
    pub(crate) high: Vec<f32>,
    /// The smallest magnitudes.
    least: Vec<f32>,
}

/// Passes over a tensor that end in its ranges.
pub(crate) struct Statistics {
    ranges: Ranges,
    pass: Pass,
}

enum Pass {
    Extremes,
    Histograms(Vec<Histogram>),
    Errors(Vec<Candidate>),
    Done,
}

/// A fraction of the full ranges, and the error that it makes.
struct Candidate {
    fraction: f32,
    fits: Vec<Fit>,
    errors: Vec<f64>,
}

/// Bins of histograms.
const BINS: usize = 2048;

/// The fractions that the search for the least error tries: from all down to a fifth.
fn fractions() -> impl Iterator<Item = f32> {
    (20..=100).rev().map(|percent| percent as f32 / 100.0)
}

impl Statistics {
    pub(crate) fn new(groups: usize) -> Self {
        Self {
            ranges: Ranges {
                low: vec![f32::INFINITY; groups],
                high: vec![f32::NEG_INFINITY; groups],
                least: vec![f32::INFINITY; groups],
            },
            pass: Pass::Extremes,
        }
    }

    /// Whether a pass over all elements is needed.
    pub(crate) fn wants_pass(&self) -> bool {
        !matches!(self.pass, Pass::Done)
    }

    /// Ends a pass, in which every element was observed.
    pub(crate) fn end_pass(&mut self, layout: &AffineLayout, source: DType) -> Result<()> {
        let spec = layout.spec();
        self.pass = match (std::mem::replace(&mut self.pass, Pass::Done), spec.clip) {
            (Pass::Extremes, Clip::Percentile { .. } | Clip::Entropy) => {
                Pass::Histograms(self.histograms(spec))
            }
            (Pass::Extremes, Clip::LeastError) => {
                let candidates = fractions().map(|fraction| self.candidate(fraction, spec, source));
                Pass::Errors(candidates.collect::<Result<_>>()?)
            }
            (Pass::Histograms(histograms), _) => {
                self.clip(spec, &histograms);
                Pass::Done
            }
            (Pass::Errors(candidates), _) => {
                self.choose(&candidates);
                Pass::Done
            }
            _ => Pass::Done,
        };
        Ok(())
    }

    /// The ranges, once no pass is wanted.
    pub(crate) fn finish(self) -> Result<Ranges> {
        match self.pass {
            Pass::Done => Ok(self.ranges),
            _ => Err(Error::misuse(
                "one scale for the whole tensor or an axis needs statistics of all elements first",
            )),
        }
    }

    fn histograms(&self, spec: &AffineSpec) -> Vec<Histogram> {
        let Ranges { low, high, least } = &self.ranges;
        let groups = low.iter().zip(high).zip(least);
        let histogram = |((low, high), least): ((&f32, &f32), &f32)| {
            let most = low.abs().max(high.abs());
            match by_magnitude(spec) {
                true => Histogram::new(*least, most, BINS),
                false => Histogram::new(-most, most, BINS),
            }
        };
        groups.map(histogram).collect()
    }

    fn clip(&mut self, spec: &AffineSpec, histograms: &[Histogram]) {
        for (i, histogram) in histograms.iter().enumerate() {
            let (low, high) = match spec.clip {
                Clip::Percentile { millionths } if by_magnitude(spec) => {
                    let most = histogram.below(f64::from(millionths) / 1e4);
                    (-most, most)
                }
                Clip::Percentile { millionths } => histogram.middle(f64::from(millionths) / 1e4),
                _ => histogram.least_entropy(),
            };
            self.ranges.low[i] = self.ranges.low[i].max(low);
            self.ranges.high[i] = self.ranges.high[i].min(high);
        }
    }

    fn candidate(&self, fraction: f32, spec: &AffineSpec, source: DType) -> Result<Candidate> {
        let ranges = self.ranges.scaled(fraction);
        Ok(Candidate {
            fraction,
            fits: choose(spec, source, FitRanges(&ranges))?,
            errors: vec![0.0; ranges.low.len()],
        })
    }

    /// Of each group the candidate with the least error, the widest of equals.
    fn choose(&mut self, candidates: &[Candidate]) {
        for i in 0..self.ranges.low.len() {
            let mut best = (f64::INFINITY, 1.0);
            for candidate in candidates {
                if candidate.errors[i] < best.0 {
                    best = (candidate.errors[i], candidate.fraction);
                }
            }
            self.ranges.low[i] *= best.1;
            self.ranges.high[i] *= best.1;
        }
    }

    /// Takes in elements, the first of which has this number in the tensor.
    pub(crate) fn observe(
        &mut self,
        isa: Isa,
        layout: &AffineLayout,
        source: DType,
        first: usize,
        x: &[f32],
    ) -> Result<()> {
        let parts = parts(layout, first, x);
        match &mut self.pass {
            Pass::Extremes => isa.run(Widen {
                ranges: &mut self.ranges,
                smallest: by_magnitude(layout.spec()),
                parts,
            }),
            Pass::Histograms(histograms) => {
                let by_magnitude = by_magnitude(layout.spec());
                for (part, x) in parts {
                    part.each(x, |group, x| match by_magnitude {
                        true => x.iter().for_each(|x| histograms[group].observe(&[x.abs()])),
                        false => histograms[group].observe(x),
                    });
                }
            }
            Pass::Errors(candidates) => {
                for (part, x) in parts {
                    for candidate in &mut *candidates {
                        let work = AddErrors {
                            candidate,
                            part,
                            x,
                            zero: layout.spec().zero,
                        };
                        choose(layout.spec(), source, work)?;
                    }
                }
            }
            Pass::Done => {}
        }
        Ok(())
    }
}

impl Ranges {
    fn scaled(&self, fraction: f32) -> Self {
        let scale = |x: &[f32]| x.iter().map(|x| x * fraction).collect();
        Self {
            low: scale(&self.low),
            high: scale(&self.high),
            least: Vec::new(),
        }
    }
}

/// Whether percentiles are those of magnitudes.
fn by_magnitude(spec: &AffineSpec) -> bool {
    spec.symmetric && matches!(spec.clip, Clip::Percentile { .. })
}

/// Neighbours that belong to one group, or to a group each from `group` on.
#[derive(Clone, Copy)]
struct Part {
    group: usize,
    each: bool,
}

impl Part {
    fn each(self, x: &[f32], mut observe: impl FnMut(usize, &[f32])) {
        match self.each {
            false => observe(self.group, x),
            true => {
                for (i, x) in x.chunks(1).enumerate() {
                    observe(self.group + i, x);
                }
            }
        }
    }
}

/// Cuts elements, the first of which has this number in the tensor, where groups change.
fn parts<'x>(
    layout: &AffineLayout,
    mut first: usize,
    mut x: &'x [f32],
) -> impl Iterator<Item = (Part, &'x [f32])> + use<'x> {
    let (whole, len, inner) = (
        layout.spec().group == Group::Tensor,
        layout.len,
        layout.inner,
    );
    std::iter::from_fn(move || {
        if x.is_empty() {
            return None;
        }
        let each = !whole && inner == 1;
        let (group, now) = match (whole, each) {
            (true, _) => (0, x.len()),
            (_, true) => (first % len, len - first % len),
            _ => (first / inner % len, inner - first % inner),
        };
        let (part, rest) = x.split_at(now.min(x.len()));
        (first, x) = (first + part.len(), rest);
        Some((Part { group, each }, part))
    })
}

struct Widen<'a, P> {
    ranges: &'a mut Ranges,
    smallest: bool,
    parts: P,
}

impl<'x, P: Iterator<Item = (Part, &'x [f32])>> Kernel for Widen<'_, P> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Ranges { low, high, least } = self.ranges;
        for (Part { group, each }, x) in self.parts {
            if each {
                let groups = group..group + x.len();
                widen_range(x, &mut low[groups.clone()], &mut high[groups]);
            } else {
                let (part_low, part_high) = extremes(lanes, x);
                low[group] = low[group].min(part_low);
                high[group] = high[group].max(part_high);
            }
            if self.smallest {
                for (i, x) in x.iter().enumerate() {
                    let least = &mut least[if each { group + i } else { group }];
                    *least = least.min(x.abs());
                }
            }
        }
    }
}

struct FitRanges<'a>(&'a Ranges);

impl WithFormula for FitRanges<'_> {
    type Output = Vec<Fit>;

    fn run<F: Formula>(self, formula: F) -> Self::Output {
        let ranges = self.0.low.iter().zip(&self.0.high);
        ranges.map(|(low, high)| formula.fit(*low, *high)).collect()
    }
}

/// Adds the squares of what encoding loses.
struct AddErrors<'a> {
    candidate: &'a mut Candidate,
    part: Part,
    x: &'a [f32],
    zero: Zero,
}

impl WithFormula for AddErrors<'_> {
    type Output = ();

    fn run<F: Formula>(self, formula: F) {
        let Candidate { fits, errors, .. } = self.candidate;
        self.part.each(self.x, |group, x| {
            errors[group] += squared_error(formula, fits[group], self.zero, x.iter().copied());
        });
    }
}

/// The sum of the squares of what encoding loses of elements that share a scale.
#[inline(always)]
pub(super) fn squared_error<F: Formula>(
    formula: F,
    fit: Fit,
    zero: Zero,
    x: impl Iterator<Item = f32>,
) -> f64 {
    let mut sum = 0.0;
    for x in x {
        let code = formula.code(x, fit) as f32;
        let decoded = match zero {
            Zero::Bias => code * fit.scale + fit.zero,
            _ => (code - fit.zero) * fit.scale,
        };
        let error = f64::from(decoded - x);
        sum += error * error;
    }
    sum
}

/// The fit of the fraction of a range with the least error, the widest of equals.
#[inline(always)]
pub(super) fn least_error<F: Formula>(
    formula: F,
    (low, high): (f32, f32),
    zero: Zero,
    x: impl Iterator<Item = f32> + Clone,
) -> Fit {
    let mut best = (f64::INFINITY, Fit::default());
    for fraction in fractions() {
        let fit = formula.fit(low * fraction, high * fraction);
        let error = squared_error(formula, fit, zero, x.clone());
        if error < best.0 {
            best = (error, fit);
        }
    }
    best.1
}

/// The least and the largest element. In 16 strands whatever the lanes, for zeros have signs.
#[inline(always)]
pub(super) fn extremes<L: Lanes>(lanes: L, x: &[f32]) -> (f32, f32) {
    let lanes = lanes.single();
    let first = x.first().copied().unwrap_or_default();
    let (chunks, rest) = x.as_chunks::<16>();
    let (mut lows, mut highs) = ([lanes.splat(first); 2], [lanes.splat(first); 2]);
    for chunk in chunks {
        let vectors = chunk.chunks_exact(L::Single::N);
        for ((x, low), high) in vectors.zip(&mut lows).zip(&mut highs) {
            let x = lanes.read_at(x);
            *low = lanes.min(x, *low);
            *high = lanes.max(x, *high);
        }
    }
    let (mut low, mut high) = ([first; 16], [first; 16]);
    for (strands, vectors) in [(&mut low, lows), (&mut high, highs)] {
        for (strands, vector) in strands.chunks_exact_mut(L::Single::N).zip(vectors) {
            lanes.store_at(vector, strands);
        }
    }
    widen_range(rest, &mut low, &mut high);
    let mut width = 8;
    while width > 0 {
        let (left, right) = low.split_at_mut(width);
        for (a, b) in left.iter_mut().zip(right) {
            *a = if *b < *a { *b } else { *a };
        }
        let (left, right) = high.split_at_mut(width);
        for (a, b) in left.iter_mut().zip(right) {
            *a = if *b > *a { *b } else { *a };
        }
        width /= 2;
    }
    (low[0], high[0])
}

/// Takes a row into the extremes of its columns.
#[inline(always)]
pub(super) fn widen_range(row: &[f32], low: &mut [f32], high: &mut [f32]) {
    for ((x, low), high) in row.iter().zip(low).zip(high) {
        *low = if *x < *low { *x } else { *low };
        *high = if *x > *high { *x } else { *high };
    }
}

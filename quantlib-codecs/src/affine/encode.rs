//! Encoding of tiles.

use super::formula::{Fit, Formula, WithFormula, choose};
use super::layout::AffineLayout;
use super::spec::{AffineSpec, Clip, Group};
use super::statistics::{Ranges, extremes, least_error, widen_range};
use super::write::PlaneWriter;
use crate::dtype::DType;
use crate::error::Result;
use crate::simd::{Isa, Kernel, Lanes};
use std::ops::Range;

/// The planes of a tile, to be written.
pub(crate) struct PlanesMut<'a> {
    pub(crate) codes: &'a mut [u8],
    pub(crate) scales: &'a mut [u8],
    pub(crate) zeros: &'a mut [u8],
}

/// Buffers for one tile after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    codes: Vec<u8>,
    wide_codes: Vec<u16>,
    fits: Fits,
    points: Vec<u8>,
}

/// What the codes of many groups mean.
#[derive(Default)]
struct Fits {
    scale: Vec<f32>,
    zero: Vec<f32>,
    factor: Vec<f32>,
}

impl Fits {
    fn resize(&mut self, len: usize) {
        for part in [&mut self.scale, &mut self.zero, &mut self.factor] {
            part.resize(len, 0.0);
        }
    }

    #[inline(always)]
    fn get(&self, i: usize) -> Fit {
        Fit {
            scale: self.scale[i],
            zero: self.zero[i],
            factor: self.factor[i],
        }
    }

    #[inline(always)]
    fn set(&mut self, i: usize, fit: Fit) {
        self.scale[i] = fit.scale;
        self.zero[i] = fit.zero;
        self.factor[i] = fit.factor;
    }

    /// Chooses what codes mean where `scale` and `zero` still are the least and the largest element.
    #[inline(always)]
    fn fit<F: Formula>(&mut self, formula: F, groups: Range<usize>) {
        let (scales, zeros) = (
            &mut self.scale[groups.clone()],
            &mut self.zero[groups.clone()],
        );
        let parts = scales.iter_mut().zip(zeros).zip(&mut self.factor[groups]);
        for ((scale, zero), factor) in parts {
            let fit = formula.fit(*scale, *zero);
            (*scale, *zero, *factor) = (fit.scale, fit.zero, fit.factor);
        }
    }
}

/// Encodes a tensor tile by tile.
pub(crate) struct Encoder<'l> {
    layout: &'l AffineLayout,
    source: DType,
    isa: Isa,
    /// Where they belong to no unit.
    shared: Fits,
}

impl<'l> Encoder<'l> {
    /// An encoder of elements that are stored as `source` and given as f32. `ranges` is needed where
    /// scales belong to no unit; its lengths must be the number of scales.
    ///
    /// # Errors
    /// `unsupported` if the spec's formula does not compute what its other fields ask for.
    pub(crate) fn new(
        layout: &'l AffineLayout,
        source: DType,
        isa: Isa,
        ranges: Option<&Ranges>,
    ) -> Result<Self> {
        let shared = match ranges {
            Some(ranges) => choose(layout.spec(), source, FitRanges(ranges))?,
            None => choose(layout.spec(), source, Nothing)?,
        };
        Ok(Self {
            layout,
            source,
            isa,
            shared,
        })
    }

    /// Writes the scales and zeros that belong to no unit, in full; nothing if there are none.
    pub(crate) fn store_shared(&self, scales: &mut [u8], zeros: &mut [u8]) {
        if !self.layout.is_grouped() {
            let Fits { scale, zero, .. } = &self.shared;
            self.writer()
                .scales(scale, zero, scales, zeros, &mut Vec::new());
        }
    }

    /// Encodes units, whose elements are `x`. Panics if a length is not that of their
    /// [`place`](AffineLayout::place).
    pub(crate) fn encode(
        &self,
        units: Range<usize>,
        x: &[f32],
        out: PlanesMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let groups = match self.layout.is_grouped() {
            true => units.len() * self.layout.inner,
            false => 0,
        };
        let codes = match self.layout.padded_group() {
            Some(n) => units.len() * n,
            None => x.len(),
        };
        scratch.fits.resize(groups);
        let spec = self.layout.spec();
        if spec.bits == 16 {
            scratch.wide_codes.resize(codes, 0);
            let codes = &mut scratch.wide_codes[..];
            self.codes(units, x, &mut scratch.fits, codes)?;
            let out = out.codes.as_chunks_mut().0;
            for (out, code) in out.iter_mut().zip(&scratch.wide_codes) {
                *out = code.to_le_bytes();
            }
        } else {
            scratch.codes.resize(codes, 0);
            self.codes(units.clone(), x, &mut scratch.fits, &mut scratch.codes)?;
            self.writer().codes(units, &mut scratch.codes, out.codes);
        }
        if groups > 0 {
            let Fits { scale, zero, .. } = &scratch.fits;
            let points = &mut scratch.points;
            self.writer()
                .scales(scale, zero, out.scales, out.zeros, points);
        }
        Ok(())
    }

    fn writer(&self) -> PlaneWriter<'l> {
        PlaneWriter {
            layout: self.layout,
            isa: self.isa,
        }
    }

    fn codes<C: Code>(
        &self,
        units: Range<usize>,
        x: &[f32],
        fits: &mut Fits,
        codes: &mut [C],
    ) -> Result<()> {
        let work = Work {
            layout: self.layout,
            isa: self.isa,
            shared: &self.shared,
            units,
            x,
            fits,
            codes,
        };
        choose(self.layout.spec(), self.source, work)
    }
}

/// An unpacked code.
trait Code: Copy + Send {
    /// The lowest bits.
    fn of(code: i32) -> Self;
}

impl Code for u8 {
    #[inline(always)]
    fn of(code: i32) -> Self {
        code as u8
    }
}

impl Code for u16 {
    #[inline(always)]
    fn of(code: i32) -> Self {
        code as u16
    }
}

/// Whether the formula is there.
struct Nothing;

impl WithFormula for Nothing {
    type Output = Fits;

    fn run<F: Formula>(self, _: F) -> Fits {
        Fits::default()
    }
}

struct FitRanges<'a>(&'a Ranges);

impl WithFormula for FitRanges<'_> {
    type Output = Fits;

    fn run<F: Formula>(self, formula: F) -> Fits {
        let Ranges { low, high, .. } = self.0;
        let mut fits = Fits::default();
        fits.resize(low.len());
        for (i, (low, high)) in low.iter().zip(high).enumerate() {
            fits.set(i, formula.fit(*low, *high));
        }
        fits
    }
}

/// Codes of units, and where scales belong to them, those.
struct Work<'a, C> {
    layout: &'a AffineLayout,
    isa: Isa,
    shared: &'a Fits,
    units: Range<usize>,
    x: &'a [f32],
    fits: &'a mut Fits,
    codes: &'a mut [C],
}

impl<C: Code> WithFormula for Work<'_, C> {
    type Output = ();

    fn run<F: Formula>(self, formula: F) {
        self.isa.run(Encode {
            formula,
            work: self,
        });
    }
}

struct Encode<'a, F, C> {
    formula: F,
    work: Work<'a, C>,
}

impl<F: Formula, C: Code> Kernel for Encode<'_, F, C> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match (self.work.layout.spec().group, self.work.layout.inner) {
            (Group::Blocks(_), 1) => self.blocks(lanes),
            (Group::Blocks(_), _) => self.slabs(),
            (Group::Tensor, _) => {
                let fit = self.work.shared.get(0);
                encode_run(self.formula, fit, self.work.x, self.work.codes);
            }
            (Group::Axis, 1) => self.across_rows(),
            (Group::Axis, _) => self.channels(),
        }
    }
}

impl<F: Formula, C: Code> Encode<'_, F, C> {
    /// Groups that are contiguous. Every step is done for all of them before the next: those of one group would
    /// wait for each other.
    #[inline(always)]
    fn blocks<L: Lanes>(self, lanes: L) {
        let Work {
            layout,
            units,
            mut x,
            fits,
            mut codes,
            ..
        } = self.work;
        let AffineSpec { clip, zero, .. } = *layout.spec();
        let mut rest = x;
        for (i, unit) in units.clone().enumerate() {
            let (group, after) = rest.split_at(layout.steps(unit));
            (fits.scale[i], fits.zero[i]) = extremes(lanes, group);
            rest = after;
        }
        if clip != Clip::LeastError {
            fits.fit(self.formula, 0..units.len());
        }
        for (i, unit) in units.enumerate() {
            let (group, rest) = x.split_at(layout.steps(unit));
            if clip == Clip::LeastError {
                let range = (fits.scale[i], fits.zero[i]);
                let fit = least_error(self.formula, range, zero, group.iter().copied());
                fits.set(i, fit);
            }
            let padded = layout.padded_group().unwrap_or(group.len());
            let (out, rest_codes) = codes.split_at_mut(padded);
            encode_run(self.formula, fits.get(i), group, out);
            (x, codes) = (rest, rest_codes);
        }
    }

    /// Groups side by side: a column each.
    #[inline(always)]
    fn slabs(self) {
        let Work {
            layout,
            units,
            mut x,
            fits,
            mut codes,
            ..
        } = self.work;
        let inner = layout.inner;
        let AffineSpec { clip, zero, .. } = *layout.spec();
        for (i, unit) in units.enumerate() {
            let len = layout.steps(unit) * inner;
            let (slab, rest) = x.split_at(len);
            let (out, rest_codes) = codes.split_at_mut(len);
            let columns = i * inner..(i + 1) * inner;
            let low = &mut fits.scale[columns.clone()];
            let high = &mut fits.zero[columns.clone()];
            low.copy_from_slice(&slab[..inner]);
            high.copy_from_slice(&slab[..inner]);
            for row in slab.chunks_exact(inner) {
                widen_range(row, low, high);
            }
            if clip == Clip::LeastError {
                for (column, i) in columns.clone().enumerate() {
                    let range = (fits.scale[i], fits.zero[i]);
                    let column = slab[column..].iter().step_by(inner).copied();
                    fits.set(i, least_error(self.formula, range, zero, column));
                }
            } else {
                fits.fit(self.formula, columns.clone());
            }
            for (row, out) in slab.chunks_exact(inner).zip(out.chunks_exact_mut(inner)) {
                encode_across(self.formula, fits, columns.start, row, out);
            }
            (x, codes) = (rest, rest_codes);
        }
    }

    /// A scale for each index of an axis that is not the last: runs of elements.
    #[inline(always)]
    fn channels(self) {
        let Work {
            layout,
            units,
            x,
            shared,
            codes,
            ..
        } = self.work;
        let runs = x.chunks_exact(layout.inner);
        let runs = runs.zip(codes.chunks_exact_mut(layout.inner));
        for (unit, (x, out)) in units.zip(runs) {
            let fit = shared.get(unit % layout.len);
            encode_run(self.formula, fit, x, out);
        }
    }

    /// A scale for each index of the last axis.
    #[inline(always)]
    fn across_rows(self) {
        let Work {
            layout,
            units,
            mut x,
            shared,
            mut codes,
            ..
        } = self.work;
        let mut column = units.start % layout.len.max(1);
        while !x.is_empty() {
            let len = (layout.len - column).min(x.len());
            let (row, rest) = x.split_at(len);
            let (out, rest_codes) = codes.split_at_mut(len);
            encode_across(self.formula, shared, column, row, out);
            (x, codes, column) = (rest, rest_codes, 0);
        }
    }
}

/// The codes of elements that share a scale.
#[inline(always)]
fn encode_run<F: Formula, C: Code>(formula: F, fit: Fit, x: &[f32], codes: &mut [C]) {
    for (x, code) in x.iter().zip(codes) {
        *code = C::of(formula.code(*x, fit));
    }
}

/// The codes of elements that each have a scale of their own, from number `first` on.
#[inline(always)]
fn encode_across<F: Formula, C: Code>(
    formula: F,
    fits: &Fits,
    first: usize,
    x: &[f32],
    codes: &mut [C],
) {
    let (zeros, factors) = (&fits.zero[first..], &fits.factor[first..]);
    let params = zeros.iter().zip(factors);
    for ((x, code), (zero, factor)) in x.iter().zip(codes).zip(params) {
        let fit = Fit {
            scale: 0.0,
            zero: *zero,
            factor: *factor,
        };
        *code = C::of(formula.code(*x, fit));
    }
}

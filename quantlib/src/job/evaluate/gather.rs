//! Transposes.

use super::Source;
use crate::error::{Error, Result};
use crate::job::products::Memo;

/// Elements of a run that are gathered at a time.
const WIDTH: usize = 512;

/// Bytes that the runs of a band become in the output, side by side: two cache lines, which come and
/// go together.
const LINE: usize = 128;

/// Bytes of memory that a gathering takes: a band of runs.
pub(super) const SCRATCH: usize = WIDTH * LINE;

/// Fills `out` with the elements of a transposed tensor from `start` on; `axes` are those of the
/// input that become the output's dimensions, whose lengths are `shape`.
pub(super) fn read(
    of: &Source<'_>,
    axes: &[usize],
    shape: &[usize],
    start: usize,
    out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    if axes.is_empty() {
        return of.read(start, out, memo);
    }
    match of.dtype.block_bytes() {
        1 => Gather::<1, LINE>::new(of, axes, shape, start, out).run(memo),
        2 => Gather::<2, { LINE / 2 }>::new(of, axes, shape, start, out).run(memo),
        4 => Gather::<4, { LINE / 4 }>::new(of, axes, shape, start, out).run(memo),
        8 => Gather::<8, { LINE / 8 }>::new(of, axes, shape, start, out).run(memo),
        _ => Err(Error::unsupported(format!(
            "cannot transpose {} elements",
            of.dtype
        ))),
    }
}

/// Gathers a range of a transposed tensor of elements of `N` bytes. Runs that are contiguous in the
/// input are read in bands of up to `RUNS`: those that lie side by side in the output fill whole cache
/// lines there.
struct Gather<'s, 'm, 'o, const N: usize, const RUNS: usize> {
    of: &'s Source<'m>,
    /// Of the output: how many elements a step along each dimension is, there and in the input.
    dims: Vec<Dim>,
    /// The output dimension along which the input is contiguous.
    contiguous: usize,
    start: usize,
    end: usize,
    out: &'o mut [[u8; N]],
    /// The runs of a band.
    scratch: Vec<[[u8; N]; WIDTH]>,
}

#[derive(Clone, Copy)]
struct Dim {
    len: usize,
    step: usize,
    input_step: usize,
}

/// Runs side by side: where the first of them begins, in the output and in the input, how many they
/// are, and how far apart in the input.
struct Band {
    at: usize,
    input: usize,
    runs: usize,
    input_step: usize,
}

impl<'s, 'm, 'o, const N: usize, const RUNS: usize> Gather<'s, 'm, 'o, N, RUNS> {
    fn new(
        of: &'s Source<'m>,
        axes: &[usize],
        shape: &[usize],
        start: usize,
        out: &'o mut [u8],
    ) -> Self {
        let step = |shape: &[usize], dim: usize| shape[dim + 1..].iter().product();
        let dims = axes.iter().enumerate().map(|(dim, &axis)| Dim {
            len: shape[dim],
            step: step(shape, dim),
            input_step: step(&of.shape, axis),
        });
        let out = out.as_chunks_mut().0;
        Self {
            of,
            dims: dims.collect(),
            contiguous: axes
                .iter()
                .position(|&axis| axis + 1 == axes.len())
                .unwrap_or(0),
            start,
            end: start + out.len(),
            out,
            scratch: vec![[[0; N]; WIDTH]; RUNS],
        }
    }

    fn run(mut self, memo: &mut Memo) -> Result<()> {
        self.visit(0, 0, 0, memo)
    }

    /// Visits what lies below dimension `dim` at element `at` of the output, which is element
    /// `input` of the input.
    fn visit(&mut self, dim: usize, at: usize, input: usize, memo: &mut Memo) -> Result<()> {
        let Some(&Dim {
            len,
            step,
            input_step,
        }) = self.dims.get(dim)
        else {
            return self.copy(at, input, memo);
        };
        if dim == self.contiguous {
            return self.visit(dim + 1, at, input, memo);
        }
        if dim + 1 == self.dims.len() {
            for first in (0..len).step_by(RUNS) {
                let band = Band {
                    at: at + first,
                    input: input + first * input_step,
                    runs: RUNS.min(len - first),
                    input_step,
                };
                self.transpose(&band, memo)?;
            }
            return Ok(());
        }
        // Below the contiguous dimension, which is still to come, any index may meet the range.
        let indices = if dim < self.contiguous {
            self.start.saturating_sub(at) / step
                ..self.end.saturating_sub(at).div_ceil(step).min(len)
        } else {
            0..len
        };
        for i in indices {
            self.visit(dim + 1, at + i * step, input + i * input_step, memo)?;
        }
        Ok(())
    }

    /// Copies the part of a run that is contiguous on both sides, which begins at element `at` of
    /// the output.
    fn copy(&mut self, at: usize, input: usize, memo: &mut Memo) -> Result<()> {
        let end = self.end.min(at + self.dims[self.contiguous].len);
        let first = self.start.max(at);
        if first >= end {
            return Ok(());
        }
        let out = &mut self.out[first - self.start..end - self.start];
        self.of
            .read(input + first - at, out.as_flattened_mut(), memo)
    }

    /// Copies the part of a band that belongs to the range.
    fn transpose(&mut self, band: &Band, memo: &mut Memo) -> Result<()> {
        let Dim { len, step, .. } = self.dims[self.contiguous];
        let last = band.at + band.runs - 1;
        let first = self.start.saturating_sub(last).div_ceil(step);
        let end = self.end.saturating_sub(band.at).div_ceil(step).min(len);
        for from in (first..end).step_by(WIDTH) {
            let columns = WIDTH.min(end - from);
            for (i, run) in self.scratch.iter_mut().take(band.runs).enumerate() {
                let input = band.input + i * band.input_step + from;
                self.of
                    .read(input, run[..columns].as_flattened_mut(), memo)?;
            }
            for column in 0..columns {
                let at = band.at + (from + column) * step;
                // The first and the last may be in the range with some of their elements only.
                let (first, end) = (at.max(self.start), self.end.min(at + band.runs));
                let out = &mut self.out[first - self.start..end - self.start];
                let runs = &self.scratch[first - at..];
                match (out.first_chunk_mut::<RUNS>(), runs.first_chunk::<RUNS>()) {
                    // A loop that the compiler can unroll.
                    (Some(out), Some(runs)) => pick(runs, column, out),
                    _ => pick(runs, column, out),
                }
            }
        }
        Ok(())
    }
}

/// The elements of runs in one column.
#[inline(always)]
fn pick<const N: usize>(runs: &[[[u8; N]; WIDTH]], column: usize, out: &mut [[u8; N]]) {
    for (out, run) in out.iter_mut().zip(runs) {
        *out = run[column];
    }
}

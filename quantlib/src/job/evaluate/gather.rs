//! Transposes.

use super::{CHUNK, Source};
use crate::error::Result;
use crate::job::products::Memo;

/// Gathers a range of a transposed tensor: for every run that is contiguous in the input, the part
/// of it that belongs to the range is read once and scattered.
pub(super) struct Gather<'s, 'm, 'o> {
    of: &'s Source<'m>,
    /// Of the output: how many elements a step along each dimension is, there and in the input.
    dims: Vec<Dim>,
    /// The output dimension along which the input is contiguous.
    contiguous: usize,
    start: usize,
    end: usize,
    out: &'o mut [u8],
    size: usize,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Dim {
    len: usize,
    step: usize,
    input_step: usize,
}

impl<'s, 'm, 'o> Gather<'s, 'm, 'o> {
    pub(super) fn new(
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
        let size = of.dtype.block_bytes();
        Self {
            of,
            dims: dims.collect(),
            contiguous: axes
                .iter()
                .position(|&axis| axis + 1 == axes.len())
                .unwrap_or(0),
            start,
            end: start + out.len() / size,
            out,
            size,
            scratch: vec![0; CHUNK * size],
        }
    }

    pub(super) fn run(mut self, memo: &mut Memo) -> Result<()> {
        if self.dims.is_empty() {
            return self.of.read(self.start, self.out, memo);
        }
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
            return self.scatter(at, input, memo);
        };
        if dim == self.contiguous {
            return self.visit(dim + 1, at, input, memo);
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

    /// Copies one run of the input, which begins at element `at` of the output.
    fn scatter(&mut self, at: usize, input: usize, memo: &mut Memo) -> Result<()> {
        let Dim { len, step, .. } = self.dims[self.contiguous];
        let first = self.start.saturating_sub(at).div_ceil(step);
        let end = self.end.saturating_sub(at).div_ceil(step).min(len);
        for from in (first..end).step_by(CHUNK) {
            let run = &mut self.scratch[..(end - from).min(CHUNK) * self.size];
            self.of.read(input + from, run, memo)?;
            for (i, element) in run.chunks_exact(self.size).enumerate() {
                let place = (at + (from + i) * step - self.start) * self.size;
                self.out[place..place + self.size].copy_from_slice(element);
            }
        }
        Ok(())
    }
}

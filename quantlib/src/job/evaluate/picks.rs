//! Slices of a dimension that is not the first, or with indices left out between.

use super::{CHUNK, Source};
use crate::error::Result;
use crate::job::products::Memo;

/// Which indices of a dimension are kept, and how the dimension lies in the tensor.
#[derive(Debug)]
pub(super) struct Picks {
    /// Length of the dimension in the input.
    pub(super) dim: usize,
    /// Number of indices kept.
    pub(super) len: usize,
    /// First index kept.
    pub(super) start: usize,
    /// From an index kept to the next.
    pub(super) step: usize,
    /// Elements at one index: those of all dimensions behind.
    pub(super) inner: usize,
}

impl Picks {
    /// Fills `out` with the elements from `at` on of what is kept of `of`.
    pub(super) fn read(
        &self,
        of: &Source<'_>,
        mut at: usize,
        mut out: &mut [u8],
        memo: &mut Memo,
    ) -> Result<()> {
        let mut scratch = Vec::new();
        while !out.is_empty() {
            let (index, offset) = (at / self.inner, at % self.inner);
            let (outer, pick) = (index / self.len, index % self.len);
            let first = (outer * self.dim + self.start + pick * self.step) * self.inner + offset;
            let (wanted, left) = (of.elements_in(out.len()), self.len - pick);
            let spaced = self.inner.saturating_mul(self.step);
            let gathered = if self.step == 1 || offset > 0 {
                1
            } else {
                left.min(CHUNK / spaced).min(wanted / self.inner)
            };
            let len = match gathered {
                // Neighbours are one run.
                0 | 1 if self.step == 1 => wanted.min(left * self.inner - offset),
                0 | 1 => wanted.min(self.inner - offset),
                _ => gathered * self.inner,
            };
            let (piece, rest) = out.split_at_mut(of.dtype.row_bytes(len)?);
            if gathered > 1 {
                // Many short runs: read with what lies between them.
                let run = of.dtype.row_bytes(self.inner)?;
                scratch.resize(
                    of.dtype
                        .row_bytes(gathered * spaced - (spaced - self.inner))?,
                    0,
                );
                of.read(first, &mut scratch, memo)?;
                let runs = scratch.chunks(run * self.step);
                for (to, from) in piece.chunks_exact_mut(run).zip(runs) {
                    to.copy_from_slice(&from[..run]);
                }
            } else {
                of.read(first, piece, memo)?;
            }
            out = rest;
            at += len;
        }
        Ok(())
    }
}

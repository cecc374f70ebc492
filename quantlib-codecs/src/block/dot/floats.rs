//! A row times a vector of floats: the decoder's elements are multiplied as they come out, and are
//! never written.

use super::super::BlockFormat;
use super::sum;
use crate::simd::{Diverted, Sink, Sixteen};
use bytemuck::Zeroable;
use std::cell::Cell;

/// Element i is in partial sum i mod 16, and each adds up its products in their order.
#[inline(always)]
pub(super) fn dot<F: BlockFormat, S: Sixteen>(s: S, row: &[F::Block], x: &[f32]) -> f32 {
    let partial = Cell::new(s.splat(0.0));
    // What decoders write to; nothing ever is.
    let mut unwritten = F::Elements::zeroed();
    for (block, x) in row.iter().zip(x.chunks_exact(F::DTYPE.block_len())) {
        let sink = Products {
            x: x.as_chunks().0,
            next: &Cell::new(0),
            partial: &partial,
        };
        F::decode(Diverted { s, sink }, block, &mut unwritten);
    }
    sum(s, partial.get())
}

/// What is multiplied with the vector, and added up.
#[derive(Clone, Copy)]
struct Products<'a, S: Sixteen> {
    /// The part of the vector that belongs to the block.
    x: &'a [[f32; 16]],
    next: &'a Cell<usize>,
    partial: &'a Cell<S::F>,
}

impl<S: Sixteen> Sink<S> for Products<'_, S> {
    #[inline(always)]
    fn take(self, s: S, a: S::F) {
        let i = self.next.get();
        self.next.set(i + 1);
        if let Some(x) = self.x.get(i) {
            let products = s.mul(a, s.load(x));
            self.partial.set(s.add(self.partial.get(), products));
        }
    }
}

//! A row times a vector of floats: the decoder's elements are multiplied as they come out, and are
//! never written.

use super::super::BlockFormat;
use super::sum;
use crate::numeric::F16;
use crate::simd::Sixteen;
use bytemuck::Zeroable;
use std::cell::Cell;

/// Element i is in partial sum i mod 16, and each adds up its products in their order.
#[inline(always)]
pub(super) fn dot<F: BlockFormat, S: Sixteen>(s: S, row: &[F::Block], x: &[f32]) -> f32 {
    let partial = Cell::new(s.splat(0.0));
    // What decoders write to; nothing ever is.
    let mut unwritten = F::Elements::zeroed();
    for (block, x) in row.iter().zip(x.chunks_exact(F::DTYPE.block_len())) {
        let products = Products {
            s,
            x: x.as_chunks().0,
            next: &Cell::new(0),
            partial: &partial,
        };
        F::decode(products, block, &mut unwritten);
    }
    sum(s, partial.get())
}

/// Instructions whose stores multiply what they are given with the vector, and add it up. It takes
/// that decoders store all elements of a block in their order.
#[derive(Clone, Copy)]
struct Products<'a, S: Sixteen> {
    s: S,
    /// The part of the vector that belongs to the block.
    x: &'a [[f32; 16]],
    next: &'a Cell<usize>,
    partial: &'a Cell<S::F>,
}

impl<S: Sixteen> Sixteen for Products<'_, S> {
    type F = S::F;

    #[inline(always)]
    fn store(self, a: S::F, _: &mut [f32; 16]) {
        let i = self.next.get();
        self.next.set(i + 1);
        if let Some(x) = self.x.get(i) {
            let products = self.s.mul(a, self.s.load(x));
            self.partial.set(self.s.add(self.partial.get(), products));
        }
    }

    #[inline(always)]
    fn half_to_float(self, half: F16) -> f32 {
        self.s.half_to_float(half)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> S::F {
        self.s.splat(x)
    }

    #[inline(always)]
    fn add(self, a: S::F, b: S::F) -> S::F {
        self.s.add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: S::F, b: S::F) -> S::F {
        self.s.sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: S::F, b: S::F) -> S::F {
        self.s.mul(a, b)
    }

    #[inline(always)]
    fn negate(self, a: S::F, signs: u16) -> S::F {
        self.s.negate(a, signs)
    }

    #[inline(always)]
    fn widen_u8(self, bytes: &[u8; 16]) -> S::F {
        self.s.widen_u8(bytes)
    }

    #[inline(always)]
    fn widen_i8(self, bytes: &[i8; 16]) -> S::F {
        self.s.widen_i8(bytes)
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], codes: &[u8; 16]) -> S::F {
        self.s.look_up(table, codes)
    }

    #[inline(always)]
    fn take_bits(self, bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        self.s.take_bits(bytes, shift, mask)
    }

    #[inline(always)]
    fn with_bits(self, bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16] {
        self.s.with_bits(bytes, bits, value)
    }

    #[inline(always)]
    fn widen_crumbs(self, crumbs: u32) -> S::F {
        self.s.widen_crumbs(crumbs)
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> S::F {
        self.s.load(from)
    }
}

//! Encoders that work on many blocks at once, one in each lane.
//!
//! Every lane goes through exactly the operations of the scalar reference, in its order; where that
//! branches, both sides are computed and blended. The last pass over the elements and the packing
//! are the reference's own code, block by block, compiled for the same instruction set.

// Arrays of vectors go in step here; indices show that best, and closures are not sure to be inlined.
#![allow(clippy::needless_range_loop)]

mod affine;
mod header;
mod k_affine;
mod k_symmetric;
mod number;
mod per_lane;
mod symmetric;

pub(super) use k_affine::{AffineFormat, encode_affine_tile};
pub(super) use k_symmetric::{
    CodesAgain, MovesAgain, fit_groups, fit_groups_by_moves, load_groups,
};
pub(super) use number::{sum, sum_squares, weigh_important};
pub(super) use per_lane::PerLane;
pub(super) use symmetric::{fit_symmetric, symmetric_codes};

use super::BlockFormat;
use crate::simd::{Isa, Kernel, Lanes, MAX_LANES};

/// A format whose blocks of `LEN` elements can be encoded in lanes.
pub(super) trait LaneFormat<const LEN: usize>: BlockFormat {
    /// Encodes a tile of at most `L::N` blocks; `out` has as many as the tile. Implementations must
    /// be `#[inline(always)]`.
    fn encode_tile<L: Lanes>(lanes: L, tile: &Tile<'_, LEN>, out: &mut [Self::Block]);
}

/// As many blocks as there are lanes. Lanes without a block of their own have one of zeros.
pub(super) struct Tile<'a, const LEN: usize> {
    pub(super) x: [&'a [f32; LEN]; MAX_LANES],
    pub(super) importance: Option<[&'a [f32; LEN]; MAX_LANES]>,
}

/// Encodes whole rows in the lanes of `isa`: [`BlockFormat::encode`], but faster.
pub(super) fn encode<F: LaneFormat<LEN>, const LEN: usize>(
    isa: Isa,
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [F::Block],
) {
    let source = Source {
        blocks: rows.as_chunks().0,
        per_row: cols / LEN,
        importance: importance.map(|w| w.as_chunks().0),
    };
    isa.run(Encode::<F, LEN> { source, out });
}

/// Blocks of rows with the importance of one row's blocks.
struct Source<'a, const LEN: usize> {
    blocks: &'a [[f32; LEN]],
    per_row: usize,
    importance: Option<&'a [[f32; LEN]]>,
}

struct Encode<'a, F: LaneFormat<LEN>, const LEN: usize> {
    source: Source<'a, LEN>,
    out: &'a mut [F::Block],
}

impl<F: LaneFormat<LEN>, const LEN: usize> Kernel for Encode<'_, F, LEN> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut first = 0;
        let Self { source, out } = self;
        for out in out.chunks_mut(L::N) {
            let tile = source.tile(first, out.len());
            F::encode_tile(lanes, &tile, out);
            first += out.len();
        }
    }
}

impl<'a, const LEN: usize> Source<'a, LEN> {
    /// The tile of `len` blocks from `first` on, in whatever rows they are.
    fn tile(&self, first: usize, len: usize) -> Tile<'a, LEN> {
        let mut x = [&[0.0; LEN]; MAX_LANES];
        for (x, block) in x.iter_mut().zip(&self.blocks[first..first + len]) {
            *x = block;
        }
        let importance = self.importance.map(|weights| {
            let mut lanes = [&[0.0; LEN]; MAX_LANES];
            for (i, lane) in lanes[..len].iter_mut().enumerate() {
                *lane = &weights[(first + i) % self.per_row];
            }
            lanes
        });
        Tile { x, importance }
    }
}

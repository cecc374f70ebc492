//! Encoders that work on many blocks at once, one in each lane.
//!
//! Every lane goes through exactly the operations of the scalar reference, in its order; where that
//! branches, both sides are computed and blended. The last pass over the elements and the packing
//! are the reference's own code, block by block, compiled for the same instruction set.

// Arrays of vectors go in step here; indices show that best, and closures are not sure to be inlined.
#![allow(clippy::needless_range_loop)]

mod affine;
mod codebook;
mod header;
mod iq1;
mod k_affine;
mod k_symmetric;
mod moves;
mod nonlinear;
mod number;
mod per_lane;
mod rounding;
mod symmetric;
mod thirty_two;

pub(super) use codebook::{Search, squares_of_blocks, uniform_scales};
pub(super) use iq1::{
    SortedGroup, Split, SplitFormat, best_split_of_16, best_split_of_32, fit_groups, refit_blocks,
};
pub(super) use k_affine::{AffineFormat, encode_affine_tile};
pub(super) use k_symmetric::{CodesAgain, MovesAgain, fit_groups_by_moves};
pub(super) use nonlinear::{fit_scale, sigma2, weigh};
pub(super) use number::{
    max_magnitudes, mean_magnitudes, squares, sum, sum_block_squares, weigh_important,
};
pub(super) use per_lane::PerLane;
pub(super) use symmetric::{fit_symmetric, symmetric_codes};
pub(super) use thirty_two::{
    affine_scales, fit_affine_blocks, fit_symmetric_blocks, magnitude_scales, symmetric_scales,
};

use super::BlockFormat;
use crate::simd::{Isa, Kernel, Lanes, MAX_LANES};

/// A format whose blocks of `LEN` elements can be encoded in lanes.
pub(super) trait LaneFormat<const LEN: usize>: BlockFormat {
    /// Whether importance goes with the mean squares of whole rows.
    const ROW_MEANS: bool = false;

    /// Encodes a tile of at most `L::N` blocks; `out` has as many as the tile. Implementations must
    /// be `#[inline(always)]`.
    fn encode_tile<L: Lanes>(lanes: L, tile: &Tile<'_, LEN>, out: &mut [Self::Block]);
}

/// As many blocks as there are lanes. Lanes without a block of their own have one of zeros.
pub(super) struct Tile<'a, const LEN: usize> {
    pub(super) x: [&'a [f32; LEN]; MAX_LANES],
    pub(super) importance: Option<[&'a [f32; LEN]; MAX_LANES]>,
    /// Of the rows that the blocks are in; only with importance and for formats that ask for it.
    row_mean_squares: [f32; MAX_LANES],
}

/// Encodes whole rows in the lanes of `isa`: [`BlockFormat::encode`], but faster.
pub(super) fn encode<F: LaneFormat<LEN>, const LEN: usize>(
    isa: Isa,
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [F::Block],
) {
    let row_mean_squares = match importance {
        Some(_) if F::ROW_MEANS => mean_squares(rows, cols),
        _ => Vec::new(),
    };
    let source = Source {
        row_mean_squares,
        blocks: rows.as_chunks().0,
        per_row: cols / LEN,
        importance: importance.map(|w| w.as_chunks().0),
    };
    isa.run(Encode::<F, LEN> { source, out });
}

/// [`encode`] for what is faster one block at a time than in portable lanes: what does its work in one
/// pass, and waits for the transposing, or looks up more than it calculates.
pub(super) fn encode_unless_portable<F: LaneFormat<LEN>, const LEN: usize>(
    isa: Isa,
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [F::Block],
) {
    if isa == Isa::Portable {
        F::encode(rows, cols, importance, out);
    } else {
        encode::<F, LEN>(isa, rows, cols, importance, out);
    }
}

/// Blocks of rows with the importance of one row's blocks.
struct Source<'a, const LEN: usize> {
    blocks: &'a [[f32; LEN]],
    per_row: usize,
    importance: Option<&'a [[f32; LEN]]>,
    row_mean_squares: Vec<f32>,
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
    #[inline(always)]
    fn tile(&self, first: usize, len: usize) -> Tile<'a, LEN> {
        let mut x = [&[0.0; LEN]; MAX_LANES];
        for (x, block) in x.iter_mut().zip(&self.blocks[first..first + len]) {
            *x = block;
        }
        let mut importance = None;
        if let Some(weights) = self.importance {
            let lanes = importance.insert([&[0.0; LEN]; MAX_LANES]);
            for (i, lane) in lanes[..len].iter_mut().enumerate() {
                *lane = &weights[(first + i) % self.per_row];
            }
        }
        let mut row_mean_squares = [0.0; MAX_LANES];
        if !self.row_mean_squares.is_empty() {
            for (i, lane) in row_mean_squares[..len].iter_mut().enumerate() {
                *lane = self.row_mean_squares[(first + i) / self.per_row];
            }
        }
        Tile {
            x,
            importance,
            row_mean_squares,
        }
    }
}

/// The mean square of every row.
fn mean_squares(rows: &[f32], cols: usize) -> Vec<f32> {
    // Sums must be in order, so one alone waits for every addition: several rows go in step.
    const STEP: usize = 8;
    let mut means = Vec::with_capacity(rows.len() / cols);
    for rows in rows.chunks(STEP * cols) {
        let count = rows.len() / cols;
        // Where rows are missing the first one serves: its sum is there anyway.
        let rows: [&[f32]; STEP] = std::array::from_fn(|i| {
            let row = if i < count { i } else { 0 };
            &rows[row * cols..][..cols]
        });
        let mut sums = [0.0; STEP];
        for i in 0..cols {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += row[i] * row[i];
            }
        }
        means.extend(sums[..count].iter().map(|sum| sum / cols as f32));
    }
    means
}

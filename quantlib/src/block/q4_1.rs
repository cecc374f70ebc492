//! Q4_1: 32 elements of 4 bits with one scale and one minimum.
//!
//! ```text
//! scale: f16 | min: f16 | codes: [u8; 16]
//! element = scale · code + min
//! ```
//! Elements i and i + 16 share byte i, the first in the low nibble.

use super::BlockFormat;
use super::blocks::{encode_blocks, encode_blocks_in_rows};
use super::dot::{Small, two_nibbles};
use super::elements::scale_and_add;
use super::lanes::{self, LaneFormat, Tile};
use super::number::fill;
use super::packing::{pack_nibbles, unpack_nibbles};
use super::search::{Deviation, Grid, fit_affine};
use super::thirty_two::affine_ref;
use super::weights::weigh_important;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// The largest code.
const TOP: i32 = 15;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    min: F16,
    codes: [u8; 16],
}

pub(super) struct Q4_1;

impl BlockFormat for Q4_1 {
    const DTYPE: DType = DType::Q4_1;
    type Block = Block;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
        decode(s, block, y);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        match importance {
            None => encode_blocks(rows, cols, None, out, |x, _, block| *block = encode_ref(x)),
            Some(weights) => {
                encode_blocks_in_rows(rows, cols, weights, out, |x, w, mean, block| {
                    *block = encode_weighted_ref(x, w, mean);
                })
            }
        }
    }
    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode::<Self, 32>(isa, rows, cols, importance, out);
    }
}

impl LaneFormat<32> for Q4_1 {
    const ROW_MEANS: bool = true;

    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Block]) {
        match &tile.importance {
            None => {
                for (x, block) in tile.x.iter().zip(out) {
                    *block = encode_ref(x);
                }
            }
            Some(importance) => {
                let fits = lanes::fit_affine_blocks(l, tile, importance, TOP);
                for (lane, block) in out.iter_mut().enumerate() {
                    let [scale, min, inverse, origin] = fits.lane(lane);
                    let codes = lanes::affine_codes(tile.x[lane], inverse, origin, TOP);
                    *block = Block::new(scale, min, &codes);
                }
            }
        }
    }
}

impl Block {
    #[inline(always)]
    fn new(scale: f32, min: f32, codes: &[u8; 32]) -> Self {
        Self {
            scale: F16::from_f32(scale),
            min: F16::from_f32(min),
            codes: pack_nibbles(codes, 32),
        }
    }
}

#[inline(always)]
fn encode_ref(x: &[f32; 32]) -> Block {
    let (scale, min, codes) = affine_ref(x, TOP);
    Block::new(scale, min, &codes)
}

fn encode_weighted_ref(x: &[f32; 32], importance: &[f32; 32], row_mean_square: f32) -> Block {
    let weights = weigh_important(x, importance, row_mean_square);
    let fit = fit_affine(x, &weights, TOP, Grid::WEIGHTED, Deviation::Squared);
    Block::new(fit.scale, -fit.min, &fit.codes)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    let codes: [u8; 32] = unpack_nibbles(&block.codes, 32);
    scale_and_add(s, &codes, block.scale.to_f32(), block.min.to_f32(), y);
}

impl Small for Q4_1 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let codes = two_nibbles(s, [&blocks[2 * i].codes, &blocks[2 * i + 1].codes]);
        s.dot(codes, x)
    }

    #[inline(always)]
    fn minima<S: SixtyFour>(s: S, blocks: &[Block]) -> Option<S::F> {
        Some(s.halves_to_floats(&fill(|i| blocks[i].min)))
    }
}

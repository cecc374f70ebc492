//! Q5_0: 32 elements of 5 bits with one scale.
//!
//! ```text
//! scale: f16 | high: [u8; 4] | low: [u8; 16]
//! element = scale · (code - 16), code = 16 · high bit + low nibble
//! ```
//! Element i has bit i of `high`, a little-endian integer; elements i and i + 16 share byte i of
//! `low`, the first in the low nibble.

use super::BlockFormat;
use super::blocks::{encode_blocks, encode_blocks_in_rows};
use super::dot::{Small, centred_products, two_five_bits};
use super::elements::{centre, scale_signed};
use super::lanes::{self, LaneFormat, Tile};
use super::number::fill;
use super::packing::{FiveBits, pack_five_bits, unpack_five_bits};
use super::search::fit_symmetric;
use super::thirty_two::symmetric_ref;
use super::weights::weigh_important;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// The code of zero.
const HALF: i32 = 16;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: FiveBits,
}

pub(super) struct Q5_0;

impl BlockFormat for Q5_0 {
    const DTYPE: DType = DType::Q5_0;
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

impl LaneFormat<32> for Q5_0 {
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
                let fits = lanes::fit_symmetric_blocks(l, tile, importance, HALF);
                for (lane, block) in out.iter_mut().enumerate() {
                    let [scale, inverse] = fits.lane(lane);
                    let codes = lanes::symmetric_codes(tile.x[lane], inverse, HALF);
                    *block = Block::new(scale, &codes);
                }
            }
        }
    }
}

impl Block {
    #[inline(always)]
    fn new(scale: f32, codes: &[u8; 32]) -> Self {
        Self {
            scale: F16::from_f32(scale),
            codes: pack_five_bits(codes),
        }
    }
}

#[inline(always)]
fn encode_ref(x: &[f32; 32]) -> Block {
    let (scale, codes) = symmetric_ref(x, HALF);
    Block::new(scale, &codes)
}

fn encode_weighted_ref(x: &[f32; 32], importance: &[f32; 32], row_mean_square: f32) -> Block {
    let fit = fit_symmetric(x, &weigh_important(x, importance, row_mean_square), HALF);
    Block::new(fit.scale, &fit.codes)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    let codes = centre::<32>(&unpack_five_bits(&block.codes), HALF as u8);
    scale_signed(s, &codes, block.scale.to_f32(), y);
}

impl Small for Q5_0 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let codes = two_five_bits(s, [&blocks[2 * i].codes, &blocks[2 * i + 1].codes]);
        centred_products(s, codes, HALF as u8, x)
    }
}

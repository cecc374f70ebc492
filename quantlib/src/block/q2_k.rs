//! Q2_K: 16 groups of 16 elements of 2 bits, with 4-bit scales and minima.
//!
//! ```text
//! scales: [u8; 16] | codes: [u8; 64] | scale: f16 | min: f16
//! element = scale · low nibble of scales[group] · code - min · high nibble of scales[group]
//! ```
//! Codes are laid out as [`pack_crumbs`] says.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::k_affine::{Groups, Header, decode_groups, weigh_groups};
use super::packing::{pack_crumbs, unpack_crumbs};
use super::search::{Deviation, Grid};
use super::weights::sum_squares;
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable, cast, cast_ref};

/// The largest code.
const TOP: i32 = 3;
/// The largest multiple of the scale and of the minimum.
const TOP_SCALE: u8 = 15;
/// The scales that are tried without importance.
const GRID: Grid = Grid {
    first: -0.5,
    step: 0.1,
    last: 15,
};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scales: [u8; 16],
    codes: [u8; 64],
    scale: F16,
    min: F16,
}

pub(super) struct Q2K;

impl BlockFormat for Q2K {
    const DTYPE: DType = DType::Q2K;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, |x, importance, block| {
            *block = match importance {
                None => encode_ref(x),
                Some(weights) => encode_weighted_ref(x, weights),
            };
        });
    }
}

impl Block {
    fn new(x: &[[f32; 16]; 16], groups: Groups<16, 16>, headers: [Header<16>; 2]) -> Self {
        let [scale, min] = headers;
        let scales = std::array::from_fn(|i| scale.multiples[i] | (min.multiples[i] << 4));
        let units = [scale.unit, min.unit];
        let codes = groups.recoded(x, units, &unpack_scales(&scales), TOP);
        Self {
            scales,
            codes: pack_crumbs(&cast(codes)),
            scale: scale.unit,
            min: min.unit,
        }
    }
}

fn unpack_scales(scales: &[u8; 16]) -> ([u8; 16], [u8; 16]) {
    (scales.map(|s| s & 15), scales.map(|s| s >> 4))
}

fn encode_ref(x: &[f32; 256]) -> Block {
    let weights = cast(x.map(f32::abs));
    let x = cast_ref(x);
    let groups = Groups::fit(x, &weights, TOP, GRID, Deviation::Absolute);
    let headers = groups.headers(TOP_SCALE);
    Block::new(x, groups, headers)
}

fn encode_weighted_ref(x: &[f32; 256], importance: &[f32; 256]) -> Block {
    let mean_square = sum_squares(x) / 256.0;
    let x = cast_ref(x);
    let weights = weigh_groups(x, cast_ref(importance), mean_square);
    let groups = Groups::fit(x, &weights, TOP, Grid::WEIGHTED, Deviation::Squared);
    let headers = groups.weighted_headers(&weights, i32::from(TOP_SCALE));
    Block::new(x, groups, headers)
}

fn decode_ref(block: &Block, y: &mut [f32; 256]) {
    let scales = unpack_scales(&block.scales);
    let codes = unpack_crumbs(&block.codes);
    decode_groups([block.scale, block.min], &scales, &codes, y);
}

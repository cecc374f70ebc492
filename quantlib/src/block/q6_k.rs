//! Q6_K: 16 groups of 16 elements of 6 bits, with signed 8-bit scales.
//!
//! ```text
//! low: [u8; 128] | high: [u8; 64] | scales: [i8; 16] | scale: f16
//! element = scale · scales[group] · (code - 32), code = 16 · high crumb + low nibble
//! ```
//! Of each 128 codes, those that are 64 apart share a byte of `low`, the first in the low nibble;
//! `high` is laid out as [`pack_crumbs`] says.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::k_symmetric::{decode_groups, fit_groups, recoded};
use super::number::{extreme, nearest_int};
use super::packing::{pack_crumbs, pack_nibbles, unpack_crumbs, unpack_nibbles};
use super::search::{ZERO_GROUP, fit_symmetric};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable, cast, cast_ref};
use std::array;

/// The code of zero.
const HALF: i32 = 32;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    low: [u8; 128],
    high: [u8; 64],
    scales: [i8; 16],
    scale: F16,
}

pub(super) struct Q6K;

impl BlockFormat for Q6K {
    const DTYPE: DType = DType::Q6K;
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

fn encode_ref(x: &[f32; 256]) -> Block {
    encode_weighted_ref(x, &x.map(|x| x * x))
}

fn encode_weighted_ref(x: &[f32; 256], weights: &[f32; 256]) -> Block {
    let (x, weights): (_, &[[f32; 16]; 16]) = (cast_ref(x), cast_ref(weights));
    let (fits, codes) = fit_groups(x, |i, x| fit_symmetric(x, &weights[i], HALF));
    let farthest = extreme(&fits);
    if farthest.abs() < ZERO_GROUP {
        return Block::zeroed();
    }
    let inverse = -128.0 / farthest;
    let scale = F16::from_f32(1.0 / inverse);
    let scales = fits.map(|scale| nearest_int(inverse * scale).min(127) as i8);
    let codes = cast(recoded(x, codes, scale, &scales, HALF));
    Block {
        low: pack_nibbles(&codes, 128),
        high: pack_crumbs(&codes.map(|code| code >> 4)),
        scales,
        scale,
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 256]) {
    let low: [u8; 256] = unpack_nibbles(&block.low, 128);
    let high = unpack_crumbs(&block.high);
    let codes: [u8; 256] = array::from_fn(|i| low[i] | (high[i] << 4));
    decode_groups(block.scale, &block.scales, &codes, HALF, y);
}

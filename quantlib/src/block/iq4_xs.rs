//! IQ4_XS: the table of IQ4_NL, with a 6-bit scale for each 32 of 256 elements.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::nonlinear::{fit_scale_ref, pack_nearest, unpack_values};
use super::number::{extreme, nearest_int, reciprocal};
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 8 groups of 32 elements: x = scale · (group scale - 32) · value(code).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// Upper 2 bits of the group scales, as a little-endian number, first group lowest.
    scales_high: [u8; 2],
    /// Lower 4 bits of the group scales, two to a byte.
    scales_low: [u8; 4],
    /// As in IQ4_NL, 16 bytes a group.
    codes: [[u8; 16]; 8],
}

pub(super) struct Iq4Xs;

impl BlockFormat for Iq4Xs {
    const DTYPE: DType = DType::Iq4Xs;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, encode_ref);
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 256]) {
    let scale = block.scale.to_f32();
    let high = u16::from_le_bytes(block.scales_high);
    let low: [u8; 8] = unpack_nibbles(&block.scales_low, 2);
    let (groups, _) = y.as_chunks_mut::<32>();
    for (g, y) in groups.iter_mut().enumerate() {
        let group_scale = i32::from(low[g]) | (i32::from((high >> (2 * g)) & 3) << 4);
        let scale = scale * (group_scale - 32) as f32;
        *y = unpack_values(&block.codes[g]).map(|v| scale * v);
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let sigma2 = sum_squares(x) * (2.0 / 256.0);
    let (x, _) = x.as_chunks::<32>();
    let importance = importance.map(|w| w.as_chunks().0);
    let scales: [f32; 8] = std::array::from_fn(|g| {
        let weights = weigh(&x[g], importance.map(|w| &w[g]), sigma2);
        fit_scale_ref(&x[g], &weights)
    });
    // The group scale furthest from zero becomes -32, the end with the larger magnitude.
    let scale = -extreme(&scales) / 32.0;
    let inverse = reciprocal(scale);
    block.scale = F16::from_f32(scale);
    let codes = scales.map(|s| (nearest_int(inverse * s).clamp(-32, 31) + 32) as u8);
    for (g, x) in x.iter().enumerate() {
        let scale = scale * (i32::from(codes[g]) - 32) as f32;
        block.codes[g] = pack_nearest(x, reciprocal(scale));
    }
    block.scales_low = pack_nibbles(&codes, 2);
    let high = codes.iter().rev().map(|code| u16::from(code >> 4));
    block.scales_high = high.fold(0, |high, code| (high << 2) | code).to_le_bytes();
}

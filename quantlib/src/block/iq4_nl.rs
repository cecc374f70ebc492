//! IQ4_NL: 32 elements of 4 bits in a table of 16 values, with one scale.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::nonlinear::{fit_scale_ref, pack_nearest, unpack_values};
use super::number::reciprocal;
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 32 elements: x = scale · value(code). Byte i has the codes of elements i (low) and i + 16 (high).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: [u8; 16],
}

pub(super) struct Iq4Nl;

impl BlockFormat for Iq4Nl {
    const DTYPE: DType = DType::Iq4Nl;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, encode_ref);
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 32]) {
    let scale = block.scale.to_f32();
    *y = unpack_values(&block.codes).map(|v| scale * v);
}

fn encode_ref(x: &[f32; 32], importance: Option<&[f32; 32]>, block: &mut Block) {
    let weights = weigh(x, importance, sum_squares(x) * (2.0 / 32.0));
    let scale = fit_scale_ref(x, &weights);
    block.scale = F16::from_f32(scale);
    block.codes = pack_nearest(x, reciprocal(scale));
}

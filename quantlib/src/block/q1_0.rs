//! Q1_0: the signs of 128 elements, with their mean magnitude as the scale.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};

use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 128 elements: x = scale where the bit is set, -scale elsewhere; the lowest bit is the first element.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    bits: [u8; 16],
}

pub(super) struct Q1_0;

impl BlockFormat for Q1_0 {
    const DTYPE: DType = DType::Q1_0;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    /// Importance changes nothing: scale and bits follow from the elements alone.
    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| encode_ref(x, block));
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 128]) {
    let scale = block.scale.to_f32();
    for (i, y) in y.iter_mut().enumerate() {
        let set = (block.bits[i / 8] >> (i % 8)) & 1 == 1;
        *y = if set { scale } else { -scale };
    }
}

fn encode_ref(x: &[f32; 128], block: &mut Block) {
    let sum = x.iter().fold(0.0, |sum, x| sum + x.abs());
    block.scale = F16::from_f32(sum / 128.0);
    block.bits = [0; 16];
    for (i, x) in x.iter().enumerate() {
        block.bits[i / 8] |= u8::from(*x >= 0.0) << (i % 8);
    }
}

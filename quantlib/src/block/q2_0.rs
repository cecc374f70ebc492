//! Q2_0: 64 elements of 2 bits (-1, 0, 1 or 2), with their largest magnitude as the scale.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::number::{max_abs, reciprocal, round};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 64 elements: x = scale · (code - 1); the lowest bits are the first element.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: [u8; 16],
}

pub(super) struct Q2_0;

impl BlockFormat for Q2_0 {
    const DTYPE: DType = DType::Q2_0;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| encode_ref(x, block));
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 64]) {
    let scale = block.scale.to_f32();
    for (i, y) in y.iter_mut().enumerate() {
        let code = (block.codes[i / 4] >> (2 * (i % 4))) & 3;
        *y = (f32::from(code) - 1.0) * scale;
    }
}

fn encode_ref(x: &[f32; 64], block: &mut Block) {
    let scale = max_abs(x);
    let inverse = reciprocal(scale);
    block.scale = F16::from_f32(scale);
    block.codes = [0; 16];
    for (i, x) in x.iter().enumerate() {
        let code = round(x * inverse).wrapping_add(1).clamp(0, 3);
        block.codes[i / 4] |= (code as u8) << (2 * (i % 4));
    }
}

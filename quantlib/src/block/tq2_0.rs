//! TQ2_0: 256 ternary elements, four to a byte, with their largest magnitude as the scale.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};

use super::packing::{pack_crumbs, unpack_crumbs};
use super::ternary::Scale;
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 256 elements: x = scale · (digit - 1). In each half, bits 2n of byte i are element i + 32 n.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    digits: [u8; 64],
    scale: F16,
}

pub(super) struct Tq2_0;

impl BlockFormat for Tq2_0 {
    const DTYPE: DType = DType::Tq2_0;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| encode_ref(x, block));
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 256]) {
    let scale = block.scale.to_f32();
    *y = unpack_crumbs(&block.digits).map(|digit| (f32::from(digit) - 1.0) * scale);
}

fn encode_ref(x: &[f32; 256], block: &mut Block) {
    let scale = Scale::of(x);
    block.scale = F16::from_f32(scale.value);
    block.digits = pack_crumbs(&x.map(|x| scale.digit(x)));
}

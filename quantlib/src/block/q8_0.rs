//! Q8_0: 32 elements of 8 bits with one scale. Importance changes nothing.
//!
//! ```text
//! scale: f16 | codes: [i8; 32]
//! element = scale · code
//! ```

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::number::{max_abs, reciprocal, round};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: [i8; 32],
}

pub(super) struct Q8_0;

impl BlockFormat for Q8_0 {
    const DTYPE: DType = DType::Q8_0;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| *block = encode_ref(x));
    }
}

fn encode_ref(x: &[f32; 32]) -> Block {
    let scale = max_abs(x) / 127.0;
    let inverse = reciprocal(scale);
    Block {
        scale: F16::from_f32(scale),
        codes: x.map(|x| round(x * inverse) as i8),
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 32]) {
    let scale = block.scale.to_f32();
    for (y, code) in y.iter_mut().zip(block.codes) {
        *y = f32::from(code) * scale;
    }
}

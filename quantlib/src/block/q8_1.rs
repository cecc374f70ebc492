//! Q8_1: 32 elements of 8 bits with one scale, and their sum: ggml's activations beside Q4_1 and its like.

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::number::{max_abs, reciprocal, round};
use crate::dtype::DType;
use crate::numeric::F16;
use bytemuck::{Pod, Zeroable};

/// 32 elements: x = scale · code.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// Sum of the codes, times the scale.
    sum: F16,
    codes: [i8; 32],
}

pub(super) struct Q8_1;

impl BlockFormat for Q8_1 {
    const DTYPE: DType = DType::Q8_1;
    type Block = Block;

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| encode_ref(x, block));
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 32]) {
    let scale = block.scale.to_f32();
    *y = block.codes.map(|code| scale * f32::from(code));
}

fn encode_ref(x: &[f32; 32], block: &mut Block) {
    let scale = max_abs(x) / 127.0;
    let inverse = reciprocal(scale);
    block.codes = x.map(|x| round(x * inverse) as i8);
    let sum: i32 = block.codes.iter().map(|code| i32::from(*code)).sum();
    block.scale = F16::from_f32(scale);
    block.sum = F16::from_f32(sum as f32 * scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ggml has no decoder to compare with.
    #[test]
    fn decodes_what_was_encoded() {
        let x = std::array::from_fn(|i| i as f32 * 0.5 - 8.0);
        let (mut block, mut y) = (Block::zeroed(), [0.0; 32]);
        encode_ref(&x, &mut block);
        decode_ref(&block, &mut y);
        let half_a_step = 8.0 / 127.0 / 2.0 + 1e-3;
        for (x, y) in x.iter().zip(y) {
            assert!((x - y).abs() < half_a_step, "{x} became {y}");
        }
        assert!((block.sum.to_f32() - -8.0).abs() < 0.5);
    }
}

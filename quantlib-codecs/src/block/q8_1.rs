//! Q8_1: 32 elements of 8 bits with one scale, and their sum: ggml's activations beside Q4_1 and its like.

use super::BlockFormat;
use super::elements::scale_signed;
use super::number::{map, max_abs, reciprocal, round};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::Sixteen;
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
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
        decode(s, block, y);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    #[inline(always)]
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        for (x, block) in rows.as_chunks().0.iter().zip(out) {
            encode_ref(x, block);
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    scale_signed(s, &block.codes, s.half_to_float(block.scale), y);
}

#[inline(always)]
fn encode_ref(x: &[f32; 32], block: &mut Block) {
    let scale = max_abs(x) / 127.0;
    let inverse = reciprocal(scale);
    block.codes = map(x, |x| round(x * inverse) as i8);
    let sum: i32 = block.codes.iter().map(|code| i32::from(*code)).sum();
    block.scale = F16::from_f32(scale);
    block.sum = F16::from_f32(sum as f32 * scale);
}

impl Block {
    /// The scale, the sum of the elements, and the codes.
    #[inline(always)]
    pub(super) fn parts(&self) -> (f32, f32, &[i8; 32]) {
        (self.scale.to_f32(), self.sum.to_f32(), &self.codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    /// ggml has no decoder to compare with.
    #[test]
    fn decodes_what_was_encoded() {
        let x = std::array::from_fn(|i| i as f32 * 0.5 - 8.0);
        let (mut block, mut y) = (Block::zeroed(), [0.0; 32]);
        encode_ref(&x, &mut block);
        decode(Portable, &block, &mut y);
        let half_a_step = 8.0 / 127.0 / 2.0 + 1e-3;
        for (x, y) in x.iter().zip(y) {
            assert!((x - y).abs() < half_a_step, "{x} became {y}");
        }
        assert!((block.sum.to_f32() - -8.0).abs() < 0.5);
    }
}

//! Q8_K: 256 elements of 8 bits with one f32 scale, and sums of 16: ggml's activations for the K-quants.

use super::BlockFormat;
use super::elements::scale_signed;
use super::number::{extreme, map, nearest_int};
use crate::dtype::DType;
use crate::simd::Sixteen;
use bytemuck::{Pod, Zeroable};

/// 256 elements: x = scale · code.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: [u8; 4],
    codes: [i8; 256],
    /// Sums of 16 codes each, as little-endian `i16`.
    sums: [[u8; 2]; 16],
}

pub(super) struct Q8K;

impl BlockFormat for Q8K {
    const DTYPE: DType = DType::Q8K;
    type Block = Block;
    type Elements = [f32; 256];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
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
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    scale_signed(s, &block.codes, f32::from_le_bytes(block.scale), y);
}

/// A block of zeros has zero sums here; ggml leaves its sums as the memory was.
#[inline(always)]
fn encode_ref(x: &[f32; 256], block: &mut Block) {
    *block = Block::zeroed();
    let max = extreme(x);
    if max == 0.0 {
        return;
    }
    let inverse = -127.0 / max;
    block.codes = map(x, |x| nearest_int(inverse * x).min(127) as i8);
    let (groups, _) = block.codes.as_chunks::<16>();
    for (codes, sum) in groups.iter().zip(&mut block.sums) {
        let total: i16 = codes.iter().map(|code| i16::from(*code)).sum();
        *sum = total.to_le_bytes();
    }
    block.scale = (1.0 / inverse).to_le_bytes();
}

impl Block {
    /// The scale, the codes, and the sums of 16 codes each.
    #[inline(always)]
    pub(super) fn parts(&self) -> (f32, &[i8; 256], [i16; 16]) {
        let sums = map(&self.sums, i16::from_le_bytes);
        (f32::from_le_bytes(self.scale), &self.codes, sums)
    }
}

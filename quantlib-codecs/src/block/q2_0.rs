//! Q2_0: 64 elements of 2 bits (-1, 0, 1 or 2), with their largest magnitude as the scale.

use super::BlockFormat;
use super::dot::{Small, centred_products};
use super::number::{fill, map, max_abs, reciprocal, round};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
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
    type Elements = [f32; 64];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 64]) {
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
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 64]) {
    let (scale, one) = (s.splat(s.half_to_float(block.scale)), s.splat(1.0));
    let words = block.codes.as_chunks::<4>().0.iter();
    for (word, y) in words.zip(y.as_chunks_mut().0) {
        let codes = s.widen_crumbs(u32::from_le_bytes(*word));
        s.store(s.mul(s.sub(codes, one), scale), y);
    }
}

#[inline(always)]
fn encode_ref(x: &[f32; 64], block: &mut Block) {
    let scale = max_abs(x);
    let inverse = reciprocal(scale);
    block.scale = F16::from_f32(scale);
    let codes = map(x, |x| round(x * inverse).wrapping_add(1).clamp(0, 3) as u8);
    for (byte, codes) in block.codes.iter_mut().zip(codes.as_chunks::<4>().0) {
        *byte = codes[0] | (codes[1] << 2) | (codes[2] << 4) | (codes[3] << 6);
    }
}

impl Small for Q2_0 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i / 2].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        centred_products(s, s.bytes(&blocks[i].codes()), 1, x)
    }
}

impl Block {
    #[inline(always)]
    fn codes(&self) -> [u8; 64] {
        fill(|i| (self.codes[i / 4] >> (2 * (i % 4))) & 3)
    }
}

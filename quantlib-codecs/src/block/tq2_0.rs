//! TQ2_0: 256 ternary elements, four to a byte, with their largest magnitude as the scale.

use super::BlockFormat;
use super::dot::{Super, SuperBlock, centred_products, crumbs};
use super::elements::{centre, scale_signed};
use super::number::map;

use super::packing::{pack_crumbs, unpack_crumbs};
use super::ternary::Scale;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
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
    let digits = centre(&unpack_crumbs(s, &block.digits), 1);
    scale_signed(s, &digits, s.half_to_float(block.scale), y);
}

#[inline(always)]
fn encode_ref(x: &[f32; 256], block: &mut Block) {
    let scale = Scale::of(x);
    block.scale = F16::from_f32(scale.value);
    block.digits = pack_crumbs(&map(x, |x| scale.digit(x)));
}

impl Super for Tq2_0 {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let digits = crumbs(s, &block.digits, i);
            let products = centred_products(s, digits, 1, s.bytes(x));
            integers = s.add_integers(integers, s.pairs(products));
        }
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

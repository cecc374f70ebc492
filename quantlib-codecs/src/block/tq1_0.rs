//! TQ1_0: 256 ternary elements, five to a byte, with their largest magnitude as the scale.

use super::BlockFormat;
use super::dot::{Super, SuperBlock, centred_products};
use super::elements::{centre, scale_signed};

use super::ternary::Scale;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// 256 elements: x = scale · (digit - 1).
///
/// A byte holds the fraction 0.abcde in base 3, scaled to 256 and rounded up, so that the digits
/// come out by multiplying by 3.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    /// Digit n of byte i is element i + 32 n.
    first: [u8; 32],
    /// Digit n of byte i is element 160 + i + 16 n.
    second: [u8; 16],
    /// Digit n of byte i is element 240 + i + 4 n; the fifth digit is 0.
    third: [u8; 4],
    scale: F16,
}

pub(super) struct Tq1_0;

impl BlockFormat for Tq1_0 {
    const DTYPE: DType = DType::Tq1_0;
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
    let digits = centre(&block.digits(), 1);
    scale_signed(s, &digits, s.half_to_float(block.scale), y);
}

impl Block {
    #[inline(always)]
    fn digits(&self) -> [u8; 256] {
        let mut digits = [0; 256];
        let (first, rest) = digits.split_at_mut(160);
        let (second, third) = rest.split_at_mut(80);
        unpack_digits(&self.first, first);
        unpack_digits(&self.second, second);
        unpack_digits(&self.third, third);
        digits
    }
}

/// The first digits of all bytes, then their second ones, until `digits` is full.
#[inline(always)]
fn unpack_digits<const N: usize>(bytes: &[u8; N], digits: &mut [u8]) {
    let mut fractions = *bytes;
    for digits in digits.as_chunks_mut::<N>().0 {
        for (digit, fraction) in digits.iter_mut().zip(&mut fractions) {
            *digit = ((u16::from(*fraction) * 3) >> 8) as u8;
            *fraction = fraction.wrapping_mul(3);
        }
    }
}

#[inline(always)]
fn encode_ref(x: &[f32; 256], block: &mut Block) {
    let scale = Scale::of(x);
    block.scale = F16::from_f32(scale.value);
    encode_part(&x[..160], &scale, &mut block.first);
    encode_part(&x[160..240], &scale, &mut block.second);
    encode_part(&x[240..], &scale, &mut block.third);
}

/// The reverse of [`unpack_digits`]; digits that `x` is too short for are 0.
#[inline(always)]
fn encode_part<const N: usize>(x: &[f32], scale: &Scale, bytes: &mut [u8; N]) {
    for (i, byte) in bytes.iter_mut().enumerate() {
        let digit = |n: usize| x.get(i + n * N).map_or(0, |x| scale.digit(*x));
        let number = (0..5).fold(0u32, |number, n| number * 3 + u32::from(digit(n)));
        *byte = (number * 256).div_ceil(243) as u8;
    }
}

impl Super for Tq1_0 {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let digits = block.digits();
        let mut integers = s.zero();
        for (digits, x) in digits.as_chunks().0.iter().zip(&x.codes) {
            let products = centred_products(s, s.bytes(digits), 1, s.bytes(x));
            integers = s.add_integers(integers, s.pairs(products));
        }
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

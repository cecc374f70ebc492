//! Codes of 64 elements at a time, for the layouts that formats share, and what their codes are
//! multiplied with. The layouts are those of `packing`.

use super::super::number::fill;
use super::super::packing::FiveBits;
use super::SuperBlock;
use crate::simd::SixtyFour;

/// Two blocks of 32 codes in nibbles, those 16 apart in a byte.
#[inline(always)]
pub(in crate::block) fn two_nibbles<S: SixtyFour>(s: S, [first, second]: [&[u8; 16]; 2]) -> S::B {
    let bytes = s.each_twice(first, second);
    s.and(s.shift_odd_nibbles(bytes), s.splat_byte(15))
}

/// Two blocks of 32 codes of 5 bits.
#[inline(always)]
pub(in crate::block) fn two_five_bits<S: SixtyFour>(s: S, [first, second]: [&FiveBits; 2]) -> S::B {
    let low = two_nibbles(s, [first.low(), second.low()]);
    let high = u64::from(first.high()) | (u64::from(second.high()) << 32);
    s.or(low, s.where_set(high, 16))
}

/// Codes `64 i` to `64 i + 63` of 256 in nibbles, those 32 apart in a byte.
#[inline(always)]
pub(in crate::block) fn nibbles<S: SixtyFour>(s: S, bytes: &[u8; 128], i: usize) -> S::B {
    let bytes = s.twice(&bytes.as_chunks().0[i]);
    s.and(s.shift_down(bytes, 0, 4), s.splat_byte(15))
}

/// Codes `64 i` to `64 i + 63` of 256 of two bits.
#[inline(always)]
pub(in crate::block) fn crumbs<S: SixtyFour>(s: S, bytes: &[u8; 64], i: usize) -> S::B {
    let bytes = s.twice(&bytes.as_chunks().0[i / 2]);
    let shift = i as u32 % 2 * 4;
    s.and(s.shift_down(bytes, shift, shift + 2), s.splat_byte(3))
}

/// Bits `64 i` to `64 i + 63` of 256, each as a byte.
#[inline(always)]
pub(in crate::block) fn bits<S: SixtyFour>(s: S, bytes: &[u8; 32], i: usize) -> S::B {
    let shift = 2 * i as u32;
    let bytes = s.shift_down(s.twice(bytes), shift, shift + 1);
    s.and(bytes, s.splat_byte(1))
}

/// Each of 8 numbers for 32 elements twice, for 16 elements.
#[inline(always)]
pub(in crate::block) fn twice(numbers: &[u8; 8]) -> [u8; 16] {
    fill(|i| numbers[i / 2])
}

/// Products of codes and of a vector, with codes that stand for as much less as `zero` says.
#[inline(always)]
pub(in crate::block) fn centred_products<S: SixtyFour>(
    s: S,
    codes: S::B,
    zero: u8,
    x: S::B,
) -> S::P {
    s.sub_products(s.dot(codes, x), s.dot(s.splat_byte(zero), x))
}

/// Sums of the products of a super-block, given the scale of each 16 elements, and the magnitudes
/// and signs of both eights of these.
#[inline(always)]
pub(in crate::block) fn dot_pairs<S: SixtyFour>(
    s: S,
    x: &SuperBlock,
    scales: &[i16; 16],
    eight: impl Fn(usize, usize) -> ([u8; 8], u8),
) -> S::I {
    let mut integers = s.zero();
    for (i, x) in x.codes.iter().enumerate() {
        let (mut magnitudes, mut signs) = ([[0; 8]; 8], [0; 8]);
        for k in 0..8 {
            (magnitudes[k], signs[k]) = eight(4 * i + k / 2, k % 2);
        }
        let x = s.negate_bytes(s.bytes(x), u64::from_le_bytes(signs));
        let products = s.dot(s.eights(&magnitudes), x);
        let scaled = s.scaled_quarters(products, &scales.as_chunks().0[i]);
        integers = s.add_integers(integers, scaled);
    }
    integers
}

/// [`dot_pairs`] with signed numbers.
#[inline(always)]
pub(in crate::block) fn dot_signed_pairs<S: SixtyFour>(
    s: S,
    x: &SuperBlock,
    scales: &[i16; 16],
    eight: impl Fn(usize, usize) -> [i8; 8],
) -> S::I {
    let mut integers = s.zero();
    for (i, x) in x.codes.iter().enumerate() {
        let mut eights = [[0; 8]; 8];
        for (k, values) in eights.iter_mut().enumerate() {
            *values = bytemuck::cast(eight(4 * i + k / 2, k % 2));
        }
        let products = s.dot_signed(s.eights(&eights), s.bytes(x));
        let scaled = s.scaled_quarters(products, &scales.as_chunks().0[i]);
        integers = s.add_integers(integers, scaled);
    }
    integers
}

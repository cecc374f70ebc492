//! MXFP4: 32 elements of E2M1 with a power of two as the scale (OCP microscaling).

use super::BlockFormat;
use super::dot::{Small, two_nibbles};
use super::elements::look_up;
use super::lanes::{self, LaneFormat, Tile};
use super::number::{fill, map, max_abs};
use super::packing::{pack_nibbles, two_sixteens, unpack_nibbles};
use super::parts::{Joinable, Scaled, Separable, floats};
use super::{fp4, number::truncate};
use crate::dtype::DType;
use crate::numeric::f8;
use crate::parts::Form;
use crate::simd::{Isa, Lanes, MAX_LANES, Narrow, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// 32 elements: x = 2^(exponent - 127) · value(code).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    exponent: u8,
    codes: [u8; 16],
}

pub(super) struct Mxfp4;

impl BlockFormat for Mxfp4 {
    const DTYPE: DType = DType::Mxfp4;
    type Block = Block;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
        decode(s, block, y);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        for (x, block) in rows.as_chunks().0.iter().zip(out) {
            encode_ref(x, block);
        }
    }

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        _importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode_unless_portable::<Self, 32>(isa, rows, cols, None, out);
    }
}

impl LaneFormat<32> for Mxfp4 {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Block]) {
        let maxima = lanes::max_magnitudes::<L, 32, 32>(l, &tile.x, 0);
        let exponents = exponents(&maxima);
        for (lane, block) in out.iter_mut().enumerate() {
            let (x, max) = (tile.x[lane], maxima[lane]);
            let exponent = exponents[lane];
            match fp4::codes_by_octaves(l.row(), x, max, half_scale(exponent)) {
                Some(codes) => {
                    let (halves, _) = codes.as_chunks();
                    block.exponent = exponent;
                    block.codes = l.row().nibbles(&halves[0], &halves[1]);
                }
                None => encode_ref(x, block),
            }
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    let codes = two_sixteens(s, &block.codes);
    look_up(s, &fp4::DOUBLED, &codes, half_scale(block.exponent), y);
}

fn encode_ref(x: &[f32; 32], block: &mut Block) {
    block.exponent = exponent(max_abs(x));
    block.codes = fp4::pack(x, half_scale(block.exponent));
}

/// 2^(exponent - 128). ggml gives the code 255 no special meaning.
#[inline(always)]
fn half_scale(exponent: u8) -> f32 {
    // A choice of two values, which vectorizes.
    let denormal = 0x0020_0000 << (exponent & 1);
    let normal = u32::from(exponent.wrapping_sub(1)) << 23;
    f32::from_bits(if exponent < 2 { denormal } else { normal })
}

/// Mantissas from here on may have a logarithm that rounds up to the next whole number: 1.98.
const NEAR_TWO: u32 = 0x007d_70a4;

/// The scale's code for the largest magnitude: two less than its binary exponent, so that it falls
/// between 4 and 8, of which the codes reach 6.
///
/// The logarithm is rounded to f32 before the floor, so that magnitudes just below a power of two
/// may take the next scale. Below 2^-125 the code wraps around.
#[inline(always)]
fn exponent(max: f32) -> u8 {
    if max == 0.0 {
        return 0;
    }
    if is_plain(max) {
        plain_exponent(max)
    } else {
        exponent_by_logarithm(max)
    }
}

/// Not inlined, lest the compiler calculate it for every lane.
#[cold]
#[inline(never)]
fn exponent_by_logarithm(max: f32) -> u8 {
    truncate((f64::from(max).log2() as f32).floor() - 2.0 + 127.0) as u8
}

/// Whether the logarithm's floor is the exponent.
#[inline(always)]
fn is_plain(max: f32) -> bool {
    max.is_normal() && max.to_bits() & 0x007f_ffff < NEAR_TWO
}

#[inline(always)]
fn plain_exponent(max: f32) -> u8 {
    ((max.to_bits() >> 23) as u8).wrapping_sub(2)
}

/// [`exponent`] of each, side by side.
#[inline(always)]
fn exponents(maxima: &[f32; MAX_LANES]) -> [u8; MAX_LANES] {
    let mut exponents = map(maxima, plain_exponent);
    for (exponent, max) in exponents.iter_mut().zip(maxima) {
        if !is_plain(*max) {
            *exponent = self::exponent(*max);
        }
    }
    exponents
}

impl Separable for Mxfp4 {
    const FORM: Form = floats(32, DType::F8E8M0);
    type Codes = [u8; 32];
    type Scales = [f32; 1];

    fn take_apart(block: &Block, codes: &mut [u8; 32]) -> Scaled<[f32; 1]> {
        *codes = unpack_nibbles(&block.codes, 32);
        Scaled {
            scales: [2.0 * half_scale(block.exponent)],
            zeros: [0.0],
        }
    }
}

impl Joinable for Mxfp4 {
    fn put_together(codes: &[u8; 32], scaled: &Scaled<[f32; 1]>) -> Block {
        Block {
            exponent: f8::to_e8m0(scaled.scales[0]),
            codes: pack_nibbles(codes, 32),
        }
    }
}

impl Small for Mxfp4 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.load(&fill(|i| half_scale(blocks[i].exponent)))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let codes = two_nibbles(s, [&blocks[2 * i].codes, &blocks[2 * i + 1].codes]);
        s.dot_signed(s.look_up_bytes(&fp4::DOUBLED, codes), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_is_a_power_of_two() {
        for code in 0..=255u8 {
            let want = (f64::from(code) - 128.0).exp2() as f32;
            assert_eq!(half_scale(code), want);
        }
    }

    #[test]
    fn exponents_round_the_logarithm_first() {
        assert_eq!(exponent(4.0), 127);
        assert_eq!(exponent(4.0f32.next_down()), 126);
        // 64 - 2^-18 has a logarithm of 6 - 8.6e-8, which rounds to 6.
        assert_eq!(exponent(64.0f32.next_down()), 131);
        assert_eq!(exponent(1e-40), 248);
    }
}

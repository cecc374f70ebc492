//! MXFP4: 32 elements of E2M1 with a power of two as the scale (OCP microscaling).

use super::BlockFormat;
use super::blocks::{decode_blocks, encode_blocks};
use super::number::max_abs;
use super::{fp4, number::truncate};
use crate::dtype::DType;
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

    fn decode(blocks: &[Block], out: &mut [f32]) {
        decode_blocks(blocks, out, decode_ref);
    }

    /// Importance changes nothing: the scale follows from the largest magnitude.
    fn encode(rows: &[f32], cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, None, out, |x, _, block| encode_ref(x, block));
    }
}

fn decode_ref(block: &Block, y: &mut [f32; 32]) {
    *y = fp4::unpack(&block.codes, half_scale(block.exponent));
}

fn encode_ref(x: &[f32; 32], block: &mut Block) {
    block.exponent = exponent(max_abs(x));
    block.codes = fp4::pack(x, half_scale(block.exponent));
}

/// 2^(exponent - 128). ggml gives the code 255 no special meaning.
fn half_scale(exponent: u8) -> f32 {
    let bits = match exponent {
        0 | 1 => 0x0020_0000 << exponent,
        _ => u32::from(exponent - 1) << 23,
    };
    f32::from_bits(bits)
}

/// The scale's code for the largest magnitude: two less than its binary exponent, so that it falls
/// between 4 and 8, of which the codes reach 6.
///
/// The logarithm is rounded to f32 before the floor, so that magnitudes just below a power of two
/// may take the next scale. Below 2^-125 the code wraps around.
fn exponent(max: f32) -> u8 {
    if max == 0.0 {
        return 0;
    }
    let log = f64::from(max).log2() as f32;
    truncate(log.floor() - 2.0 + 127.0) as u8
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

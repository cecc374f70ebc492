//! NVFP4: 64 elements of E2M1, with an unsigned E4M3 scale for each 16.

use super::BlockFormat;
use super::dot::Small;
use super::elements::look_up;
use super::fp4;
use super::lanes::{self, LaneFormat, Tile};
use super::number::{map, max_abs, truncate};
use super::packing::{pack_nibbles, unpack_nibbles};
use super::parts::{Joinable, Scaled, Separable, floats};
use crate::dtype::DType;
use crate::numeric::f8;
use crate::parts::Form;
use crate::simd::{Isa, Lanes, MAX_LANES, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast};

/// 4 groups of 16 elements: x = scale · value(code).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scales: [u8; 4],
    codes: [[u8; 8]; 4],
}

pub(super) struct Nvfp4;

impl BlockFormat for Nvfp4 {
    const DTYPE: DType = DType::Nvfp4;
    type Block = Block;
    type Elements = [f32; 64];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 64]) {
        decode(s, block, y);
    }

    /// Importance changes nothing: the scales follow from the largest magnitudes.
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
        lanes::encode_unless_portable::<Self, 64>(isa, rows, cols, None, out);
    }
}

impl LaneFormat<64> for Nvfp4 {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 64>, out: &mut [Block]) {
        let mut maxima = [[0.0; MAX_LANES]; 4];
        let mut scales = [[0; MAX_LANES]; 4];
        for g in 0..4 {
            maxima[g] = lanes::max_magnitudes::<L, 64, 16>(l, &tile.x, 16 * g);
            scales[g] = map(&maxima[g], |max| to_e4m3(max / 6.0));
        }
        for (lane, block) in out.iter_mut().enumerate() {
            for (g, x) in tile.x[lane].as_chunks::<16>().0.iter().enumerate() {
                let (max, scale) = (maxima[g][lane], scales[g][lane]);
                block.scales[g] = scale;
                block.codes[g] = match fp4::codes(l.row(), x, max, half_scale(scale)) {
                    Some(codes) => pack_nibbles(&codes, 16),
                    None => fp4::pack(x, half_scale(scale)),
                };
            }
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 64]) {
    let (groups, _) = y.as_chunks_mut::<16>();
    for ((y, codes), scale) in groups.iter_mut().zip(&block.codes).zip(block.scales) {
        let codes: [u8; 16] = unpack_nibbles(codes, 16);
        look_up(s, &fp4::DOUBLED, &codes, half_scale(scale), y);
    }
}

fn encode_ref(x: &[f32; 64], block: &mut Block) {
    let (groups, _) = x.as_chunks::<16>();
    for ((x, codes), scale) in groups.iter().zip(&mut block.codes).zip(&mut block.scales) {
        *scale = to_e4m3(max_abs(x) / 6.0);
        *codes = fp4::pack(x, half_scale(*scale));
    }
}

/// Half of an unsigned E4M3 number; the NaN code is 0. The eighth bit is ignored.
#[inline(always)]
fn half_scale(code: u8) -> f32 {
    HALF_SCALES[usize::from(code)]
}

static HALF_SCALES: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = half_scale_of(code as u8);
        code += 1;
    }
    table
};

const fn half_scale_of(code: u8) -> f32 {
    if code == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (((code >> 3) & 15) as u32, (code & 7) as u32);
    if exponent == 0 {
        return mantissa as f32 / 1024.0;
    }
    // The exponent's bias is 127 instead of 7, and one less halves the number.
    f32::from_bits(((exponent + 119) << 23) | (mantissa << 20))
}

/// The largest magnitude that E4M3 holds.
const E4M3_MAX: u8 = 0x7e;

/// A non-negative number as E4M3, rounded to nearest (ties up, in magnitude), at most 448; but
/// whatever has the exponent of 256 or more becomes 448, as ggml does.
#[inline(always)]
fn to_e4m3(x: f32) -> u8 {
    let bits = x.min(448.0).to_bits();
    let subnormal = truncate((x * 512.0 + 0.5).min(7.0));
    // Mantissa and exponent are adjacent, so that a mantissa that rounds up to 8 carries over. The
    // exponent's bias goes from 127 to 7.
    let normal = (bits >> 20) as i32 + ((bits >> 19) & 1) as i32 - (120 << 3);
    // Selections, which vectorize.
    let normal = if normal >= 15 * 8 {
        i32::from(E4M3_MAX)
    } else {
        normal
    };
    let code = if bits >> 23 > 120 { normal } else { subnormal };
    code as u8
}

impl Separable for Nvfp4 {
    const FORM: Form = floats(16, DType::F8E4M3);
    type Codes = [[u8; 16]; 4];
    type Scales = [f32; 4];

    fn take_apart(block: &Block, codes: &mut [[u8; 16]; 4]) -> Scaled<[f32; 4]> {
        *codes = map(&block.codes, |codes| unpack_nibbles(&codes, 16));
        Scaled {
            scales: map(&block.scales, |code| 2.0 * half_scale(code)),
            zeros: [0.0; 4],
        }
    }
}

impl Joinable for Nvfp4 {
    fn put_together(codes: &[[u8; 16]; 4], scaled: &Scaled<[f32; 4]>) -> Block {
        Block {
            scales: map(&scaled.scales, |scale| f8::to_e4m3(scale.abs())),
            codes: map(codes, |codes| pack_nibbles(&codes, 16)),
        }
    }
}

impl Small for Nvfp4 {
    /// They are for 16 elements: see `each_scale`.
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, _: &[Block]) -> S::F {
        s.splat(1.0)
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let codes: [u8; 64] = cast(map(&blocks[i].codes, |codes| {
            unpack_nibbles::<16, 8>(&codes, 16)
        }));
        s.dot_signed(s.look_up_bytes(&fp4::DOUBLED, s.bytes(&codes)), x)
    }

    #[inline(always)]
    fn each_scale<S: SixtyFour>(s: S, blocks: &[Block], i: usize, scales: &[f32; 2]) -> S::F {
        s.mul(s.four(&map(&blocks[i].scales, half_scale)), s.two(scales))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_survive_encoding() {
        for code in 0..120 {
            assert_eq!(to_e4m3(2.0 * half_scale(code)), code);
        }
        assert_eq!(to_e4m3(300.0), E4M3_MAX);
        assert_eq!(to_e4m3(1e9), E4M3_MAX);
        assert_eq!(to_e4m3(0.0), 0);
    }
}

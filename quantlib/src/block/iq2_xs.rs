//! IQ2_XS: 256 elements in eights from a codebook of 512, seven signs for eight, 4-bit scales for 16.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Lattice, Magnitudes, Refit, Tries, decode_pairs, even_signs, fit_magnitudes, magnitudes,
    quantize_scales,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::number::map;
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};
use std::sync::LazyLock;

/// 16 groups of 16 elements: x = scale · (group scale + ½) / 4 · ± magnitude.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// For each eight a little-endian number: the code in 9 bits, 7 signs above.
    codes_and_signs: [[[u8; 2]; 2]; 16],
    /// 4 bits a group, first group low.
    scales: [u8; 8],
}

pub(super) struct Iq2Xs;

impl BlockFormat for Iq2Xs {
    const DTYPE: DType = DType::Iq2Xs;
    const NEEDS_IMPORTANCE: bool = true;
    type Block = Block;
    type Elements = [f32; 256];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
        decode(s, block, y);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, encode_ref);
    }
}

static MAGNITUDES: [[u8; 8]; 512] = magnitudes(&codebook::IQ2_XS, &[8, 25, 43]);

static LATTICE: LazyLock<Lattice<8, 3>> = LazyLock::new(|| Lattice::new(&codebook::IQ2_XS, 2));

/// Groups whose largest magnitude is below this get scale 0.
const EPS: f32 = 1e-15;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let scales: [u8; 16] = unpack_nibbles(&block.scales, 2);
    let scale = |pair: usize| scale * (0.5 + f32::from(scales[pair])) * 0.25;
    decode_pairs(s, y, scale, |pair, k| block.eight(pair, k));
}

impl Super for Iq2Xs {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales: [u8; 16] = unpack_nibbles(&block.scales, 2);
        let scales = map(&scales, |scale| 2 * i16::from(scale) + 1);
        let integers = dot_pairs(s, x, &scales, |pair, k| block.eight(pair, k));
        x.add(s, sum, 0.125 * s.half_to_float(block.scale), integers)
    }
}

impl Block {
    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, pair: usize, k: usize) -> ([u8; 8], u8) {
        let code_and_signs = u16::from_le_bytes(self.codes_and_signs[pair][k]);
        let magnitudes = MAGNITUDES[usize::from(code_and_signs & 511)];
        (magnitudes, even_signs((code_and_signs >> 9) as u8))
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    *block = Block::zeroed();
    let sigma2 = sum_squares(x) / 256.0;
    let importance = importance.map(|w| w.as_chunks().0);
    let mut scales = [0.0; 16];
    for (g, x) in x.as_chunks::<16>().0.iter().enumerate() {
        let weights = bytemuck::cast(weigh(x, importance.map(|w| &w[g]), sigma2));
        let mut group = Magnitudes::<2>::with_even_signs(bytemuck::cast_ref(x), &weights);
        let max = group.max();
        if max < EPS {
            continue;
        }
        let tries = Tries {
            reach: max,
            steps: 9,
            step: 0.1,
            fallback: max / 5.0,
        };
        let fit = fit_magnitudes(&LATTICE, &group.x, &weights, tries, Refit::Inexact);
        scales[g] = group.absorb_sign(fit.scale);
        block.codes_and_signs[g] = std::array::from_fn(|k| {
            let signs = u16::from(group.signs[k]) << 9;
            (fit.codes[k] | signs).to_le_bytes()
        });
    }
    let Some((unit, scales)) = quantize_scales(&scales, 15) else {
        *block = Block::zeroed();
        return;
    };
    block.scale = F16::from_f32(unit);
    block.scales = pack_nibbles(&scales, 2);
}

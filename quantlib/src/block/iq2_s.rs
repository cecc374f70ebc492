//! IQ2_S: 256 elements in eights from a codebook of 1024, all signs, 4-bit scales for 16.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Lattice, Magnitudes, Refit, Tries, decode_pairs, fit_magnitudes, magnitudes,
    quantize_scales,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::number::map;
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh_important};
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
    /// Lower 8 bits of the codes, one for each eight.
    codes: [[u8; 2]; 16],
    signs: [[u8; 2]; 16],
    /// Upper 2 bits of the codes, four codes to a byte, first code lowest.
    high: [u8; 8],
    /// 4 bits a group, first group low.
    scales: [u8; 8],
}

pub(super) struct Iq2S;

impl BlockFormat for Iq2S {
    const DTYPE: DType = DType::Iq2S;
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

static MAGNITUDES: [[u8; 8]; 1024] = magnitudes(&codebook::IQ2_S, &[8, 25, 43]);

static LATTICE: LazyLock<Lattice<8, 3>> = LazyLock::new(|| Lattice::new(&codebook::IQ2_S, 1));

/// Groups whose largest magnitude is below this get scale 0.
const EPS: f32 = 1e-8;

/// Found to help: the stored scale is a little smaller than the one that was fitted.
const FACTOR: f32 = 0.9875;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let scales: [u8; 16] = unpack_nibbles(&block.scales, 2);
    let scale = |pair: usize| scale * (0.5 + f32::from(scales[pair])) * 0.25;
    decode_pairs(s, y, scale, |pair, k| block.eight(pair, k));
}

impl Super for Iq2S {
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
        let high = usize::from((self.high[pair / 2] >> (pair % 2 * 4 + 2 * k)) & 3);
        let magnitudes = MAGNITUDES[usize::from(self.codes[pair][k]) | (high << 8)];
        (magnitudes, self.signs[pair][k])
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    *block = Block::zeroed();
    let sigma2 = 2.0 * sum_squares(x) / 256.0;
    let importance = importance.map(|w| w.as_chunks().0);
    let mut scales = [0.0; 16];
    for (g, x) in x.as_chunks::<16>().0.iter().enumerate() {
        let weights = match importance {
            Some(w) => weigh_important(x, &w[g], sigma2),
            None => x.map(|x| 0.25 * sigma2 + x * x),
        };
        let mut group = Magnitudes::<2>::of(bytemuck::cast_ref(x));
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
        let weights = bytemuck::cast_ref(&weights);
        let fit = fit_magnitudes(&LATTICE, &group.x, weights, tries, Refit::Inexact);
        scales[g] = group.absorb_sign(fit.scale);
        block.signs[g] = group.signs;
        block.codes[g] = fit.codes.map(|code| code as u8);
        let high = fit.codes.map(|code| (code >> 8) as u8);
        block.high[g / 2] |= (high[0] | (high[1] << 2)) << (4 * (g % 2));
    }
    if let Some((unit, scales)) = quantize_scales(&scales, 15) {
        block.scale = F16::from_f32(unit * FACTOR);
        block.scales = pack_nibbles(&scales, 2);
    }
}

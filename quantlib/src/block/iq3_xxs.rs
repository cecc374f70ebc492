//! IQ3_XXS: 256 elements in fours from a codebook of 256, seven signs for eight, 4-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Lattice, Magnitudes, Refit, Tries, decode_pairs, fit_magnitudes, magnitudes,
    pack_signs_and_scale, quantize_scales, unpack_signs_and_scale,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::number::{fill, map};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};
use std::sync::LazyLock;

/// 8 groups of 32 elements: x = scale · (group scale + ½) / 2 · ± magnitude.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// 8 codes a group.
    codes: [[u8; 8]; 8],
    signs_and_scales: [[u8; 4]; 8],
}

pub(super) struct Iq3Xxs;

impl BlockFormat for Iq3Xxs {
    const DTYPE: DType = DType::Iq3Xxs;
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

static MAGNITUDES: [[u8; 4]; 256] =
    magnitudes(&codebook::IQ3_XXS, &[4, 12, 20, 28, 36, 44, 52, 62]);

static LATTICE: LazyLock<Lattice<4, 8>> = LazyLock::new(|| Lattice::new(&codebook::IQ3_XXS, 2));

/// Groups whose largest magnitude is below this get scale 0.
const EPS: f32 = 1e-8;

/// Found to help: the stored scale is a little larger than the one that was fitted.
const FACTOR: f32 = 1.0125;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let groups = map(&block.signs_and_scales, unpack_signs_and_scale);
    let scale = |pair: usize| scale * (0.5 + f32::from(groups[pair / 2].1)) * 0.5;
    decode_pairs(s, y, scale, |pair, k| block.eight(&groups, pair, k));
}

impl Super for Iq3Xxs {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let groups = map(&block.signs_and_scales, unpack_signs_and_scale);
        let scales = fill(|pair| 2 * i16::from(groups[pair / 2].1) + 1);
        let integers = dot_pairs(s, x, &scales, |pair, k| block.eight(&groups, pair, k));
        x.add(s, sum, 0.25 * s.half_to_float(block.scale), integers)
    }
}

impl Block {
    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, groups: &[([u8; 4], u8); 8], pair: usize, k: usize) -> ([u8; 8], u8) {
        let (g, k) = (pair / 2, pair % 2 * 2 + k);
        let codes = [self.codes[g][2 * k], self.codes[g][2 * k + 1]];
        let magnitudes = map(&codes, |code| MAGNITUDES[usize::from(code)]);
        (bytemuck::cast(magnitudes), groups[g].0[k])
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    *block = Block::zeroed();
    let sigma2 = 2.0 * sum_squares(x) / 256.0;
    let importance = importance.map(|w| w.as_chunks().0);
    let mut scales = [0.0; 8];
    let mut signs = [[0; 4]; 8];
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let weights = weigh(x, importance.map(|w| &w[g]), sigma2);
        let x = bytemuck::cast_ref(x);
        let mut group = Magnitudes::with_even_signs(x, bytemuck::cast_ref(&weights));
        let max = group.max();
        if max < EPS {
            continue;
        }
        let tries = Tries {
            reach: max,
            steps: 15,
            step: 0.2,
            fallback: max / 15.0,
        };
        let x = bytemuck::cast_ref(&group.x);
        let weights = bytemuck::cast_ref(&weights);
        let fit = fit_magnitudes(&LATTICE, x, weights, tries, Refit::Inexact);
        block.codes[g] = fit.codes.map(|code| code as u8);
        scales[g] = group.absorb_sign(fit.scale);
        signs[g] = group.signs;
    }
    let Some((unit, scales)) = quantize_scales(&scales, 15) else {
        *block = Block::zeroed();
        return;
    };
    block.scale = F16::from_f32(unit * FACTOR);
    for (g, packed) in block.signs_and_scales.iter_mut().enumerate() {
        *packed = pack_signs_and_scale(&signs[g], scales[g]);
    }
}

//! IQ2_XXS: 256 elements in eights from a codebook of 256, seven signs for eight, 4-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Lattice, Magnitudes, Refit, Tries, decode_pairs, fit_magnitudes, magnitudes,
    pack_signs_and_scale, quantize_scales, unpack_signs_and_scale,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::number::{fill, map};
use super::search::fit_positive;
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};
use std::sync::LazyLock;

/// 8 groups of 32 elements: x = scale · (group scale + ½) / 4 · ± magnitude.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    groups: [Group; 8],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Group {
    codes: [u8; 4],
    signs_and_scale: [u8; 4],
}

pub(super) struct Iq2Xxs;

impl BlockFormat for Iq2Xxs {
    const DTYPE: DType = DType::Iq2Xxs;
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

static MAGNITUDES: [[u8; 8]; 256] = magnitudes(&codebook::IQ2_XXS, &[8, 25, 43]);

static LATTICE: LazyLock<Lattice<8, 3>> = LazyLock::new(|| Lattice::new(&codebook::IQ2_XXS, 2));

/// Groups whose largest magnitude is below this get scale 0.
const EPS: f32 = 1e-15;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let groups = block.signs_and_scales();
    let scale = |pair: usize| scale * (0.5 + f32::from(groups[pair / 2].1)) * 0.25;
    decode_pairs(s, y, scale, |pair, k| block.eight(&groups, pair, k));
}

impl Super for Iq2Xxs {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let groups = block.signs_and_scales();
        let scales = fill(|pair| 2 * i16::from(groups[pair / 2].1) + 1);
        let integers = dot_pairs(s, x, &scales, |pair, k| block.eight(&groups, pair, k));
        x.add(s, sum, 0.125 * s.half_to_float(block.scale), integers)
    }
}

impl Block {
    #[inline(always)]
    fn signs_and_scales(&self) -> [([u8; 4], u8); 8] {
        map(&self.groups, |group| {
            unpack_signs_and_scale(group.signs_and_scale)
        })
    }

    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, groups: &[([u8; 4], u8); 8], pair: usize, k: usize) -> ([u8; 8], u8) {
        let (g, k) = (pair / 2, pair % 2 * 2 + k);
        let code = self.groups[g].codes[k];
        (MAGNITUDES[usize::from(code)], groups[g].0[k])
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    *block = Block::zeroed();
    let sigma2 = sum_squares(x) / 256.0;
    let importance = importance.map(|w| w.as_chunks().0);
    let mut scales = [0.0; 8];
    let mut signs = [[0; 4]; 8];
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let weights = weigh(x, importance.map(|w| &w[g]), sigma2);
        let eights = bytemuck::cast_ref(&weights);
        let mut group = Magnitudes::<4>::with_even_signs(bytemuck::cast_ref(x), eights);
        if group.max() < EPS {
            continue;
        }
        // The scale of a uniform quantizer with 5 levels tells where to search.
        let uniform = fit_positive(bytemuck::cast_ref(&group.x), &weights, 4).scale;
        let reach = uniform * 3.0;
        if reach <= 0.0 {
            continue;
        }
        let tries = Tries {
            reach,
            steps: 6,
            step: 0.1,
            fallback: uniform,
        };
        let fit = fit_magnitudes(&LATTICE, &group.x, eights, tries, Refit::Always);
        block.groups[g].codes = fit.codes.map(|code| code as u8);
        scales[g] = group.absorb_sign(fit.scale);
        signs[g] = group.signs;
    }
    let Some((unit, scales)) = quantize_scales(&scales, 15) else {
        *block = Block::zeroed();
        return;
    };
    block.scale = F16::from_f32(unit);
    for (g, group) in block.groups.iter_mut().enumerate() {
        group.signs_and_scale = pack_signs_and_scale(&signs[g], scales[g]);
    }
}

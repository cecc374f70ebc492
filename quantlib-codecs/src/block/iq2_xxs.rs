//! IQ2_XXS: 256 elements in eights from a codebook of 256, seven signs for eight, 4-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Aim, Codebook, Fit, Groups, Magnitudes, Method, Refit, decode_pairs, magnitudes,
    pack_signs_and_scale, quantize_scales, unpack_signs_and_scale,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::lanes::{self, LaneFormat, Tile};
use super::number::{fill, map};
use super::search::fit_positive;
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
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

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode::<Self, 256>(isa, rows, cols, importance, out);
    }
}

static MAGNITUDES: [[u8; 8]; 256] = magnitudes(&codebook::IQ2_XXS, &[8, 25, 43]);

static BOOK: LazyLock<Codebook<8, 3, 2>> = LazyLock::new(|| Codebook::new(&codebook::IQ2_XXS, 2));

const METHOD: Method = Method {
    steps: 6,
    step: 0.1,
    refit: Refit::Always,
};

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
    fn new(groups: &Groups<32, 4, 8>, fits: &[Option<Fit<4>>; 8]) -> Self {
        let mut block = Self::zeroed();
        let mut scales = [0.0; 8];
        let mut signs = [[0; 4]; 8];
        for (g, fit) in fits.iter().enumerate() {
            let Some(fit) = fit else { continue };
            (scales[g], signs[g]) = groups.magnitudes[g].absorb_sign(fit.scale);
            block.groups[g].codes = map(&fit.codes, |code| code as u8);
        }
        let Some((unit, scales)) = quantize_scales(&scales, 15) else {
            return Self::zeroed();
        };
        block.scale = F16::from_f32(unit);
        for (g, group) in block.groups.iter_mut().enumerate() {
            group.signs_and_scale = pack_signs_and_scale(&signs[g], scales[g]);
        }
        block
    }

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

/// The groups of a block whose squares add up to `squares`.
#[inline(always)]
fn prepare(x: &[f32; 256], importance: Option<&[f32; 256]>, squares: f32) -> Groups<32, 4, 8> {
    let sigma2 = squares / 256.0;
    let mut groups = Groups::new();
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let importance = importance.map(|w| &w.as_chunks().0[g]);
        let weights = weigh(x, importance, sigma2);
        let (x, eights) = (bytemuck::cast_ref(x), bytemuck::cast_ref(&weights));
        groups.magnitudes[g] = Magnitudes::with_even_signs(x, eights);
        groups.weights[g] = weights;
    }
    groups
}

/// Aims with the scales of uniform quantizers of 5 levels.
#[inline(always)]
fn aim(groups: &mut Groups<32, 4, 8>, uniform: &[f32; 8]) {
    for (g, uniform) in uniform.iter().enumerate() {
        let reach = uniform * 3.0;
        let searched = groups.magnitudes[g].max() >= EPS && reach > 0.0;
        groups.aims[g] = searched.then_some(Aim {
            reach,
            fallback: *uniform,
        });
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let mut groups = prepare(x, importance, sum_squares(x));
    let mut uniform = [0.0; 8];
    for (g, uniform) in uniform.iter_mut().enumerate() {
        *uniform = fit_positive(groups.x(g), &groups.weights[g], 4).scale;
    }
    aim(&mut groups, &uniform);
    let fits = groups.fit_ref(&BOOK.lattice, METHOD);
    *block = Block::new(&groups, &fits);
}

impl LaneFormat<256> for Iq2Xxs {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let squares = lanes::squares_of_blocks(l, tile);
        let mut search = lanes::Search::new(l.single(), &BOOK, METHOD);
        for (lane, block) in out.iter_mut().enumerate() {
            let importance = tile.importance.map(|w| w[lane]);
            let mut groups = prepare(tile.x[lane], importance, squares[lane]);
            let uniform = lanes::uniform_scales(l.single(), &groups);
            aim(&mut groups, &uniform);
            *block = Block::new(&groups, &search.fit(&groups));
        }
    }
}

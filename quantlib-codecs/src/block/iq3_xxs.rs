//! IQ3_XXS: 256 elements in fours from a codebook of 256, seven signs for eight, 4-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Aim, Codebook, Fit, Groups, Magnitudes, Method, Refit, decode_pairs, magnitudes,
    pack_signs_and_scale, quantize_scales, unpack_signs_and_scale,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::lanes::{self, LaneFormat, Tile};
use super::number::{fill, map};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
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

static MAGNITUDES: [[u8; 4]; 256] =
    magnitudes(&codebook::IQ3_XXS, &[4, 12, 20, 28, 36, 44, 52, 62]);

static BOOK: LazyLock<Codebook<4, 8, 1>> = LazyLock::new(|| Codebook::new(&codebook::IQ3_XXS, 2));

const METHOD: Method = Method {
    steps: 15,
    step: 0.2,
    refit: Refit::Inexact,
};

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
    #[inline(always)]
    fn new(groups: &Groups<32, 4, 8>, fits: &[Option<Fit<8>>; 8]) -> Self {
        let mut block = Self::zeroed();
        let mut scales = [0.0; 8];
        let mut signs = [[0; 4]; 8];
        for (g, fit) in fits.iter().enumerate() {
            let Some(fit) = fit else { continue };
            (scales[g], signs[g]) = groups.magnitudes[g].absorb_sign(fit.scale);
            block.codes[g] = map(&fit.codes, |code| code as u8);
        }
        let Some((unit, scales)) = quantize_scales(&scales, 15) else {
            return Self::zeroed();
        };
        block.scale = F16::from_f32(unit * FACTOR);
        for (g, packed) in block.signs_and_scales.iter_mut().enumerate() {
            *packed = pack_signs_and_scale(&signs[g], scales[g]);
        }
        block
    }

    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, groups: &[([u8; 4], u8); 8], pair: usize, k: usize) -> ([u8; 8], u8) {
        let (g, k) = (pair / 2, pair % 2 * 2 + k);
        let codes = [self.codes[g][2 * k], self.codes[g][2 * k + 1]];
        let magnitudes = map(&codes, |code| MAGNITUDES[usize::from(code)]);
        (bytemuck::cast(magnitudes), groups[g].0[k])
    }
}

/// The groups of a block whose squares add up to `squares`.
#[inline(always)]
fn prepare(x: &[f32; 256], importance: Option<&[f32; 256]>, squares: f32) -> Groups<32, 4, 8> {
    let sigma2 = 2.0 * squares / 256.0;
    let mut groups = Groups::new();
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let importance = importance.map(|w| &w.as_chunks().0[g]);
        let weights = weigh(x, importance, sigma2);
        let (x, eights) = (bytemuck::cast_ref(x), bytemuck::cast_ref(&weights));
        groups.magnitudes[g] = Magnitudes::with_even_signs(x, eights);
        groups.weights[g] = weights;
        let max = groups.magnitudes[g].max();
        groups.aims[g] = (max >= EPS).then_some(Aim {
            reach: max,
            fallback: max / 15.0,
        });
    }
    groups
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let groups = prepare(x, importance, sum_squares(x));
    let fits = groups.fit_ref(&BOOK.lattice, METHOD);
    *block = Block::new(&groups, &fits);
}

impl LaneFormat<256> for Iq3Xxs {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let squares = lanes::squares_of_blocks(l, tile);
        let mut search = lanes::Search::new(l.single(), &BOOK, METHOD);
        for (lane, block) in out.iter_mut().enumerate() {
            let importance = tile.importance.map(|w| w[lane]);
            let groups = prepare(tile.x[lane], importance, squares[lane]);
            *block = Block::new(&groups, &search.fit(&groups));
        }
    }
}

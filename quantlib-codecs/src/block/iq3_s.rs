//! IQ3_S: 256 elements in fours from a codebook of 512, all signs, 4-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Aim, Codebook, Fit, Groups, Magnitudes, Method, Refit, decode_pairs, magnitudes,
    quantize_scales,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::lanes::{self, LaneFormat, Tile};
use super::number::{fill, map};
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};
use std::sync::LazyLock;

/// 8 groups of 32 elements: x = scale · (2 · group scale + 1) · ± magnitude.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// Lower 8 bits of the codes, 8 codes a group.
    codes: [[u8; 8]; 8],
    /// Ninth bits of the codes, first code lowest.
    high: [u8; 8],
    signs: [[u8; 4]; 8],
    /// 4 bits a group, first group low.
    scales: [u8; 4],
}

pub(super) struct Iq3S;

impl BlockFormat for Iq3S {
    const DTYPE: DType = DType::Iq3S;
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

static MAGNITUDES: [[u8; 4]; 512] = magnitudes(&codebook::IQ3_S, &[1, 3, 5, 7, 9, 11, 13, 15]);

static BOOK: LazyLock<Codebook<4, 8, 1>> = LazyLock::new(|| Codebook::new(&codebook::IQ3_S, 3));

const METHOD: Method = Method {
    steps: 9,
    step: 0.2,
    refit: Refit::IfAnyInexact,
};

/// Found to help: the stored scale is a little larger than the one that was fitted.
const FACTOR: f32 = 1.033;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let scales: [u8; 8] = unpack_nibbles(&block.scales, 2);
    let scale = |pair: usize| scale * f32::from(1 + 2 * scales[pair / 2]);
    decode_pairs(s, y, scale, |pair, k| block.eight(pair, k));
}

impl Super for Iq3S {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales: [u8; 8] = unpack_nibbles(&block.scales, 2);
        let scales = fill(|pair| 2 * i16::from(scales[pair / 2]) + 1);
        let integers = dot_pairs(s, x, &scales, |pair, k| block.eight(pair, k));
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

impl Block {
    /// A group of zeros writes neither codes nor signs, and the following groups' move up into its
    /// place, as in ggml; only their ninth bits stay where decoders look for them.
    #[inline(always)]
    fn new(groups: &Groups<32, 4, 8>, fits: &[Option<Fit<8>>; 8]) -> Self {
        let mut block = Self::zeroed();
        let mut scales = [0.0; 8];
        let mut place = 0;
        for (g, fit) in fits.iter().enumerate() {
            let Some(fit) = fit else { continue };
            (scales[g], block.signs[place]) = groups.magnitudes[g].absorb_sign(fit.scale);
            for (k, code) in fit.codes.iter().enumerate() {
                block.codes[place][k] = *code as u8;
                block.high[g] |= ((code >> 8) as u8) << k;
            }
            place += 1;
        }
        if let Some((unit, scales)) = quantize_scales(&scales, 15) {
            block.scale = F16::from_f32(unit * FACTOR);
            block.scales = pack_nibbles(&scales, 2);
        }
        block
    }

    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, pair: usize, k: usize) -> ([u8; 8], u8) {
        let (g, k) = (pair / 2, pair % 2 * 2 + k);
        let magnitudes = map(&[2 * k, 2 * k + 1], |k| {
            let high = usize::from((self.high[g] >> k) & 1);
            MAGNITUDES[usize::from(self.codes[g][k]) | (high << 8)]
        });
        (bytemuck::cast(magnitudes), self.signs[g][k])
    }
}
/// The groups of a block whose squares add up to `squares`.
#[inline(always)]
fn prepare(x: &[f32; 256], importance: Option<&[f32; 256]>, squares: f32) -> Groups<32, 4, 8> {
    let sigma2 = 2.0 * squares / 256.0;
    let mut groups = Groups::new();
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let importance = importance.map(|w| &w.as_chunks().0[g]);
        groups.weights[g] = weigh(x, importance, sigma2);
        groups.magnitudes[g] = Magnitudes::of(bytemuck::cast_ref(x));
        let max = groups.magnitudes[g].max();
        groups.aims[g] = (max != 0.0).then_some(Aim {
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

impl LaneFormat<256> for Iq3S {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let squares = lanes::squares_of_blocks(l, tile);
        let mut search = lanes::Search::new(l.single(), &BOOK, METHOD);
        for (lane, block) in out.iter_mut().enumerate() {
            let importance = tile.importance.map(|w| w[lane]);
            let groups = prepare(tile.x[lane], importance, squares[lane]);
            let fits = search.fit(&groups);
            *block = Block::new(&groups, &fits);
        }
    }
}

//! IQ2_S: 256 elements in eights from a codebook of 1024, all signs, 4-bit scales for 16.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Aim, Codebook, Fit, Groups, Magnitudes, Method, Refit, decode_pairs, magnitudes,
    quantize_scales,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::lanes::{self, LaneFormat, Tile};
use super::number::map;
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh_important};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
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

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode_unless_portable::<Self, 256>(isa, rows, cols, importance, out);
    }
}

static MAGNITUDES: [[u8; 8]; 1024] = magnitudes(&codebook::IQ2_S, &[8, 25, 43]);

static BOOK: LazyLock<Codebook<8, 3, 2>> = LazyLock::new(|| Codebook::new(&codebook::IQ2_S, 1));

const METHOD: Method = Method {
    steps: 9,
    step: 0.1,
    refit: Refit::Inexact,
};

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
    #[inline(always)]
    fn new(groups: &Groups<16, 2, 16>, fits: &[Option<Fit<2>>; 16]) -> Self {
        let mut block = Self::zeroed();
        let mut scales = [0.0; 16];
        for (g, fit) in fits.iter().enumerate() {
            let Some(fit) = fit else { continue };
            (scales[g], block.signs[g]) = groups.magnitudes[g].absorb_sign(fit.scale);
            block.codes[g] = map(&fit.codes, |code| code as u8);
            let high = map(&fit.codes, |code| (code >> 8) as u8);
            block.high[g / 2] |= (high[0] | (high[1] << 2)) << (4 * (g % 2));
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
        let high = usize::from((self.high[pair / 2] >> (pair % 2 * 4 + 2 * k)) & 3);
        let magnitudes = MAGNITUDES[usize::from(self.codes[pair][k]) | (high << 8)];
        (magnitudes, self.signs[pair][k])
    }
}

/// The groups of a block whose squares add up to `squares`.
#[inline(always)]
fn prepare(x: &[f32; 256], importance: Option<&[f32; 256]>, squares: f32) -> Groups<16, 2, 16> {
    let sigma2 = 2.0 * squares / 256.0;
    let mut groups = Groups::new();
    for (g, x) in x.as_chunks::<16>().0.iter().enumerate() {
        groups.weights[g] = match importance {
            Some(w) => weigh_important(x, &w.as_chunks().0[g], sigma2),
            None => map(x, |x| 0.25 * sigma2 + x * x),
        };
        groups.magnitudes[g] = Magnitudes::of(bytemuck::cast_ref(x));
        let max = groups.magnitudes[g].max();
        groups.aims[g] = (max >= EPS).then_some(Aim {
            reach: max,
            fallback: max / 5.0,
        });
    }
    groups
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let groups = prepare(x, importance, sum_squares(x));
    let fits = groups.fit_ref(&BOOK.lattice, METHOD);
    *block = Block::new(&groups, &fits);
}

impl LaneFormat<256> for Iq2S {
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

//! IQ2_XS: 256 elements in eights from a codebook of 512, seven signs for eight, 4-bit scales for 16.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::{
    self, Aim, Codebook, Fit, Groups, Magnitudes, Method, Refit, decode_pairs, even_signs,
    magnitudes, quantize_scales,
};
use super::dot::{Super, SuperBlock, dot_pairs};
use super::lanes::{self, LaneFormat, Tile};
use super::number::map;
use super::packing::{pack_nibbles, unpack_nibbles};
use super::weights::{sum_squares, weigh};
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

static MAGNITUDES: [[u8; 8]; 512] = magnitudes(&codebook::IQ2_XS, &[8, 25, 43]);

static BOOK: LazyLock<Codebook<8, 3, 2>> = LazyLock::new(|| Codebook::new(&codebook::IQ2_XS, 2));

const METHOD: Method = Method {
    steps: 9,
    step: 0.1,
    refit: Refit::Inexact,
};

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
    #[inline(always)]
    fn new(groups: &Groups<16, 2, 16>, fits: &[Option<Fit<2>>; 16]) -> Self {
        let mut block = Self::zeroed();
        let mut scales = [0.0; 16];
        for (g, fit) in fits.iter().enumerate() {
            let Some(fit) = fit else { continue };
            let (scale, signs) = groups.magnitudes[g].absorb_sign(fit.scale);
            scales[g] = scale;
            for k in 0..2 {
                let signs = u16::from(signs[k]) << 9;
                block.codes_and_signs[g][k] = (fit.codes[k] | signs).to_le_bytes();
            }
        }
        let Some((unit, scales)) = quantize_scales(&scales, 15) else {
            return Self::zeroed();
        };
        block.scale = F16::from_f32(unit);
        block.scales = pack_nibbles(&scales, 2);
        block
    }

    /// The magnitudes and signs of eight `k` of a pair.
    #[inline(always)]
    fn eight(&self, pair: usize, k: usize) -> ([u8; 8], u8) {
        let code_and_signs = u16::from_le_bytes(self.codes_and_signs[pair][k]);
        let magnitudes = MAGNITUDES[usize::from(code_and_signs & 511)];
        (magnitudes, even_signs((code_and_signs >> 9) as u8))
    }
}

/// The groups of a block whose squares add up to `squares`.
#[inline(always)]
fn prepare(x: &[f32; 256], importance: Option<&[f32; 256]>, squares: f32) -> Groups<16, 2, 16> {
    let sigma2 = squares / 256.0;
    let mut groups = Groups::new();
    for (g, x) in x.as_chunks::<16>().0.iter().enumerate() {
        let importance = importance.map(|w| &w.as_chunks().0[g]);
        let weights = weigh(x, importance, sigma2);
        let (x, eights) = (bytemuck::cast_ref(x), bytemuck::cast_ref(&weights));
        groups.magnitudes[g] = Magnitudes::with_even_signs(x, eights);
        groups.weights[g] = weights;
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

impl LaneFormat<256> for Iq2Xs {
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

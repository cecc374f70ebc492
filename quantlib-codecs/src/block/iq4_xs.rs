//! IQ4_XS: the table of IQ4_NL, with a 6-bit scale for each 32 of 256 elements.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, two_nibbles};
use super::elements::look_up;
use super::lanes::{self, LaneFormat, PerLane, Tile};
use super::nonlinear::{VALUES, fit_scale_ref, pack_nearest};
use super::number::{extreme, fill, map, nearest_int, reciprocal};
use super::packing::{two_sixteens, unpack_nibbles};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// What the sum of squares is multiplied with for the weights.
const SIGMA2: f32 = 2.0 / 256.0;

/// 8 groups of 32 elements: x = scale · (group scale - 32) · value(code).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// Upper 2 bits of the group scales, as a little-endian number, first group lowest.
    scales_high: [u8; 2],
    /// Lower 4 bits of the group scales, two to a byte.
    scales_low: [u8; 4],
    /// As in IQ4_NL, 16 bytes a group.
    codes: [[u8; 16]; 8],
}

pub(super) struct Iq4Xs;

impl BlockFormat for Iq4Xs {
    const DTYPE: DType = DType::Iq4Xs;
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

impl LaneFormat<256> for Iq4Xs {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let mut x = [[l.splat(0.0); 32]; 8];
        for (g, x) in x.iter_mut().enumerate() {
            *x = l.load(&tile.x, g * 32);
        }
        let sigma2 = lanes::sigma2(l, &x, SIGMA2);
        let mut scales = [l.splat(0.0); 8];
        for g in 0..8 {
            let weights = match &tile.importance {
                None => lanes::weigh(l, &x[g], None, sigma2),
                Some(w) => lanes::weigh(l, &x[g], Some(&l.load(w, g * 32)), sigma2),
            };
            scales[g] = lanes::fit_scale(l, &x[g], &weights);
        }
        let scales = PerLane::of(l, &scales);
        for (lane, block) in out.iter_mut().enumerate() {
            *block = Block::new(l.row(), tile.x[lane], &scales.lane(lane));
        }
    }
}

impl Block {
    #[inline(always)]
    fn new<S: Narrow>(s: S, x: &[f32; 256], scales: &[f32; 8]) -> Self {
        let (x, _) = x.as_chunks::<32>();
        // The group scale furthest from zero becomes -32, the end with the larger magnitude.
        let scale = -extreme(scales) / 32.0;
        let inverse = reciprocal(scale);
        let codes = map(scales, |s| {
            (nearest_int(inverse * s).clamp(-32, 31) + 32) as u8
        });
        let high = codes.iter().rev().map(|code| u16::from(code >> 4));
        let mut block = Self {
            scale: F16::from_f32(scale),
            scales_high: high.fold(0, |high, code| (high << 2) | code).to_le_bytes(),
            scales_low: fill(|i| (codes[2 * i] & 15) | (codes[2 * i + 1] << 4)),
            codes: [[0; 16]; 8],
        };
        for (g, x) in x.iter().enumerate() {
            let scale = scale * (i32::from(codes[g]) - 32) as f32;
            block.codes[g] = pack_nearest(s, x, reciprocal(scale));
        }
        block
    }
}

impl Block {
    #[inline(always)]
    fn group_scales(&self) -> [i16; 8] {
        let high = u16::from_le_bytes(self.scales_high);
        let low: [u8; 8] = unpack_nibbles(&self.scales_low, 2);
        fill(|g| (i16::from(low[g]) | (((high >> (2 * g)) & 3) << 4) as i16) - 32)
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    let scales = block.group_scales();
    let (groups, _) = y.as_chunks_mut::<32>();
    for (g, y) in groups.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[g]);
        let codes = two_sixteens(s, &block.codes[g]);
        look_up(s, &VALUES, &codes, scale, y);
    }
}

fn encode_ref(whole: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let sigma2 = sum_squares(whole) * SIGMA2;
    let (x, _) = whole.as_chunks::<32>();
    let importance = importance.map(|w| w.as_chunks().0);
    let scales: [f32; 8] = std::array::from_fn(|g| {
        let weights = weigh(&x[g], importance.map(|w| &w[g]), sigma2);
        fit_scale_ref(&x[g], &weights)
    });
    *block = Block::new(Portable, whole, &scales);
}

impl Super for Iq4Xs {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales = block.group_scales();
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let codes = two_nibbles(s, [&block.codes[2 * i], &block.codes[2 * i + 1]]);
            let products = s.dot_signed(s.look_up_bytes(&VALUES, codes), s.bytes(x));
            let scaled = s.scaled_halves(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

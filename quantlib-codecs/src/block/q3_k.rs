//! Q3_K: 16 groups of 16 elements of 3 bits, with 6-bit scales.
//!
//! ```text
//! high: [u8; 32] | low: [u8; 64] | scales: [u8; 12] | scale: f16
//! element = scale · (scales[group] - 32) · (code - 4), code = 4 · high bit + low crumb
//! ```
//! The parts are laid out as [`pack_bits`], [`pack_crumbs`] and [`pack_sixteen_scales`] say.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, bits, centred_products, crumbs};
use super::k_symmetric::{decode_groups, fit_groups, recoded};
use super::lanes::{self, CodesAgain, LaneFormat, MovesAgain, PerLane, Tile, symmetric_codes};
use super::number::{extreme, fill, map, nearest_int};
use super::packing::{
    pack_bits, pack_crumbs, pack_sixteen_scales, unpack_bits, unpack_crumbs, unpack_sixteen_scales,
};
use super::search::{FoundCodes, fit_symmetric, fit_symmetric_by_moves};
use super::weights::{sum_squares, weigh_important};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, MAX_LANES, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast, cast_ref};
use std::array;

/// The code of zero.
const HALF: i32 = 4;
/// The multiple of the scale that stands for zero.
const HALF_SCALE: i32 = 32;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    high: [u8; 32],
    low: [u8; 64],
    scales: [u8; 12],
    scale: F16,
}

pub(super) struct Q3K;

impl BlockFormat for Q3K {
    const DTYPE: DType = DType::Q3K;
    type Block = Block;
    type Elements = [f32; 256];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
        decode(s, block, y);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, |x, importance, block| {
            *block = match importance {
                None => encode_ref(x),
                Some(weights) => encode_weighted_ref(x, weights),
            };
        });
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

impl LaneFormat<256> for Q3K {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        match &tile.importance {
            None => encode_tile(l, tile, out),
            Some(importance) => encode_weighted_tile(l, tile, importance, out),
        }
    }
}

/// [`encode_ref`] in lanes.
#[inline(always)]
fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
    let fits = PerLane::of(l, &lanes::fit_groups_by_moves(l, &tile.x, HALF));
    for (lane, block) in out.iter_mut().enumerate() {
        let x = cast_ref(tile.x[lane]);
        let codes = MovesAgain { x, half: HALF };
        *block = Block::of_fits(l.row(), x, fits.lane(lane), codes);
    }
}

/// [`encode_weighted_ref`] in lanes.
#[inline(always)]
fn encode_weighted_tile<L: Lanes>(
    l: L,
    tile: &Tile<'_, 256>,
    importance: &[&[f32; 256]; MAX_LANES],
    out: &mut [Block],
) {
    let squares = lanes::sum_block_squares(l, &tile.x);
    let offset = l.div(l.mul(l.splat(2.0), squares), l.splat(256.0));
    let [mut fits, mut inverses, mut sums] = [[l.splat(0.0); 16]; 3];
    for g in 0..16 {
        let x = l.load(&tile.x, g * 16);
        let importance = l.load(importance, g * 16);
        let weights = lanes::weigh_important(l, &x, importance, offset);
        sums[g] = lanes::sum(l, &weights);
        let fit = lanes::fit_symmetric::<L, 16, false>(l, &x, &weights, HALF);
        (fits[g], inverses[g]) = (fit.scale, fit.inverse);
    }
    let header = lanes::fit_symmetric::<L, 16, true>(l, &fits, &sums, HALF_SCALE);
    let header = PerLane::of(l, &[header.scale, header.inverse]);
    let (fits, inverses) = (PerLane::of(l, &fits), PerLane::of(l, &inverses));
    for (lane, block) in out.iter_mut().enumerate() {
        let x = cast_ref(tile.x[lane]);
        let [scale, inverse] = header.lane(lane);
        let multiples = symmetric_codes(l.row(), &fits.lane(lane), inverse, HALF_SCALE);
        let inverses = inverses.lane(lane);
        let codes = CodesAgain {
            x,
            inverses,
            half: HALF,
        };
        *block = Block::new(l.row(), x, codes, F16::from_f32(scale), &multiples);
    }
}

impl Block {
    /// `multiples` count from 0, which stands for -32.
    #[inline(always)]
    fn new<S: Narrow>(
        s: S,
        x: &[[f32; 16]; 16],
        codes: impl FoundCodes<16>,
        scale: F16,
        multiples: &[u8; 16],
    ) -> Self {
        let signed = map(multiples, signed_scale);
        let codes = cast(recoded(s, x, codes, scale, &signed, HALF));
        Self {
            high: pack_bits(&codes, 2),
            low: pack_crumbs(&codes),
            scales: pack_sixteen_scales(multiples),
            scale,
        }
    }

    /// Without importance: the farthest of the scales that the searches found gets multiple -32.
    #[inline(always)]
    fn of_fits<S: Narrow>(
        s: S,
        x: &[[f32; 16]; 16],
        fits: [f32; 16],
        codes: impl FoundCodes<16>,
    ) -> Self {
        let farthest = extreme(&fits);
        if farthest == 0.0 {
            return Self::new(s, x, codes, F16::from_f32(0.0), &[0; 16]);
        }
        let inverse = -HALF_SCALE as f32 / farthest;
        let multiples = map(&fits, |scale| {
            let multiple = i32::from(nearest_int(inverse * scale) as i8);
            (multiple.clamp(-HALF_SCALE, HALF_SCALE - 1) + HALF_SCALE) as u8
        });
        Self::new(s, x, codes, F16::from_f32(1.0 / inverse), &multiples)
    }
}

#[inline(always)]
fn signed_scale(multiple: u8) -> i8 {
    (i32::from(multiple) - HALF_SCALE) as i8
}

fn encode_ref(x: &[f32; 256]) -> Block {
    let x = cast_ref(x);
    let (fits, codes) = fit_groups(x, |_, x| fit_symmetric_by_moves(x, HALF));
    Block::of_fits(Portable, x, fits, codes)
}

fn encode_weighted_ref(x: &[f32; 256], importance: &[f32; 256]) -> Block {
    let offset = 2.0 * sum_squares(x) / 256.0;
    let (x, importance): (&[[f32; 16]; 16], &[[f32; 16]; 16]) = (cast_ref(x), cast_ref(importance));
    let weights: [_; 16] = array::from_fn(|i| weigh_important(&x[i], &importance[i], offset));
    let sums = weights.map(|group| group.iter().fold(0.0, |sum, w| sum + w));
    let (fits, codes) = fit_groups(x, |i, x| fit_symmetric(x, &weights[i], HALF));
    let header = fit_symmetric(&fits, &sums, HALF_SCALE);
    let scale = F16::from_f32(header.scale);
    Block::new(Portable, x, codes, scale, &header.codes)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let (low, high) = (unpack_crumbs(s, &block.low), unpack_bits(s, &block.high, 2));
    let codes: [u8; 256] = fill(|i| low[i] | high[i]);
    let scales = map(&unpack_sixteen_scales(&block.scales), signed_scale);
    decode_groups(s, block.scale, &scales, &codes, HALF, y);
}

impl Super for Q3K {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales = map(&unpack_sixteen_scales(&block.scales), |multiple| {
            i16::from(signed_scale(multiple))
        });
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let high = s.shift_up::<2>(bits(s, &block.high, i));
            let codes = s.or(crumbs(s, &block.low, i), high);
            let products = centred_products(s, codes, HALF as u8, s.bytes(x));
            let scaled = s.scaled_quarters(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

//! Q6_K: 16 groups of 16 elements of 6 bits, with signed 8-bit scales.
//!
//! ```text
//! low: [u8; 128] | high: [u8; 64] | scales: [i8; 16] | scale: f16
//! element = scale · scales[group] · (code - 32), code = 16 · high crumb + low nibble
//! ```
//! Of each 128 codes, those that are 64 apart share a byte of `low`, the first in the low nibble;
//! `high` is laid out as [`pack_crumbs`] says.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, centred_products, crumbs};
use super::k_symmetric::{decode_groups, fit_groups, recoded};
use super::lanes::{self, CodesAgain, LaneFormat, PerLane, Tile};
use super::number::{extreme, fill, map, nearest_int};
use super::packing::{pack_crumbs, pack_nibbles, unpack_crumbs, unpack_nibbles};
use super::parts::{Scaled, Separable, integers};
use super::search::{FoundCodes, ZERO_GROUP, fit_symmetric};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast, cast_ref};

/// The code of zero.
const HALF: i32 = 32;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    low: [u8; 128],
    high: [u8; 64],
    scales: [i8; 16],
    scale: F16,
}

pub(super) struct Q6K;

impl BlockFormat for Q6K {
    const DTYPE: DType = DType::Q6K;
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

impl LaneFormat<256> for Q6K {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let [mut scales, mut inverses] = [[l.splat(0.0); 16]; 2];
        for g in 0..16 {
            let x = l.load(&tile.x, g * 16);
            let weights = match &tile.importance {
                None => lanes::squares(l, &x),
                Some(importance) => l.load(importance, g * 16),
            };
            let fit = lanes::fit_symmetric::<L, 16, false>(l, &x, &weights, HALF);
            (scales[g], inverses[g]) = (fit.scale, fit.inverse);
        }
        let (scales, inverses) = (PerLane::of(l, &scales), PerLane::of(l, &inverses));
        for (lane, block) in out.iter_mut().enumerate() {
            let x = cast_ref(tile.x[lane]);
            let inverses = inverses.lane(lane);
            let codes = CodesAgain {
                x,
                inverses,
                half: HALF,
            };
            *block = Block::new(l.row(), x, scales.lane(lane), codes);
        }
    }
}

fn encode_ref(x: &[f32; 256]) -> Block {
    encode_weighted_ref(x, &x.map(|x| x * x))
}

fn encode_weighted_ref(x: &[f32; 256], weights: &[f32; 256]) -> Block {
    let (x, weights): (_, &[[f32; 16]; 16]) = (cast_ref(x), cast_ref(weights));
    let (fits, codes) = fit_groups(x, |i, x| fit_symmetric(x, &weights[i], HALF));
    Block::new(Portable, x, fits, codes)
}

impl Block {
    /// `fits` are the scales that the searches found.
    #[inline(always)]
    fn new<S: Narrow>(
        s: S,
        x: &[[f32; 16]; 16],
        fits: [f32; 16],
        codes: impl FoundCodes<16>,
    ) -> Self {
        let farthest = extreme(&fits);
        if farthest.abs() < ZERO_GROUP {
            return Self::zeroed();
        }
        let inverse = -128.0 / farthest;
        let scale = F16::from_f32(1.0 / inverse);
        let scales = map(&fits, |scale| nearest_int(inverse * scale).min(127) as i8);
        let codes: [u8; 256] = cast(recoded(s, x, codes, scale, &scales, HALF));
        Self {
            low: pack_nibbles(&codes, 128),
            high: pack_crumbs(&map(&codes, |code: u8| code >> 4)),
            scales,
            scale,
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    decode_groups(s, block.scale, &block.scales, &codes_of(s, block), HALF, y);
}

#[inline(always)]
fn codes_of<S: Sixteen>(s: S, block: &Block) -> [u8; 256] {
    let low: [u8; 256] = unpack_nibbles(&block.low, 128);
    let high = unpack_crumbs(s, &block.high);
    fill(|i| low[i] | (high[i] << 4))
}

impl Separable for Q6K {
    const FORM: Form = integers(6, 16, Origin::Code(HALF as u8), DType::F32);
    type Codes = [u8; 256];
    type Scales = [f32; 16];

    fn take_apart(block: &Block, codes: &mut [u8; 256]) -> Scaled<[f32; 16]> {
        *codes = codes_of(Portable, block);
        let scale = block.scale.to_f32();
        Scaled {
            scales: map(&block.scales, |multiple| scale * f32::from(multiple)),
            zeros: [HALF as f32; 16],
        }
    }
}

impl Super for Q6K {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales = map(&block.scales, i16::from);
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let low = s.bytes(&block.low.as_chunks().0[i / 2]);
            let shift = i as u32 % 2 * 4;
            let low = s.and(s.shift_down(low, shift, shift), s.splat_byte(15));
            let codes = s.or(low, s.shift_up::<4>(crumbs(s, &block.high, i)));
            let products = centred_products(s, codes, HALF as u8, s.bytes(x));
            let scaled = s.scaled_quarters(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        x.add(s, sum, s.half_to_float(block.scale), integers)
    }
}

//! Q5_K: 8 groups of 32 elements of 5 bits, with 6-bit scales and minima.
//!
//! ```text
//! scale: f16 | min: f16 | scales: [u8; 12] | high: [u8; 32] | low: [u8; 128]
//! element = scale · scales[group] · code - min · mins[group], code = 16 · high bit + low nibble
//! ```
//! `scales` also has the minima, as [`pack_scales_and_mins`] says; `high` is laid out as
//! [`pack_bits`] says. Of each 64 codes, those that are 32 apart share a byte of `low`, the first in
//! the low nibble.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, bits, nibbles, twice};
use super::k_affine::{self, Groups, Header, KAffine, TOP_SCALE, decode_groups, fit_ref};
use super::lanes::{self, AffineFormat, LaneFormat, Tile, encode_affine_tile};
use super::number::{fill, map};
use super::packing::{
    pack_bits, pack_nibbles, pack_scales_and_mins, unpack_bits, unpack_nibbles,
    unpack_scales_and_mins,
};
use super::parts::{Scaled, Separable, integers};
use super::search::{Deviation, FoundCodes, Grid};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast, cast_ref};

/// The largest code.
const TOP: i32 = 31;
const K: KAffine = KAffine {
    top: TOP,
    grid: Grid {
        first: -0.5,
        step: 0.1,
        last: 15,
    },
    deviation: Deviation::Squared,
    root_mean_square: true,
    mean_squares: 2.0,
    top_scale: TOP_SCALE,
    limit: TOP_SCALE,
};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    min: F16,
    scales: [u8; 12],
    high: [u8; 32],
    low: [u8; 128],
}

pub(super) struct Q5K;

impl BlockFormat for Q5K {
    const DTYPE: DType = DType::Q5K;
    type Block = Block;
    type Elements = [f32; 256];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
        decode(s, block, y);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Block]) {
        encode_blocks(rows, cols, importance, out, |x, importance, block| {
            *block = encode_ref(x, importance);
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

impl LaneFormat<256> for Q5K {
    #[inline(always)]
    fn encode_tile<L: Lanes>(lanes: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        encode_affine_tile::<Self, L, 8, 32>(lanes, tile, out);
    }
}

impl AffineFormat<8, 32> for Q5K {
    const K: KAffine = K;

    #[inline(always)]
    fn block<S: Narrow, C: FoundCodes<32>>(
        s: S,
        x: &[[f32; 32]; 8],
        groups: Groups<8, 32, C>,
        headers: [Header<8>; 2],
    ) -> Block {
        Block::new(s, x, groups, headers)
    }
}

impl Block {
    #[inline(always)]
    fn new<S: Narrow, C: FoundCodes<32>>(
        s: S,
        x: &[[f32; 32]; 8],
        groups: Groups<8, 32, C>,
        headers: [Header<8>; 2],
    ) -> Self {
        // Unlike Q4_K, this type keeps multiples that wrapped out of the upper bits of others.
        let [scale, min] = headers.map(|h| Header {
            multiples: map(&h.multiples, |m| m.min(TOP_SCALE)),
            ..h
        });
        let scales = pack_scales_and_mins(&scale.multiples, &min.multiples);
        let units = [scale.unit, min.unit];
        let codes = cast(groups.recoded(s, x, units, &unpack_scales_and_mins(&scales), TOP));
        Self {
            scale: scale.unit,
            min: min.unit,
            scales,
            high: pack_bits(&codes, 4),
            low: pack_nibbles(&codes, 64),
        }
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>) -> Block {
    let (groups, headers) = fit_ref::<8, 32>(&K, cast_ref(x), importance.map(cast_ref));
    Block::new(Portable, cast_ref(x), groups, headers)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scales = unpack_scales_and_mins(&block.scales);
    decode_groups(s, [block.scale, block.min], &scales, &codes_of(s, block), y);
}

#[inline(always)]
fn codes_of<S: Sixteen>(s: S, block: &Block) -> [u8; 256] {
    let low: [u8; 256] = unpack_nibbles(&block.low, 64);
    let high = unpack_bits(s, &block.high, 4);
    fill(|i| low[i] | high[i])
}

impl Separable for Q5K {
    const FORM: Form = integers(5, 32, Origin::Bias, DType::F32);
    type Codes = [u8; 256];
    type Scales = [f32; 8];

    fn take_apart(block: &Block, codes: &mut [u8; 256]) -> Scaled<[f32; 8]> {
        *codes = codes_of(Portable, block);
        k_affine::group_scales([block.scale, block.min], &block.scales)
    }
}

impl Super for Q5K {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let (scales, mins) = unpack_scales_and_mins(&block.scales);
        let scales = map(&scales, i16::from);
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let high = s.shift_up::<4>(bits(s, &block.high, i));
            let codes = s.or(nibbles(s, &block.low, i), high);
            let products = s.dot(codes, s.bytes(x));
            let scaled = s.scaled_halves(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        let sum = x.add(s, sum, s.half_to_float(block.scale), integers);
        x.subtract(s, sum, s.half_to_float(block.min), &twice(&mins))
    }
}

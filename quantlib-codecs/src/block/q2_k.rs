//! Q2_K: 16 groups of 16 elements of 2 bits, with 4-bit scales and minima.
//!
//! ```text
//! scales: [u8; 16] | codes: [u8; 64] | scale: f16 | min: f16
//! element = scale · low nibble of scales[group] · code - min · high nibble of scales[group]
//! ```
//! Codes are laid out as [`pack_crumbs`] says.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, crumbs};
use super::k_affine::{Groups, Header, KAffine, decode_groups, fit_ref};
use super::lanes::{self, AffineFormat, LaneFormat, Tile, encode_affine_tile};
use super::number::map;
use super::packing::{pack_crumbs, unpack_crumbs};
use super::search::{Deviation, FoundCodes, Grid};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast, cast_ref};

/// The largest code.
const TOP: i32 = 3;
const K: KAffine = KAffine {
    top: TOP,
    grid: Grid {
        first: -0.5,
        step: 0.1,
        last: 15,
    },
    deviation: Deviation::Absolute,
    root_mean_square: false,
    mean_squares: 1.0,
    top_scale: 15,
    limit: u8::MAX,
};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scales: [u8; 16],
    codes: [u8; 64],
    scale: F16,
    min: F16,
}

pub(super) struct Q2K;

impl BlockFormat for Q2K {
    const DTYPE: DType = DType::Q2K;
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

impl LaneFormat<256> for Q2K {
    #[inline(always)]
    fn encode_tile<L: Lanes>(lanes: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        encode_affine_tile::<Self, L, 16, 16>(lanes, tile, out);
    }
}

impl AffineFormat<16, 16> for Q2K {
    const K: KAffine = K;

    #[inline(always)]
    fn block<S: Narrow, C: FoundCodes<16>>(
        s: S,
        x: &[[f32; 16]; 16],
        groups: Groups<16, 16, C>,
        headers: [Header<16>; 2],
    ) -> Block {
        Block::new(s, x, groups, headers)
    }
}

impl Block {
    #[inline(always)]
    fn new<S: Narrow, C: FoundCodes<16>>(
        s: S,
        x: &[[f32; 16]; 16],
        groups: Groups<16, 16, C>,
        headers: [Header<16>; 2],
    ) -> Self {
        let [scale, min] = headers;
        let scales = std::array::from_fn(|i| scale.multiples[i] | (min.multiples[i] << 4));
        let units = [scale.unit, min.unit];
        let codes = groups.recoded(s, x, units, &unpack_scales(&scales), TOP);
        Self {
            scales,
            codes: pack_crumbs(&cast(codes)),
            scale: scale.unit,
            min: min.unit,
        }
    }
}

#[inline(always)]
fn unpack_scales(scales: &[u8; 16]) -> ([u8; 16], [u8; 16]) {
    (map(scales, |s| s & 15), map(scales, |s| s >> 4))
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>) -> Block {
    let (groups, headers) = fit_ref::<16, 16>(&K, cast_ref(x), importance.map(cast_ref));
    Block::new(Portable, cast_ref(x), groups, headers)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scales = unpack_scales(&block.scales);
    let codes = unpack_crumbs(s, &block.codes);
    decode_groups(s, [block.scale, block.min], &scales, &codes, y);
}

impl Super for Q2K {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let (scales, mins) = unpack_scales(&block.scales);
        let scales = map(&scales, i16::from);
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let products = s.dot(crumbs(s, &block.codes, i), s.bytes(x));
            let scaled = s.scaled_quarters(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        let sum = x.add(s, sum, s.half_to_float(block.scale), integers);
        x.subtract(s, sum, s.half_to_float(block.min), &mins)
    }
}

//! Q4_K: 8 groups of 32 elements of 4 bits, with 6-bit scales and minima.
//!
//! ```text
//! scale: f16 | min: f16 | scales: [u8; 12] | codes: [u8; 128]
//! element = scale · scales[group] · code - min · mins[group]
//! ```
//! `scales` also has the minima, as [`pack_scales_and_mins`] says. Of each 64 codes, those that are
//! 32 apart share a byte, the first in the low nibble.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Super, SuperBlock, nibbles, twice};
use super::k_affine::{self, Groups, Header, KAffine, TOP_SCALE, decode_groups, fit_ref};
use super::lanes::{self, AffineFormat, LaneFormat, Tile, encode_affine_tile};
use super::number::map;
use super::packing::{
    pack_nibbles, pack_scales_and_mins, sixteen_sixteens, unpack_nibbles, unpack_scales_and_mins,
};
use super::parts::{Scaled, Separable, integers};
use super::search::{Deviation, FoundCodes, Grid};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast, cast_ref};

/// The largest code.
const TOP: i32 = 15;
const K: KAffine = KAffine {
    top: TOP,
    grid: Grid {
        first: -1.0,
        step: 0.1,
        last: 20,
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
    codes: [u8; 128],
}

pub(super) struct Q4K;

impl BlockFormat for Q4K {
    const DTYPE: DType = DType::Q4K;
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

impl LaneFormat<256> for Q4K {
    #[inline(always)]
    fn encode_tile<L: Lanes>(lanes: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        encode_affine_tile::<Self, L, 8, 32>(lanes, tile, out);
    }
}

impl AffineFormat<8, 32> for Q4K {
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
        let [scale, min] = headers;
        let scales = pack_scales_and_mins(&scale.multiples, &min.multiples);
        let codes = groups.recoded(
            s,
            x,
            [scale.unit, min.unit],
            &unpack_scales_and_mins(&scales),
            TOP,
        );
        Self {
            scale: scale.unit,
            min: min.unit,
            scales,
            codes: pack_nibbles::<256, 128>(&cast(codes), 64),
        }
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>) -> Block {
    let (groups, headers) = fit_ref::<8, 32>(&K, cast_ref(x), importance.map(cast_ref));
    Block::new(Portable, cast_ref(x), groups, headers)
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let codes = sixteen_sixteens(s, &block.codes, 64);
    let scales = unpack_scales_and_mins(&block.scales);
    decode_groups(s, [block.scale, block.min], &scales, &codes, y);
}

impl Separable for Q4K {
    const FORM: Form = integers(4, 32, Origin::Bias, DType::F32);
    type Codes = [u8; 256];
    type Scales = [f32; 8];

    fn take_apart(block: &Block, codes: &mut [u8; 256]) -> Scaled<[f32; 8]> {
        *codes = unpack_nibbles(&block.codes, 64);
        k_affine::group_scales([block.scale, block.min], &block.scales)
    }
}

impl Super for Q4K {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let (scales, mins) = unpack_scales_and_mins(&block.scales);
        let scales = map(&scales, i16::from);
        let mut integers = s.zero();
        for (i, x) in x.codes.iter().enumerate() {
            let codes = nibbles(s, &block.codes, i);
            let products = s.dot(codes, s.bytes(x));
            let scaled = s.scaled_halves(products, &scales.as_chunks().0[i]);
            integers = s.add_integers(integers, scaled);
        }
        let sum = x.add(s, sum, s.half_to_float(block.scale), integers);
        x.subtract(s, sum, s.half_to_float(block.min), &twice(&mins))
    }
}

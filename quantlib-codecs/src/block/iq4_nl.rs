//! IQ4_NL: 32 elements of 4 bits in a table of 16 values, with one scale.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::dot::{Small, two_nibbles};
use super::elements::look_up;
use super::lanes::{self, LaneFormat, PerLane, Tile};
use super::nonlinear::{VALUES, fit_scale_ref, pack_nearest};
use super::number::{fill, map, reciprocal};
use super::packing::{two_sixteens, unpack_nibbles};
use super::parts::{Scaled, Separable, integers};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// What the sum of squares is multiplied with for the weights.
const SIGMA2: f32 = 2.0 / 32.0;

/// 32 elements: x = scale · value(code). Byte i has the codes of elements i (low) and i + 16 (high).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: [u8; 16],
}

pub(super) struct Iq4Nl;

impl BlockFormat for Iq4Nl {
    const DTYPE: DType = DType::Iq4Nl;
    type Block = Block;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
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
        lanes::encode::<Self, 32>(isa, rows, cols, importance, out);
    }
}

/// The table's values are integers of 8 bits.
impl Separable for Iq4Nl {
    const FORM: Form = integers(8, 32, Origin::Code(128), DType::F16);
    type Codes = [u8; 32];
    type Scales = [f32; 1];

    fn take_apart(block: &Block, codes: &mut [u8; 32]) -> Scaled<[f32; 1]> {
        let values = map(&VALUES, |value| value as u8 ^ 128);
        let indices: [u8; 32] = unpack_nibbles(&block.codes, 32);
        *codes = map(&indices, |index| values[usize::from(index & 15)]);
        Scaled {
            scales: [block.scale.to_f32()],
            zeros: [128.0],
        }
    }
}

impl LaneFormat<32> for Iq4Nl {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Block]) {
        let x: [L::F; 32] = l.load(&tile.x, 0);
        let sigma2 = lanes::sigma2(l, &[x], SIGMA2);
        let weights = match &tile.importance {
            None => lanes::weigh(l, &x, None, sigma2),
            Some(w) => lanes::weigh(l, &x, Some(&l.load(w, 0)), sigma2),
        };
        let scales = PerLane::of(l, &[lanes::fit_scale(l, &x, &weights)]);
        for (lane, block) in out.iter_mut().enumerate() {
            let [scale] = scales.lane(lane);
            *block = Block::new(l.row(), tile.x[lane], scale);
        }
    }
}

impl Block {
    #[inline(always)]
    fn new<S: Narrow>(s: S, x: &[f32; 32], scale: f32) -> Self {
        Self {
            scale: F16::from_f32(scale),
            codes: pack_nearest(s, x, reciprocal(scale)),
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    let codes = two_sixteens(s, &block.codes);
    look_up(s, &VALUES, &codes, s.half_to_float(block.scale), y);
}

fn encode_ref(x: &[f32; 32], importance: Option<&[f32; 32]>, block: &mut Block) {
    let weights = weigh(x, importance, sum_squares(x) * SIGMA2);
    *block = Block::new(Portable, x, fit_scale_ref(x, &weights));
}

impl Small for Iq4Nl {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let codes = two_nibbles(s, [&blocks[2 * i].codes, &blocks[2 * i + 1].codes]);
        s.dot_signed(s.look_up_bytes(&VALUES, codes), x)
    }
}

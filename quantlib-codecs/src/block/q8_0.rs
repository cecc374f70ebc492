//! Q8_0: 32 elements of 8 bits with one scale. Importance changes nothing.
//!
//! ```text
//! scale: f16 | codes: [i8; 32]
//! element = scale · code
//! ```

use super::BlockFormat;
use super::codes;
use super::dot::Small;
use super::elements::scale_signed;
use super::lanes::{self, LaneFormat, Tile};
use super::number::{fill, map, max_abs, reciprocal, round};
use super::parts::{Joinable, Scaled, Separable, integers};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable, cast_ref};

/// The largest code.
const TOP: i32 = 127;
/// The code of zero, if codes begin with 0.
const HALF: u8 = 128;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    codes: [i8; 32],
}

pub(super) struct Q8_0;

impl BlockFormat for Q8_0 {
    const DTYPE: DType = DType::Q8_0;
    type Block = Block;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
        decode(s, block, y);
    }

    #[inline(always)]
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        for (x, block) in rows.as_chunks().0.iter().zip(out) {
            *block = encode_ref(x);
        }
    }

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        _importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode_unless_portable::<Self, 32>(isa, rows, cols, None, out);
    }
}

impl LaneFormat<32> for Q8_0 {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Block]) {
        let scales = lanes::magnitude_scales(l, &tile.x, TOP);
        for (lane, block) in out.iter_mut().enumerate() {
            block.scale = scales.scales[lane];
            block.codes = codes::rounded(l.row(), tile.x[lane], scales.inverses[lane]);
        }
    }
}

#[inline(always)]
fn encode_ref(x: &[f32; 32]) -> Block {
    let scale = max_abs(x) / TOP as f32;
    let inverse = reciprocal(scale);
    Block {
        scale: F16::from_f32(scale),
        codes: map(x, |x| round(x * inverse) as i8),
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 32]) {
    scale_signed(s, &block.codes, s.half_to_float(block.scale), y);
}

impl Small for Q8_0 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let (first, second) = (&blocks[2 * i].codes, &blocks[2 * i + 1].codes);
        s.dot_signed(s.halves(cast_ref(first), cast_ref(second)), x)
    }
}

impl Separable for Q8_0 {
    const FORM: Form = integers(8, 32, Origin::Code(HALF), DType::F16);
    type Codes = [u8; 32];
    type Scales = [f32; 1];

    fn take_apart(block: &Block, codes: &mut [u8; 32]) -> Scaled<[f32; 1]> {
        *codes = map(&block.codes, |code: i8| code as u8 ^ HALF);
        Scaled {
            scales: [block.scale.to_f32()],
            zeros: [f32::from(HALF)],
        }
    }
}

impl Joinable for Q8_0 {
    fn put_together(codes: &[u8; 32], scaled: &Scaled<[f32; 1]>) -> Block {
        Block {
            scale: F16::from_f32(scaled.scales[0]),
            codes: map(codes, |code| (code ^ HALF) as i8),
        }
    }
}

impl Block {
    /// The scale and the codes.
    #[inline(always)]
    pub(super) fn parts(&self) -> (f32, &[i8; 32]) {
        (self.scale.to_f32(), &self.codes)
    }
}

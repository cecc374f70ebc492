//! Q1_0: the signs of 128 elements, with their mean magnitude as the scale.

use super::BlockFormat;
use super::dot::Small;
use super::lanes::{self, LaneFormat, Tile};
use super::number::fill;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Narrow, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// 128 elements: x = scale where the bit is set, -scale elsewhere; the lowest bit is the first element.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    bits: [u8; 16],
}

pub(super) struct Q1_0;

impl BlockFormat for Q1_0 {
    const DTYPE: DType = DType::Q1_0;
    type Block = Block;
    type Elements = [f32; 128];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 128]) {
        decode(s, block, y);
    }

    /// Importance changes nothing: scale and bits follow from the elements alone.
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Block]) {
        for (x, block) in rows.as_chunks().0.iter().zip(out) {
            encode_ref(x, block);
        }
    }

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        _importance: Option<&[f32]>,
        out: &mut [Block],
    ) {
        lanes::encode_unless_portable::<Self, 128>(isa, rows, cols, None, out);
    }
}

impl LaneFormat<128> for Q1_0 {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 128>, out: &mut [Block]) {
        let scales = lanes::mean_magnitudes(l, &tile.x);
        for (lane, block) in out.iter_mut().enumerate() {
            block.scale = scales[lane];
            let chunks = tile.x[lane].as_chunks().0.iter();
            for (bits, x) in block.bits.as_chunks_mut().0.iter_mut().zip(chunks) {
                *bits = l.row().not_negative(l.row().load(x)).to_le_bytes();
            }
        }
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 128]) {
    let scale = s.splat(s.half_to_float(block.scale));
    for (bits, y) in block
        .bits
        .as_chunks::<2>()
        .0
        .iter()
        .zip(y.as_chunks_mut().0)
    {
        s.store(s.negate(scale, !u16::from_le_bytes(*bits)), y);
    }
}

fn encode_ref(x: &[f32; 128], block: &mut Block) {
    let sum = x.iter().fold(0.0, |sum, x| sum + x.abs());
    block.scale = F16::from_f32(sum / 128.0);
    block.bits = [0; 16];
    for (i, x) in x.iter().enumerate() {
        block.bits[i / 8] |= u8::from(*x >= 0.0) << (i % 8);
    }
}

impl Small for Q1_0 {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i / 4].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Block], i: usize, x: S::B) -> S::P {
        let bits = blocks[i / 2].bits.as_chunks().0[i % 2];
        s.dot(
            s.splat_byte(1),
            s.negate_bytes(x, !u64::from_le_bytes(bits)),
        )
    }
}

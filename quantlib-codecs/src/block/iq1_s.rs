//! IQ1_S: 256 elements in eights from a codebook of 2048 ternary vectors, 3-bit scales for 32.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::quantize_scales;
use super::dot::{Super, SuperBlock, dot_signed_pairs};
use super::iq1::{DOWN, Found, Split, UP, ascending, decode_pair, eightfold};
use super::lanes::{self, LaneFormat, SortedGroup, SplitFormat, Tile};
use super::number::{fill, map, max_abs};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// 8 groups of 32 elements: x = scale · (2 · group scale + 1) · value.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    scale: F16,
    /// Lower 8 bits of the codes, 4 codes a group.
    codes: [[u8; 4]; 8],
    /// For each group a little-endian number: upper 3 bits of the 4 codes, first code lowest, the
    /// 3-bit scale, and a set bit if the values are moved down.
    high: [[u8; 2]; 8],
}

pub(super) struct Iq1S;

impl BlockFormat for Iq1S {
    const DTYPE: DType = DType::Iq1S;
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
        lanes::encode::<Self, 256>(isa, rows, cols, importance, out);
    }
}

/// Groups whose largest magnitude is below this get scale 0.
const EPS: f32 = 1e-12;

/// Found to help: the stored scale is a little larger than the one that was fitted.
const FACTOR: f32 = 1.125;

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale);
    for (pair, y) in y.as_chunks_mut().0.iter_mut().enumerate() {
        let scale = scale * f32::from(block.group_scale(pair / 2));
        decode_pair(s, map(&[0, 1], |k| block.eightfold(pair, k)), scale, y);
    }
}

impl Super for Iq1S {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales = fill(|pair| block.group_scale(pair / 2));
        let integers = dot_signed_pairs(s, x, &scales, |pair, k| block.eightfold(pair, k));
        x.add(s, sum, 0.125 * s.half_to_float(block.scale), integers)
    }
}

impl Block {
    #[inline(always)]
    fn group_scale(&self, g: usize) -> i16 {
        (2 * ((u16::from_le_bytes(self.high[g]) >> 12) & 7) + 1) as i16
    }

    /// Eight times the values of eight `k` of a pair.
    #[inline(always)]
    fn eightfold(&self, pair: usize, k: usize) -> [i8; 8] {
        let (g, k) = (pair / 2, pair % 2 * 2 + k);
        let high = u16::from_le_bytes(self.high[g]);
        let code = u16::from(self.codes[g][k]) | (((high >> (3 * k)) & 7) << 8);
        eightfold(code, high >> 15 == 1)
    }
}

impl Block {
    #[inline(always)]
    fn new(groups: &[Found<4>; 8]) -> Self {
        let mut block = Self::zeroed();
        let scales = quantize_scales(&map(groups, |group| group.scale), 7);
        if let Some((unit, _)) = scales {
            block.scale = F16::from_f32(unit * FACTOR);
        }
        for (g, group) in groups.iter().enumerate() {
            let mut high = 0;
            for (k, code) in group.codes.iter().enumerate() {
                block.codes[g][k] = *code as u8;
                high |= (code >> 8) << (3 * k);
            }
            if let Some((_, scales)) = scales {
                high |= (u16::from(scales[g]) << 12) | (u16::from(group.down[0]) << 15);
            }
            block.high[g] = high.to_le_bytes();
        }
        block
    }
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let sigma2 = 2.0 * sum_squares(x) / 256.0;
    let importance = importance.map(|w| w.as_chunks().0);
    let mut groups = [Found::NONE; 8];
    for (g, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let weights = weigh(x, importance.map(|w| &w[g]), sigma2);
        if max_abs(x) < EPS {
            continue;
        }
        if let Some(split) = best_split_ref(x, &weights) {
            groups[g] = split.snap(bytemuck::cast_ref(x), bytemuck::cast_ref(&weights));
        }
    }
    *block = Block::new(&groups);
}

impl SplitFormat<32, 4> for Iq1S {
    const EPS: f32 = EPS;

    #[inline(always)]
    fn best_split<L: Lanes>(l: L, group: &SortedGroup<L, 32>) -> lanes::Split<L, 4> {
        lanes::best_split_of_32(l, group)
    }
}

impl LaneFormat<256> for Iq1S {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let found = lanes::fit_groups::<Self, L, 8, 32, 4>(l, tile, out.len());
        for (groups, block) in found.iter().zip(out) {
            *block = Block::new(groups);
        }
    }
}

/// The split and the scale with the least weighted squared error, of all that there are.
fn best_split_ref(x: &[f32; 32], weights: &[f32; 32]) -> Option<Split<4>> {
    let order = ascending(x);
    // Sums over the smallest 0 to 32 elements.
    let mut sums_wx = [0.0; 33];
    let mut sums_w = [0.0; 33];
    for (rank, i) in order.iter().enumerate() {
        sums_wx[rank + 1] = sums_wx[rank] + weights[*i] * x[*i];
        sums_w[rank + 1] = sums_w[rank] + weights[*i];
    }
    let parts = |sums: &[f32; 33], a: usize, b: usize| {
        [sums[a] - sums[0], sums[b] - sums[a], sums[32] - sums[b]]
    };
    let mut best = None;
    let mut best_score = f32::MIN;
    for a in 0..=32 {
        for b in a..=32 {
            let wx = parts(&sums_wx, a, b);
            let w = parts(&sums_w, a, b);
            for (values, down) in [(UP, false), (DOWN, true)] {
                let [v0, v1, v2] = values;
                let qx = wx[0] * v0 + wx[1] * v1 + wx[2] * v2;
                let qq = w[0] * v0 * v0 + w[1] * v1 * v1 + w[2] * v2 * v2;
                if qq > 0.0 && qx * qx > best_score * qq {
                    let scale = qx / qq;
                    best_score = scale * qx;
                    best = Some((a, b, scale, down));
                }
            }
        }
    }
    let (a, b, scale, down) = best?;
    Some(Split::new(&order, (a, b), scale, [down; 4]))
}

//! IQ1_M: the vectors of IQ1_S with a 3-bit scale for 16 elements and a shift for each eight.

use super::BlockFormat;
use super::blocks::encode_blocks;
use super::codebook::quantize_scales;
use super::dot::{Super, SuperBlock, dot_signed_pairs};
use super::iq1::{DOWN, Found, Split, Sums, UP, ascending, decode_pair, eightfold, vector};
use super::lanes::{self, LaneFormat, SortedGroup, SplitFormat, Tile};
use super::number::{fill, map, max_abs};
use super::weights::{sum_squares, weigh};
use crate::dtype::DType;
use crate::numeric::F16;
use crate::simd::{Isa, Lanes, MAX_LANES, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// 16 groups of 16 elements: x = scale · (2 · group scale + 1) · value.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Block {
    /// Lower 8 bits of the codes, 2 codes a group.
    codes: [[u8; 2]; 16],
    /// A nibble for each eight, first one low: upper 3 bits of the code, and a set bit if the values
    /// are moved down.
    high: [u8; 16],
    /// Little-endian numbers: 3-bit scales of 4 groups, first one lowest, and above them 4 bits of the
    /// half that is the block's scale, lowest ones first.
    scales: [[u8; 2]; 4],
}

pub(super) struct Iq1M;

impl BlockFormat for Iq1M {
    const DTYPE: DType = DType::Iq1M;
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
const EPS: f32 = 1e-7;

/// Found to help: the stored scale is a little larger than the one that was fitted.
const FACTOR: f32 = 1.1125;

impl Block {
    /// The code of eight `k` of group `g`, and whether its values are moved down.
    #[inline(always)]
    fn code(&self, g: usize, k: usize) -> (u16, bool) {
        let nibble = (self.high[g] >> (4 * k)) & 15;
        let code = u16::from(self.codes[g][k]) | (u16::from(nibble & 7) << 8);
        (code, nibble >> 3 == 1)
    }

    /// A block without a scale.
    #[inline(always)]
    fn of_codes(groups: &[Found<2>; 16]) -> Self {
        let mut block = Self::zeroed();
        for (g, group) in groups.iter().enumerate() {
            block.codes[g] = map(&group.codes, |code| code as u8);
            block.high[g] = ((group.codes[0] >> 8) | ((group.codes[1] >> 8) << 4)) as u8;
        }
        block
    }

    /// A block with a scale, which is stored a little larger, and those of its groups.
    #[inline(always)]
    fn new(groups: &[Found<2>; 16], scale: f32, scales: &[u8; 16]) -> Self {
        let mut block = Self::of_codes(groups);
        for (high, group) in block.high.iter_mut().zip(groups) {
            *high |= (u8::from(group.down[0]) << 3) | (u8::from(group.down[1]) << 7);
        }
        block.set_scales(F16::from_f32(scale * FACTOR), scales);
        block
    }

    #[inline(always)]
    fn set_scales(&mut self, scale: F16, groups: &[u8; 16]) {
        let scale = u16::from_le_bytes(bytemuck::cast(scale));
        for (i, packed) in self.scales.iter_mut().enumerate() {
            let groups = groups[4 * i..][..4].iter().rev();
            let groups = groups.fold(0, |packed, group| (packed << 3) | u16::from(*group));
            *packed = (groups | (((scale >> (4 * i)) & 15) << 12)).to_le_bytes();
        }
    }

    #[inline(always)]
    fn scale(&self) -> F16 {
        let packed = self.scales.iter().rev();
        let nibbles = packed.map(|packed| u16::from(packed[1] >> 4));
        F16::from_bits(nibbles.fold(0, |scale, nibble| (scale << 4) | nibble))
    }

    #[inline(always)]
    fn group_scale(&self, g: usize) -> u16 {
        (u16::from_le_bytes(self.scales[g / 4]) >> (3 * (g % 4))) & 7
    }
}

#[inline(always)]
fn decode<S: Sixteen>(s: S, block: &Block, y: &mut [f32; 256]) {
    let scale = s.half_to_float(block.scale());
    for (g, y) in y.as_chunks_mut().0.iter_mut().enumerate() {
        let scale = scale * f32::from(2 * block.group_scale(g) + 1);
        let eights = map(&[block.code(g, 0), block.code(g, 1)], |(code, down)| {
            eightfold(code, down)
        });
        decode_pair(s, eights, scale, y);
    }
}

impl Super for Iq1M {
    #[inline(always)]
    fn add<S: SixtyFour>(s: S, block: &Block, x: &SuperBlock, sum: S::F) -> S::F {
        let scales = fill(|g| (2 * block.group_scale(g) + 1) as i16);
        let integers = dot_signed_pairs(s, x, &scales, |g, k| {
            let (code, down) = block.code(g, k);
            eightfold(code, down)
        });
        x.add(s, sum, 0.125 * s.half_to_float(block.scale()), integers)
    }
}

/// The scales of the groups in units that the largest of them decides, and the unit.
#[inline(always)]
fn integer_scales(groups: &[Found<2>; 16]) -> Option<(f32, [u8; 16])> {
    quantize_scales(&map(groups, |group| group.scale), 7)
}

fn encode_ref(x: &[f32; 256], importance: Option<&[f32; 256]>, block: &mut Block) {
    let sigma2 = 2.0 * sum_squares(x) / 256.0;
    let weights = weigh(x, importance, sigma2);
    let mut groups = [Found::NONE; 16];
    let pairs = x.as_chunks::<16>().0.iter().zip(weights.as_chunks().0);
    for (group, (x, weights)) in groups.iter_mut().zip(pairs) {
        if max_abs(x) < EPS {
            continue;
        }
        if let Some(split) = best_split_ref(x, weights) {
            *group = split.snap(bytemuck::cast_ref(x), bytemuck::cast_ref(weights));
        }
    }
    *block = match integer_scales(&groups) {
        None => Block::of_codes(&groups),
        Some((unit, scales)) => {
            let (x, weights) = (x.as_chunks().0, weights.as_chunks().0);
            let scale = refit_scale(&groups, &scales, x, weights);
            Block::new(&groups, scale.unwrap_or(unit), &scales)
        }
    };
}

/// The block's scale for given codes and group scales, by least squares.
fn refit_scale(
    groups: &[Found<2>; 16],
    scales: &[u8; 16],
    x: &[[f32; 8]],
    weights: &[[f32; 8]],
) -> Option<f32> {
    let mut sums = Sums::default();
    for (i, (x, weights)) in x.iter().zip(weights).enumerate() {
        let (group, k) = (&groups[i / 2], i % 2);
        let scale = f32::from(2 * scales[i / 2] + 1);
        let values = vector(group.codes[k], group.down[k]).map(|v| v * scale);
        sums.add(&values, x, weights);
    }
    (sums.qq > 0.0).then(|| sums.qx / sums.qq)
}

impl SplitFormat<16, 2> for Iq1M {
    const EPS: f32 = EPS;

    #[inline(always)]
    fn best_split<L: Lanes>(l: L, group: &SortedGroup<L, 16>) -> lanes::Split<L, 2> {
        lanes::best_split_of_16(l, group)
    }
}

impl LaneFormat<256> for Iq1M {
    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 256>, out: &mut [Block]) {
        let found = lanes::fit_groups::<Self, L, 16, 16, 2>(l, tile, out.len());
        let mut units = [0.0; MAX_LANES];
        let mut scales = [None; MAX_LANES];
        for lane in 0..out.len() {
            if let Some((unit, own)) = integer_scales(&found[lane]) {
                (units[lane], scales[lane]) = (unit, Some(own));
            }
        }
        let refitted = lanes::refit_blocks(l, tile, &found, &scales, &units);
        for (lane, block) in out.iter_mut().enumerate() {
            *block = match &scales[lane] {
                None => Block::of_codes(&found[lane]),
                Some(scales) => Block::new(&found[lane], refitted[lane], scales),
            };
        }
    }
}

/// The split, the shifts and the scale with the least weighted squared error, of all that there are.
///
/// The values of neighbouring levels differ by 1, so that the sum of value · element over a split is
/// the highest value times the total, less the sums below either boundary.
fn best_split_ref(x: &[f32; 16], weights: &[f32; 16]) -> Option<Split<2>> {
    let order = ascending(x);
    let wx = prefix_sums(&order, |i| weights[i] * x[i]);
    let w = prefix_sums(&order, |i| weights[i]);
    // All by shift, then by eight: the totals, and what elements below either boundary change.
    let shifts = [UP, DOWN];
    let total_wx = shifts.map(|[.., v2]| [0, 1].map(|k| wx[k][16] * v2));
    let total_w = shifts.map(|[.., v2]| [0, 1].map(|k| w[k][16] * v2 * v2));
    let below_a = shifts.map(|[v0, v1, _]| w.map(|w| w.map(|w| w * (v0 * v0 - v1 * v1))));
    let below_b = shifts.map(|[_, v1, v2]| w.map(|w| w.map(|w| w * (v1 * v1 - v2 * v2))));
    let mut best = None;
    let mut best_score = f32::MIN;
    for a in 0..=16 {
        for b in a..=16 {
            let qx = |s: usize, k: usize| total_wx[s][k] - (wx[k][a] + wx[k][b]);
            let qq = |s: usize, k: usize| total_w[s][k] + below_a[s][k][a] + below_b[s][k][b];
            for down in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                let qx = qx(down[0], 0) + qx(down[1], 1);
                let qq = qq(down[0], 0) + qq(down[1], 1);
                if qq > 0.0 && qx * qx > best_score * qq {
                    let scale = qx / qq;
                    best_score = scale * qx;
                    best = Some((a, b, scale, down));
                }
            }
        }
    }
    let (a, b, scale, down) = best?;
    let down = down.map(|down| down == 1);
    Some(Split::new(&order, (a, b), scale, down))
}

/// For each eight, its terms' sums over the smallest 0 to 16 elements.
fn prefix_sums(order: &[usize; 16], term: impl Fn(usize) -> f32) -> [[f32; 17]; 2] {
    let mut sums = [[0.0; 17]; 2];
    for (rank, i) in order.iter().enumerate() {
        for (eight, sums) in sums.iter_mut().enumerate() {
            let own = i / 8 == eight;
            sums[rank + 1] = if own {
                sums[rank] + term(*i)
            } else {
                sums[rank]
            };
        }
    }
    sums
}

//! IQ1_S and IQ1_M in lanes: one group of each super-block is sorted and split in the best of all ways,
//! its eights are looked up in the codebook one after the other, and its scale is fitted in lanes again.

mod refit;
mod snap;
mod sort;
mod split;

pub(in crate::block) use refit::refit_blocks;
pub(in crate::block) use sort::Sorted as SortedGroup;
pub(in crate::block) use split::{Split, best_split_of_16, best_split_of_32};

use super::Tile;
use super::number::{squares, sum_squares, weigh_important};
use crate::block::iq1::Found;
use crate::simd::{Lanes, MAX_LANES};
use refit::refit_group;
use snap::Eights;
use sort::Sorted;

/// A format with `GROUPS` groups of `EIGHTS` eights in a super-block.
pub(in crate::block) trait SplitFormat<const LEN: usize, const EIGHTS: usize> {
    /// Groups whose largest magnitude is below this get scale 0.
    const EPS: f32;

    /// The scalar `best_split_ref` in every lane. Implementations must be `#[inline(always)]`.
    fn best_split<L: Lanes>(l: L, group: &Sorted<L, LEN>) -> Split<L, EIGHTS>;
}

/// A group of each super-block, and its weights.
struct Group<L: Lanes, const LEN: usize> {
    x: [L::F; LEN],
    weights: [L::F; LEN],
}

impl<L: Lanes, const LEN: usize> Group<L, LEN> {
    #[inline(always)]
    fn load(l: L, tile: &Tile<'_, 256>, g: usize, sigma2: L::F) -> Self {
        let x = l.load(&tile.x, g * LEN);
        let weights = match &tile.importance {
            Some(w) => weigh_important(l, &x, l.load(w, g * LEN), sigma2),
            None => squares(l, &x),
        };
        Self { x, weights }
    }

    /// Where all magnitudes are below `eps`.
    #[inline(always)]
    fn is_below(&self, l: L, eps: f32) -> L::M {
        let mut max = l.splat(0.0);
        for i in 0..LEN {
            max = l.max(l.abs(self.x[i]), max);
        }
        l.lt(max, l.splat(eps))
    }
}

/// Twice the mean square of each super-block.
#[inline(always)]
pub(in crate::block) fn sigma2<L: Lanes>(l: L, tile: &Tile<'_, 256>) -> L::F {
    let mut sum = l.splat(0.0);
    for part in 0..16 {
        sum = sum_squares(l, sum, &l.load::<256, 16>(&tile.x, 16 * part));
    }
    l.mul(l.mul(l.splat(2.0), sum), l.splat(1.0 / 256.0))
}

/// What is found for the groups of each of the tile's first `blocks` super-blocks.
#[inline(always)]
pub(in crate::block) fn fit_groups<
    F,
    L,
    const GROUPS: usize,
    const LEN: usize,
    const EIGHTS: usize,
>(
    l: L,
    tile: &Tile<'_, 256>,
    blocks: usize,
) -> [[Found<EIGHTS>; GROUPS]; MAX_LANES]
where
    F: SplitFormat<LEN, EIGHTS>,
    L: Lanes,
{
    let mut found = [[Found::NONE; GROUPS]; MAX_LANES];
    let sigma2 = sigma2(l, tile);
    let mut row_sigma2 = [0.0; MAX_LANES];
    l.store(sigma2, &mut row_sigma2);
    for g in 0..GROUPS {
        let group = Group::<L, LEN>::load(l, tile, g, sigma2);
        let sorted = Sorted::of(l, &group.x, &group.weights);
        let split = F::best_split(l, &sorted);
        let none = l.or(split.none, group.is_below(l, F::EPS));
        let eights = Eights::of(l, &split, none, &split.numbers(l, &group.x, &sorted));
        let changed = eights.snap(l.row(), tile, &row_sigma2, g, &mut found[..blocks]);
        let mut values = [[0.0; LEN]; MAX_LANES];
        for (lane, found) in found[..blocks].iter().enumerate() {
            if changed[lane] {
                found[g].values(l.row(), 1.0, &mut values[lane]);
            }
        }
        let mut scales = [0.0; MAX_LANES];
        l.store(refit_group(l, &group, &values, split.scale), &mut scales);
        for (lane, found) in found[..blocks].iter_mut().enumerate() {
            if !eights.none(lane) {
                found[g].scale = scales[lane];
            }
        }
    }
    found
}

//! Scales for given codes, by least squares in every lane.

use super::{Group, sigma2};
use crate::block::iq1::Found;
use crate::block::lanes::Tile;
use crate::simd::{Lanes, MAX_LANES};

/// The weighted sums of value · element and of value².
struct Sums<L: Lanes> {
    qx: L::F,
    qq: L::F,
}

impl<L: Lanes> Sums<L> {
    #[inline(always)]
    fn none(l: L) -> Self {
        let zero = l.splat(0.0);
        Self { qx: zero, qq: zero }
    }

    /// Adds a group with its values, a lane in each row.
    #[inline(always)]
    fn add<const LEN: usize>(
        &mut self,
        l: L,
        group: &Group<L, LEN>,
        values: &[[f32; LEN]; MAX_LANES],
    ) {
        let mut rows = [&values[0]; MAX_LANES];
        for (row, own) in rows.iter_mut().zip(values) {
            *row = own;
        }
        let values: [L::F; LEN] = l.load(&rows, 0);
        for i in 0..LEN {
            let weighted = l.mul(group.weights[i], values[i]);
            self.qx = l.add(self.qx, l.mul(weighted, group.x[i]));
            self.qq = l.add(self.qq, l.mul(weighted, values[i]));
        }
    }
}

/// The scale of a group for its values, or `scale` where they are all zero or have no positive one.
#[inline(always)]
pub(super) fn refit_group<L: Lanes, const LEN: usize>(
    l: L,
    group: &Group<L, LEN>,
    values: &[[f32; LEN]; MAX_LANES],
    scale: L::F,
) -> L::F {
    let mut sums = Sums::none(l);
    sums.add(l, group, values);
    let zero = l.splat(0.0);
    let fits = l.and(l.lt(zero, sums.qx), l.lt(zero, sums.qq));
    l.select(fits, l.div(sums.qx, sums.qq), scale)
}

/// The scale of each super-block with groups of these integer scales, or its own unit where none can be
/// fitted.
#[inline(always)]
pub(in crate::block) fn refit_blocks<L: Lanes>(
    l: L,
    tile: &Tile<'_, 256>,
    found: &[[Found<2>; 16]; MAX_LANES],
    scales: &[Option<[u8; 16]>; MAX_LANES],
    units: &[f32; MAX_LANES],
) -> [f32; MAX_LANES] {
    let sigma2 = sigma2(l, tile);
    let mut sums = Sums::none(l);
    for g in 0..16 {
        let mut values = [[0.0; 16]; MAX_LANES];
        for lane in 0..L::N {
            if let Some(scales) = &scales[lane] {
                let scale = f32::from(2 * scales[g] + 1);
                found[lane][g].values(l.row(), scale, &mut values[lane]);
            }
        }
        sums.add(l, &Group::load(l, tile, g, sigma2), &values);
    }
    let fits = l.lt(l.splat(0.0), sums.qq);
    let scale = l.select(fits, l.div(sums.qx, sums.qq), l.read(units));
    let mut stored = [0.0; MAX_LANES];
    l.store(scale, &mut stored);
    stored
}

//! Q2_K, Q4_K and Q5_K in lanes.

use super::Tile;
use super::affine::{AffineFit, fit_affine};
use super::header::fit_positive;
use super::number::{sum, sum_block_squares, sum_squares, weigh_important};
use super::per_lane::PerLane;
use crate::block::k_affine::{Groups, Header, KAffine};
use crate::block::number::map;
use crate::block::search::{Deviation, FoundCodes, Grid};
use crate::block::{BlockFormat, codes};
use crate::numeric::F16;
use crate::simd::{Lanes, MAX_LANES, Narrow, Portable};
use bytemuck::cast_ref;

/// A format of 256 elements in `GROUPS` groups of `LEN`, each with a scale and a minimum.
pub(in crate::block) trait AffineFormat<const GROUPS: usize, const LEN: usize>:
    BlockFormat
{
    const K: KAffine;

    /// The finished block. Implementations must be `#[inline(always)]`.
    fn block<S: Narrow, C: FoundCodes<LEN>>(
        s: S,
        x: &[[f32; LEN]; GROUPS],
        groups: Groups<GROUPS, LEN, C>,
        headers: [Header<GROUPS>; 2],
    ) -> Self::Block;
}

/// The results of the searches for a tile.
struct Fits<L: Lanes, const GROUPS: usize> {
    scales: [L::F; GROUPS],
    /// Negated, as the formats have them.
    mins: [L::F; GROUPS],
    inverses: [L::F; GROUPS],
    origins: [L::F; GROUPS],
}

/// [`LaneFormat::encode_tile`](super::LaneFormat::encode_tile) of these formats.
#[inline(always)]
pub(in crate::block) fn encode_affine_tile<F, L, const GROUPS: usize, const LEN: usize>(
    l: L,
    tile: &Tile<'_, 256>,
    out: &mut [F::Block],
) where
    F: AffineFormat<GROUPS, LEN>,
    L: Lanes,
{
    match &tile.importance {
        None => {
            let fits = fit_groups::<F, L, GROUPS, LEN>(l, &tile.x);
            let fits = BlockFits::new(l, &fits);
            for (lane, block) in out.iter_mut().enumerate() {
                let x = cast_ref(tile.x[lane]);
                let groups = fits.lane(lane, x, F::K.top);
                let headers = groups.headers(F::K.top_scale, F::K.limit);
                *block = F::block(l.row(), x, groups, headers);
            }
        }
        Some(importance) => {
            let (fits, sums) = fit_weighted_groups::<F, L, GROUPS, LEN>(l, &tile.x, importance);
            let scales = BlockHeaders::fit(l, &fits.scales, &sums, F::K.top_scale);
            let mins = BlockHeaders::fit(l, &fits.mins, &sums, F::K.top_scale);
            let fits = BlockFits::new(l, &fits);
            for (lane, block) in out.iter_mut().enumerate() {
                let x = cast_ref(tile.x[lane]);
                let groups = fits.lane(lane, x, F::K.top);
                *block = F::block(l.row(), x, groups, [scales.lane(lane), mins.lane(lane)]);
            }
        }
    }
}

#[inline(always)]
fn fit_groups<F, L, const GROUPS: usize, const LEN: usize>(
    l: L,
    blocks: &[&[f32; 256]; MAX_LANES],
) -> Fits<L, GROUPS>
where
    F: AffineFormat<GROUPS, LEN>,
    L: Lanes,
{
    let mut fits = Fits::none(l);
    let mut codes = [l.splat(0.0); LEN];
    for g in 0..GROUPS {
        let x: [L::F; LEN] = l.load(blocks, g * LEN);
        let weights = own_weights(l, &x, F::K.root_mean_square);
        let (grid, deviation) = (F::K.grid, F::K.deviation);
        let fit = fit_affine(l, &x, &weights, F::K.top, grid, deviation, &mut codes);
        fits.set(l, g, fit);
    }
    fits
}

/// The weights without importance: magnitudes, and what they may be added to.
#[inline(always)]
fn own_weights<L: Lanes, const LEN: usize>(
    l: L,
    x: &[L::F; LEN],
    root_mean_square: bool,
) -> [L::F; LEN] {
    let mut weights = *x;
    let mean = l.div(sum_squares(l, l.splat(0.0), x), l.splat(LEN as f32));
    let root = l.sqrt(mean);
    for i in 0..LEN {
        let magnitude = l.abs(x[i]);
        weights[i] = if root_mean_square {
            l.add(root, magnitude)
        } else {
            magnitude
        };
    }
    weights
}

/// The fits with importance, and the sums of the groups' weights.
#[inline(always)]
fn fit_weighted_groups<F, L, const GROUPS: usize, const LEN: usize>(
    l: L,
    blocks: &[&[f32; 256]; MAX_LANES],
    importance: &[&[f32; 256]; MAX_LANES],
) -> (Fits<L, GROUPS>, [L::F; GROUPS])
where
    F: AffineFormat<GROUPS, LEN>,
    L: Lanes,
{
    let squares = sum_block_squares(l, blocks);
    let squares = l.mul(l.splat(F::K.mean_squares), squares);
    let sigma2 = l.div(squares, l.splat(256.0));
    let mut fits = Fits::none(l);
    let mut sums = [l.splat(0.0); GROUPS];
    let mut codes = [l.splat(0.0); LEN];
    for g in 0..GROUPS {
        let x: [L::F; LEN] = l.load(blocks, g * LEN);
        let importance: [L::F; LEN] = l.load(importance, g * LEN);
        let weights = weigh_important(l, &x, importance, sigma2);
        sums[g] = sum(l, &weights);
        let (grid, deviation) = (Grid::WEIGHTED, Deviation::Squared);
        let fit = fit_affine(l, &x, &weights, F::K.top, grid, deviation, &mut codes);
        fits.set(l, g, fit);
    }
    (fits, sums)
}

impl<L: Lanes, const GROUPS: usize> Fits<L, GROUPS> {
    #[inline(always)]
    fn none(l: L) -> Self {
        let none = [l.splat(0.0); GROUPS];
        Self {
            scales: none,
            mins: none,
            inverses: none,
            origins: none,
        }
    }

    #[inline(always)]
    fn set(&mut self, l: L, group: usize, fit: AffineFit<L>) {
        self.scales[group] = fit.scale;
        self.mins[group] = l.neg(fit.min);
        self.inverses[group] = fit.inverse;
        self.origins[group] = fit.origin;
    }
}

/// [`Fits`] as the blocks need them.
struct BlockFits<const GROUPS: usize> {
    scales: PerLane<f32, GROUPS>,
    mins: PerLane<f32, GROUPS>,
    inverses: PerLane<f32, GROUPS>,
    origins: PerLane<f32, GROUPS>,
}

impl<const GROUPS: usize> BlockFits<GROUPS> {
    #[inline(always)]
    fn new<L: Lanes>(l: L, fits: &Fits<L, GROUPS>) -> Self {
        Self {
            scales: PerLane::of(l, &fits.scales),
            mins: PerLane::of(l, &fits.mins),
            inverses: PerLane::of(l, &fits.inverses),
            origins: PerLane::of(l, &fits.origins),
        }
    }

    #[inline(always)]
    fn lane<'a, const LEN: usize>(
        &self,
        lane: usize,
        x: &'a [[f32; LEN]; GROUPS],
        top: i32,
    ) -> Groups<GROUPS, LEN, CodesAgain<'a, GROUPS, LEN>> {
        Groups {
            scales: self.scales.lane(lane),
            mins: self.mins.lane(lane),
            codes: CodesAgain {
                x,
                inverses: self.inverses.lane(lane),
                origins: self.origins.lane(lane),
                top,
            },
        }
    }
}

/// The header for scales or for minima with importance.
struct BlockHeaders<const GROUPS: usize> {
    units: PerLane<f32, 1>,
    multiples: PerLane<i32, GROUPS>,
}

impl<const GROUPS: usize> BlockHeaders<GROUPS> {
    #[inline(always)]
    fn fit<L: Lanes>(l: L, values: &[L::F; GROUPS], weights: &[L::F; GROUPS], top: u8) -> Self {
        let fit = fit_positive(l, values, weights, i32::from(top));
        Self {
            units: PerLane::of(l, &[fit.scale]),
            multiples: PerLane::of_i(l, &fit.codes),
        }
    }

    #[inline(always)]
    fn lane(&self, lane: usize) -> Header<GROUPS> {
        let [unit] = self.units.lane(lane);
        Header {
            unit: F16::from_f32(unit),
            multiples: map(&self.multiples.lane(lane), |multiple| multiple as u8),
        }
    }
}

/// The codes of a search, computed again from the scale and minimum that won: few are ever needed.
pub(in crate::block) struct CodesAgain<'a, const GROUPS: usize, const LEN: usize> {
    x: &'a [[f32; LEN]; GROUPS],
    inverses: [f32; GROUPS],
    origins: [f32; GROUPS],
    top: i32,
}

impl<const GROUPS: usize, const LEN: usize> FoundCodes<LEN> for CodesAgain<'_, GROUPS, LEN> {
    #[cold]
    #[inline(never)]
    fn of_group(&self, group: usize) -> [u8; LEN] {
        let (inverse, origin) = (self.inverses[group], self.origins[group]);
        codes::multiplied(Portable, &self.x[group], inverse, origin, 0, self.top)
    }
}

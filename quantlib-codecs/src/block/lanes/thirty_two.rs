//! Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 in lanes: blocks of 32 elements, each a group of its own.

use super::Tile;
use super::affine::fit_affine;
use super::number::weigh_important;
use super::per_lane::PerLane;
use super::symmetric::fit_symmetric;
use crate::block::number::{self, map};
use crate::block::search::{Deviation, Grid};
use crate::numeric::F16;
use crate::simd::{Lanes, MAX_LANES};

/// The importance of each lane's columns.
type Importance<'a> = [&'a [f32; 32]; MAX_LANES];

/// Scale and inverse scale of symmetric blocks with importance, for
/// [`symmetric_codes`](super::symmetric_codes).
#[inline(always)]
pub(in crate::block) fn fit_symmetric_blocks<L: Lanes>(
    l: L,
    tile: &Tile<'_, 32>,
    importance: &Importance<'_>,
    half: i32,
) -> PerLane<f32, 2> {
    let x = l.load(&tile.x, 0);
    let weights = weigh(l, tile, importance, &x);
    let fit = fit_symmetric::<L, 32, false>(l, &x, &weights, half);
    PerLane::of(l, &[fit.scale, fit.inverse])
}

/// Scale, minimum, inverse scale and origin of affine blocks with importance: the latter two for
/// [`affine_codes`].
#[inline(always)]
pub(in crate::block) fn fit_affine_blocks<L: Lanes>(
    l: L,
    tile: &Tile<'_, 32>,
    importance: &Importance<'_>,
    top: i32,
) -> PerLane<f32, 4> {
    let x = l.load(&tile.x, 0);
    let weights = weigh(l, tile, importance, &x);
    let (grid, deviation) = (Grid::WEIGHTED, Deviation::Squared);
    let mut codes = [l.splat(0.0); 32];
    let fit = fit_affine(l, &x, &weights, top, grid, deviation, &mut codes);
    PerLane::of(l, &[fit.scale, fit.min, fit.inverse, fit.origin])
}

/// The scales of blocks, their reciprocals (0 for 0), and the smallest elements where they matter.
pub(in crate::block) struct Scales {
    pub(in crate::block) scales: [F16; MAX_LANES],
    pub(in crate::block) inverses: [f32; MAX_LANES],
    pub(in crate::block) mins: [f32; MAX_LANES],
    pub(in crate::block) half_mins: [F16; MAX_LANES],
}

impl Scales {
    #[inline(always)]
    fn of<L: Lanes>(l: L, scale: L::F, min: L::F) -> Self {
        let zero = l.splat(0.0);
        let inverse = l.select(l.eq(scale, zero), zero, l.div(l.splat(1.0), scale));
        let [mut scales, mut inverses, mut mins] = [[0.0; MAX_LANES]; 3];
        l.store(scale, &mut scales);
        l.store(inverse, &mut inverses);
        l.store(min, &mut mins);
        Self {
            scales: map(&scales, F16::from_f32),
            inverses,
            mins,
            half_mins: map(&mins, F16::from_f32),
        }
    }
}

/// The scales that map the element farthest from zero to -`half`.
#[inline(always)]
pub(in crate::block) fn symmetric_scales<L: Lanes>(
    l: L,
    blocks: &[&[f32; 32]; MAX_LANES],
    half: i32,
) -> Scales {
    let (min, max) = l.ranges::<32, 32>(blocks, 0);
    let farthest = l.select(l.lt(l.neg(min), max), max, min);
    // The first of both has to be looked for.
    let either = l.eq(l.neg(min), max);
    let farthest = by_lane(l, either, farthest, blocks, scalar_farthest);
    let scale = l.div(farthest, l.splat(-half as f32));
    Scales::of(l, scale, l.splat(0.0))
}

/// The scales that map the largest magnitude to `top`.
#[inline(always)]
pub(in crate::block) fn magnitude_scales<L: Lanes>(
    l: L,
    blocks: &[&[f32; 32]; MAX_LANES],
    top: i32,
) -> Scales {
    let max = l.max_magnitudes::<32, 32>(blocks, 0);
    let scale = l.div(max, l.splat(top as f32));
    Scales::of(l, scale, l.splat(0.0))
}

/// The scales and minima that map the smallest element to 0 and the largest to `top`.
#[inline(always)]
pub(in crate::block) fn affine_scales<L: Lanes>(
    l: L,
    blocks: &[&[f32; 32]; MAX_LANES],
    top: i32,
) -> Scales {
    let (min, max) = l.ranges::<32, 32>(blocks, 0);
    let zero = l.splat(0.0);
    // Of zeros with both signs the first counts.
    let min = by_lane(l, l.eq(min, zero), min, blocks, scalar_min);
    let max = by_lane(l, l.eq(max, zero), max, blocks, scalar_max);
    Scales::of(l, l.div(l.sub(max, min), l.splat(top as f32)), min)
}

/// `a`, but what the function gives for its lane's block where `mask` is set.
#[inline(always)]
fn by_lane<L: Lanes>(
    l: L,
    mask: L::M,
    a: L::F,
    blocks: &[&[f32; 32]; MAX_LANES],
    of_block: fn(&[f32; 32]) -> f32,
) -> L::F {
    if !l.any(mask) {
        return a;
    }
    let [mut lanes, mut wanted] = [[0.0; MAX_LANES]; 2];
    l.store(a, &mut lanes);
    l.store(l.select(mask, l.splat(1.0), l.splat(0.0)), &mut wanted);
    for i in 0..L::N {
        if wanted[i] != 0.0 {
            lanes[i] = of_block(blocks[i]);
        }
    }
    l.read(&lanes)
}

// Rare, so that they need not be compiled for every instruction set.

#[cold]
#[inline(never)]
fn scalar_farthest(block: &[f32; 32]) -> f32 {
    number::extreme(block)
}

#[cold]
#[inline(never)]
fn scalar_min(block: &[f32; 32]) -> f32 {
    number::range(block).0
}

#[cold]
#[inline(never)]
fn scalar_max(block: &[f32; 32]) -> f32 {
    number::range(block).1
}

/// The weights of the blocks `x`.
#[inline(always)]
fn weigh<L: Lanes>(
    l: L,
    tile: &Tile<'_, 32>,
    importance: &Importance<'_>,
    x: &[L::F; 32],
) -> [L::F; 32] {
    let sigma2 = l.read(&tile.row_mean_squares);
    weigh_important(l, x, l.load(importance, 0), sigma2)
}

//! Q4_0, Q4_1, Q5_0 and Q5_1 in lanes: blocks of 32 elements, each a group of its own.

use super::Tile;
use super::affine::fit_affine;
use super::number::weigh_important;
use super::per_lane::PerLane;
use super::symmetric::fit_symmetric;
use crate::block::number::nearest_int;
use crate::block::search::{Deviation, Grid};
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
    let (x, weights) = load_weighted(l, tile, importance);
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
    let (x, weights) = load_weighted(l, tile, importance);
    let (grid, deviation) = (Grid::WEIGHTED, Deviation::Squared);
    let mut codes = [l.splat(0.0); 32];
    let fit = fit_affine(l, &x, &weights, top, grid, deviation, &mut codes);
    PerLane::of(l, &[fit.scale, fit.min, fit.inverse, fit.origin])
}

/// The codes of a scalar `fit_affine` that found this inverse scale at this minimum.
#[inline(always)]
pub(in crate::block) fn affine_codes<const LEN: usize>(
    x: &[f32; LEN],
    inverse: f32,
    origin: f32,
    top: i32,
) -> [u8; LEN] {
    let mut codes = [0; LEN];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = nearest_int(inverse * (x - origin)).clamp(0, top) as u8;
    }
    codes
}

#[inline(always)]
fn load_weighted<L: Lanes>(
    l: L,
    tile: &Tile<'_, 32>,
    importance: &Importance<'_>,
) -> ([L::F; 32], [L::F; 32]) {
    let x = l.load(&tile.x, 0);
    let importance = l.load(importance, 0);
    let sigma2 = l.read(&tile.row_mean_squares);
    (x, weigh_important(l, &x, &importance, sigma2))
}

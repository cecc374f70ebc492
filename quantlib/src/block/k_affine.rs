//! What Q2_K, Q4_K and Q5_K share: super-blocks of 256 elements in groups with scales and minima.

use super::number::nearest_int;
use super::search::{AffineFit, Deviation, Fit, Grid, fit_affine, fit_positive, recode};
use super::weights::{sum_squares, weigh_important};
use crate::numeric::F16;
use bytemuck::cast_ref;

/// The fits of all groups of a super-block, from which its header follows.
pub(super) struct Groups<const GROUPS: usize, const LEN: usize> {
    scales: [f32; GROUPS],
    mins: [f32; GROUPS],
    codes: [[u8; LEN]; GROUPS],
}

/// Integers for the scales (or minima) of the groups, and what to multiply them with.
pub(super) struct Header<const GROUPS: usize> {
    pub(super) unit: F16,
    pub(super) multiples: [u8; GROUPS],
}

impl<const GROUPS: usize, const LEN: usize> Groups<GROUPS, LEN> {
    /// Fits every group with codes up to `top`, weighted as `weights` says.
    #[inline(always)]
    pub(super) fn fit(
        x: &[[f32; LEN]; GROUPS],
        weights: &[[f32; LEN]; GROUPS],
        top: i32,
        grid: Grid,
        deviation: Deviation,
    ) -> Self {
        let mut groups = Self {
            scales: [0.0; GROUPS],
            mins: [0.0; GROUPS],
            codes: [[0; LEN]; GROUPS],
        };
        for i in 0..GROUPS {
            let AffineFit { scale, min, codes } =
                fit_affine(&x[i], &weights[i], top, grid, deviation);
            (groups.scales[i], groups.mins[i], groups.codes[i]) = (scale, min, codes);
        }
        groups
    }

    /// The headers without importance: the largest scale and minimum get the multiple `top`.
    #[inline(always)]
    pub(super) fn headers(&self, top: u8) -> [Header<GROUPS>; 2] {
        [&self.scales, &self.mins].map(|values| {
            let max = values
                .iter()
                .fold(0.0, |max, &v| if v > max { v } else { max });
            let inverse = if max > 0.0 { f32::from(top) / max } else { 0.0 };
            Header {
                unit: F16::from_f32(max / f32::from(top)),
                multiples: values.map(|v| nearest_int(inverse * v) as u8),
            }
        })
    }

    /// The headers with importance: a fit in which a group counts as much as its weights' sum.
    #[inline(always)]
    pub(super) fn weighted_headers(
        &self,
        weights: &[[f32; LEN]; GROUPS],
        top: i32,
    ) -> [Header<GROUPS>; 2] {
        let sums = weights.map(|group| group.iter().fold(0.0, |sum, w| sum + w));
        [&self.scales, &self.mins].map(|values| {
            let Fit { scale, codes } = fit_positive(values, &sums, top);
            Header {
                unit: F16::from_f32(scale),
                multiples: codes,
            }
        })
    }

    /// The codes of all groups, anew for the scales and minima as the header has them.
    #[inline(always)]
    pub(super) fn recoded(
        mut self,
        x: &[[f32; LEN]; GROUPS],
        [scale, min]: [F16; 2],
        (scales, mins): &([u8; GROUPS], [u8; GROUPS]),
        top: i32,
    ) -> [[u8; LEN]; GROUPS] {
        let (scale, min) = (scale.to_f32(), min.to_f32());
        for i in 0..GROUPS {
            let group_scale = scale * f32::from(scales[i]);
            let group_min = min * f32::from(mins[i]);
            recode(&x[i], group_scale, group_min, 0, top, &mut self.codes[i]);
        }
        self.codes
    }
}

/// The weights of all groups of a super-block; see [`weigh_important`].
#[inline(always)]
pub(super) fn weigh_groups<const GROUPS: usize, const LEN: usize>(
    x: &[[f32; LEN]; GROUPS],
    importance: &[[f32; LEN]; GROUPS],
    offset: f32,
) -> [[f32; LEN]; GROUPS] {
    std::array::from_fn(|i| weigh_important(&x[i], &importance[i], offset))
}

/// The largest multiple of the scale and of the minimum in Q4_K and Q5_K.
pub(super) const TOP_SCALE: u8 = 63;

/// Q4_K and Q5_K without importance: elements weigh their group's root mean square more than their
/// own magnitude.
#[inline(always)]
pub(super) fn fit_eight(
    x: &[[f32; 32]; 8],
    top: i32,
    grid: Grid,
) -> (Groups<8, 32>, [Header<8>; 2]) {
    let weights = x.map(|group| {
        let root_mean_square = (sum_squares(&group) / 32.0).sqrt();
        group.map(|x| root_mean_square + x.abs())
    });
    let groups = Groups::fit(x, &weights, top, grid, Deviation::Squared);
    let headers = groups.headers(TOP_SCALE).map(|h| Header {
        multiples: h.multiples.map(|m| m.min(TOP_SCALE)),
        ..h
    });
    (groups, headers)
}

/// Q4_K and Q5_K with importance.
#[inline(always)]
pub(super) fn fit_eight_weighted(
    x: &[f32; 256],
    importance: &[f32; 256],
    top: i32,
) -> (Groups<8, 32>, [Header<8>; 2]) {
    let offset = 2.0 * sum_squares(x) / 256.0;
    let x = cast_ref(x);
    let weights = weigh_groups(x, cast_ref(importance), offset);
    let groups = Groups::fit(x, &weights, top, Grid::WEIGHTED, Deviation::Squared);
    let headers = groups.weighted_headers(&weights, i32::from(TOP_SCALE));
    (groups, headers)
}

/// `scale · scales[group] · code - min · mins[group]` for every element.
#[inline(always)]
pub(super) fn decode_groups<const GROUPS: usize>(
    [scale, min]: [F16; 2],
    (scales, mins): &([u8; GROUPS], [u8; GROUPS]),
    codes: &[u8; 256],
    y: &mut [f32; 256],
) {
    let (scale, min) = (scale.to_f32(), min.to_f32());
    let groups = y
        .chunks_exact_mut(256 / GROUPS)
        .zip(codes.chunks_exact(256 / GROUPS));
    for ((y, codes), (&group_scale, &group_min)) in groups.zip(scales.iter().zip(mins)) {
        let group_scale = scale * f32::from(group_scale);
        let group_min = min * f32::from(group_min);
        for (y, &code) in y.iter_mut().zip(codes) {
            *y = group_scale * f32::from(code) - group_min;
        }
    }
}

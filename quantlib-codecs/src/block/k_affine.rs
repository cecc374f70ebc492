//! What Q2_K, Q4_K and Q5_K share: super-blocks of 256 elements in groups with scales and minima.

use super::codes;
use super::elements::scale_and_subtract;
use super::number::{map, nearest_int};
use super::packing::unpack_scales_and_mins;
use super::parts::Scaled;
use super::search::{AffineFit, Deviation, Fit, FoundCodes, Grid, fit_affine, fit_positive};
use super::weights::{sum_squares, weigh_important};
use crate::numeric::F16;
use crate::simd::{Narrow, Sixteen};

/// What distinguishes these formats.
pub(super) struct KAffine {
    /// The largest code.
    pub(super) top: i32,
    /// The scales that are tried without importance.
    pub(super) grid: Grid,
    /// What is summed up without importance.
    pub(super) deviation: Deviation,
    /// Whether elements without importance weigh their group's root mean square more than their own
    /// magnitude.
    pub(super) root_mean_square: bool,
    /// With importance, the sum of squares that the weights start from, in units of the mean square.
    pub(super) mean_squares: f32,
    /// The multiple that the largest scale and the largest minimum get.
    pub(super) top_scale: u8,
    /// Multiples are cut off here without importance.
    pub(super) limit: u8,
}

/// The fits of all groups of a super-block, from which its header follows.
pub(super) struct Groups<const GROUPS: usize, const LEN: usize, C = [[u8; LEN]; GROUPS]> {
    pub(super) scales: [f32; GROUPS],
    pub(super) mins: [f32; GROUPS],
    pub(super) codes: C,
}

/// Integers for the scales (or minima) of the groups, and what to multiply them with.
pub(super) struct Header<const GROUPS: usize> {
    pub(super) unit: F16,
    pub(super) multiples: [u8; GROUPS],
}

impl<const GROUPS: usize> Header<GROUPS> {
    /// The largest value gets the multiple `top`.
    #[inline(always)]
    fn of_largest(values: &[f32; GROUPS], top: u8, limit: u8) -> Self {
        let mut max = 0.0;
        for &value in values {
            max = if value > max { value } else { max };
        }
        let inverse = if max > 0.0 { f32::from(top) / max } else { 0.0 };
        Self {
            unit: F16::from_f32(max / f32::from(top)),
            multiples: map(values, |v| (nearest_int(inverse * v) as u8).min(limit)),
        }
    }
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

    /// The headers with importance: a fit in which a group counts as much as its weights' sum.
    #[inline(always)]
    pub(super) fn weighted_headers(
        &self,
        weights: &[[f32; LEN]; GROUPS],
        top: u8,
    ) -> [Header<GROUPS>; 2] {
        let sums = weights.map(|group| group.iter().fold(0.0, |sum, w| sum + w));
        [&self.scales, &self.mins].map(|values| {
            let Fit { scale, codes } = fit_positive(values, &sums, i32::from(top));
            Header {
                unit: F16::from_f32(scale),
                multiples: codes,
            }
        })
    }
}

impl<const GROUPS: usize, const LEN: usize, C: FoundCodes<LEN>> Groups<GROUPS, LEN, C> {
    /// The headers without importance: the largest scale and minimum get the multiple `top`.
    #[inline(always)]
    pub(super) fn headers(&self, top: u8, limit: u8) -> [Header<GROUPS>; 2] {
        [
            Header::of_largest(&self.scales, top, limit),
            Header::of_largest(&self.mins, top, limit),
        ]
    }

    /// The codes of all groups, anew for the scales and minima as the header has them; where a scale
    /// is zero, the codes of the search stay, as in the reference.
    #[inline(always)]
    pub(super) fn recoded<S: Narrow>(
        self,
        s: S,
        x: &[[f32; LEN]; GROUPS],
        [scale, min]: [F16; 2],
        (scales, mins): &([u8; GROUPS], [u8; GROUPS]),
        top: i32,
    ) -> [[u8; LEN]; GROUPS] {
        let (scale, min) = (scale.to_f32(), min.to_f32());
        let mut codes = [[0; LEN]; GROUPS];
        for i in 0..GROUPS {
            let group_scale = scale * f32::from(scales[i]);
            let group_min = min * f32::from(mins[i]);
            codes[i] = if group_scale == 0.0 {
                self.codes.of_group(i)
            } else {
                codes::divided(s, &x[i], group_scale, group_min, 0, top)
            };
        }
        codes
    }
}

/// The weights of all groups of a super-block; see [`weigh_important`].
#[inline(always)]
fn weigh_groups<const GROUPS: usize, const LEN: usize>(
    x: &[[f32; LEN]; GROUPS],
    importance: &[[f32; LEN]; GROUPS],
    offset: f32,
) -> [[f32; LEN]; GROUPS] {
    std::array::from_fn(|i| weigh_important(&x[i], &importance[i], offset))
}

/// The largest multiple of the scale and of the minimum in Q4_K and Q5_K.
pub(super) const TOP_SCALE: u8 = 63;

/// The fits and headers of a super-block of any of these formats.
#[inline(always)]
pub(super) fn fit_ref<const GROUPS: usize, const LEN: usize>(
    k: &KAffine,
    x: &[[f32; LEN]; GROUPS],
    importance: Option<&[[f32; LEN]; GROUPS]>,
) -> (Groups<GROUPS, LEN>, [Header<GROUPS>; 2]) {
    match importance {
        None => {
            let weights = x.map(|group| own_weights(k, &group));
            let groups = Groups::fit(x, &weights, k.top, k.grid, k.deviation);
            let headers = groups.headers(k.top_scale, k.limit);
            (groups, headers)
        }
        Some(importance) => {
            let offset = k.mean_squares * sum_squares(x.as_flattened()) / 256.0;
            let weights = weigh_groups(x, importance, offset);
            let groups = Groups::fit(x, &weights, k.top, Grid::WEIGHTED, Deviation::Squared);
            let headers = groups.weighted_headers(&weights, k.top_scale);
            (groups, headers)
        }
    }
}

/// The weights of a group without importance.
#[inline(always)]
fn own_weights<const LEN: usize>(k: &KAffine, x: &[f32; LEN]) -> [f32; LEN] {
    if !k.root_mean_square {
        return x.map(f32::abs);
    }
    let root_mean_square = (sum_squares(x) / LEN as f32).sqrt();
    x.map(|x| root_mean_square + x.abs())
}

/// `scale · scales[group] · code - min · mins[group]` for every element.
#[inline(always)]
pub(super) fn decode_groups<S: Sixteen, const GROUPS: usize>(
    s: S,
    [scale, min]: [F16; 2],
    (scales, mins): &([u8; GROUPS], [u8; GROUPS]),
    codes: &[u8; 256],
    y: &mut [f32; 256],
) {
    let (scale, min) = (s.half_to_float(scale), s.half_to_float(min));
    let scales = map(scales, |multiple| scale * f32::from(multiple));
    let mins = map(mins, |multiple| min * f32::from(multiple));
    for g in 0..GROUPS {
        let group = g * 256 / GROUPS..(g + 1) * 256 / GROUPS;
        let (codes, y) = (&codes[group.clone()], &mut y[group]);
        scale_and_subtract(s, codes, scales[g], mins[g], y);
    }
}

/// The scales of the groups of Q4_K and Q5_K, and what is added after scaling; both exact.
pub(super) fn group_scales([scale, min]: [F16; 2], header: &[u8; 12]) -> Scaled<[f32; 8]> {
    let (scales, mins) = unpack_scales_and_mins(header);
    let (scale, min) = (scale.to_f32(), min.to_f32());
    Scaled {
        scales: map(&scales, |multiple| scale * f32::from(multiple)),
        zeros: map(&mins, |multiple| -(min * f32::from(multiple))),
    }
}

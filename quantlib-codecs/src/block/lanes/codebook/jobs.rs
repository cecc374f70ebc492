//! Jobs, groups with one of their scales: rounding for them, and their sums.

use super::super::number::MAGIC;
use super::nearest::Scaled;
use super::{MAX_TRIALS, SURE};
use crate::block::codebook::{Groups, Method, Neighbours};
use crate::simd::{MAX_LANES, Vector};

/// 16 groups with 19 scales each or 8 with 31, and as many again as a vector or a group may run over.
pub(super) const MAX_JOBS: usize = 16 * 19 + MAX_TRIALS;

/// The most vectors in a group.
const MAX_VECTORS: usize = 8;

/// Elements this many levels away are not looked up in lanes.
pub(super) const FAR: f32 = 64.0;

/// The elements of all groups, with what the search needs of their weights.
pub(super) struct Elements<const LEN: usize, const GROUPS: usize> {
    pub(super) x: [[f32; LEN]; GROUPS],
    pub(super) weights: [[f32; LEN]; GROUPS],
    /// Square roots of the weights: neighbours are chosen by these.
    pub(super) roots: [[f32; LEN]; GROUPS],
    /// Weight · element.
    pub(super) weighted: [[f32; LEN]; GROUPS],
}

impl<const LEN: usize, const GROUPS: usize> Elements<LEN, GROUPS> {
    #[inline(always)]
    pub(super) fn new<const EIGHTS: usize>(groups: &Groups<LEN, EIGHTS, GROUPS>) -> Self {
        let mut elements = Self {
            x: [[0.0; LEN]; GROUPS],
            weights: groups.weights,
            roots: [[0.0; LEN]; GROUPS],
            weighted: [[0.0; LEN]; GROUPS],
        };
        for g in 0..GROUPS {
            elements.x[g] = *groups.x(g);
            for i in 0..LEN {
                let w = elements.weights[g][i];
                elements.roots[g][i] = w.sqrt();
                elements.weighted[g][i] = w * elements.x[g][i];
            }
        }
        elements
    }

    /// Whether the lanes' reasoning holds for a group: no NaNs, no numbers so large that errors
    /// overflow, and none so small or so different that rounding might be off by more than the lists
    /// allow for.
    #[inline(always)]
    pub(super) fn are_tame(&self, g: usize, reach: f32) -> bool {
        let mut tame = (1e-30..1e8).contains(&reach);
        let limit = 16.0 * reach;
        for i in 0..LEN {
            tame &= self.x[g][i].abs() <= limit && self.roots[g][i] <= 1e16;
        }
        tame
    }
}

/// Space for all jobs of a super-block: `stride` for each group, of which the first `trials` count.
/// Those behind the last have any values.
pub(super) struct Jobs {
    pub(super) trials: usize,
    pub(super) stride: usize,
    /// Values of the highest level in units of the scale.
    tops: [f32; MAX_JOBS],
    pub(super) scales: [f32; MAX_JOBS],
    /// The numbers of the lists of neighbours for each vector.
    pub(super) numbers: [[i32; MAX_JOBS]; MAX_VECTORS],
    /// The words of what was found for each vector.
    pub(super) words: [[i32; MAX_JOBS]; MAX_VECTORS],
    /// The weighted sums of value · element and of value².
    sums: [[f32; MAX_JOBS]; 2],
}

/// A vector of jobs, which are in at most two groups.
struct Lanes<V: Vector> {
    l: V,
    groups: [usize; 2],
    in_second: V::M,
}

impl<V: Vector> Lanes<V> {
    #[inline(always)]
    fn new(l: V, first: usize, stride: usize, groups: usize) -> Self {
        let mut lanes = [0.0; MAX_LANES];
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = i as f32;
        }
        let second = ((first + V::N - 1) / stride).min(groups - 1);
        let start = (second * stride) as f32 - first as f32;
        Self {
            l,
            groups: [first / stride, second],
            in_second: l.le(l.splat(start), l.read(&lanes)),
        }
    }

    /// In each lane the number of its group.
    #[inline(always)]
    fn pick(&self, first: f32, second: f32) -> V::F {
        let l = self.l;
        l.select(self.in_second, l.splat(second), l.splat(first))
    }
}

impl Jobs {
    pub(super) fn new<V: Vector, const LEVELS: usize>(method: Method) -> Self {
        let trials = 2 * method.steps as usize + 1;
        // At least a vector, so that a vector's jobs are in no more than two groups.
        let stride = trials.max(V::N);
        let mut tops = [1.0; MAX_JOBS];
        for (job, top) in tops.iter_mut().enumerate() {
            let step = (job % stride) as i32 - method.steps;
            *top = (2 * LEVELS - 1) as f32 + step as f32 * method.step;
        }
        Self {
            trials,
            stride,
            tops,
            scales: [1.0; MAX_JOBS],
            numbers: [[0; MAX_JOBS]; MAX_VECTORS],
            words: [[0; MAX_JOBS]; MAX_VECTORS],
            sums: [[0.0; MAX_JOBS]; 2],
        }
    }

    /// Makes the scales, and rounds all elements.
    #[inline(always)]
    pub(super) fn round<
        V: Vector,
        const DIM: usize,
        const LEVELS: usize,
        const FIRST: usize,
        const LEN: usize,
        const GROUPS: usize,
    >(
        &mut self,
        l: V,
        elements: &Elements<LEN, GROUPS>,
        reach: &[f32; GROUPS],
    ) {
        let zero = l.splat(0.0);
        for first in (0..GROUPS * self.stride).step_by(V::N) {
            let jobs = first..first + V::N;
            let lanes = Lanes::new(l, first, self.stride, GROUPS);
            let [a, b] = lanes.groups;
            let reach = lanes.pick(reach[a], reach[b]);
            let inverse = l.div(l.read_at(&self.tops[jobs.clone()]), reach);
            let scale = l.div(l.splat(1.0), inverse);
            l.store_at(scale, &mut self.scales[jobs.clone()]);
            // Halving is exact, here as well as after the multiplication.
            let half = l.mul(inverse, l.splat(0.5));
            for k in 0..LEN / DIM {
                let [mut number, mut farthest] = [zero; 2];
                for i in (k * DIM..(k + 1) * DIM).rev() {
                    let x = lanes.pick(elements.x[a][i], elements.x[b][i]);
                    let place = l.sub(l.mul(half, x), l.splat(0.5));
                    let level = l.sub(l.add(place, l.splat(MAGIC)), l.splat(MAGIC));
                    farthest = l.max(l.abs(l.sub(level, place)), farthest);
                    let level = l.min(l.max(level, zero), l.splat((LEVELS - 1) as f32));
                    number = l.add(l.mul(number, l.splat(LEVELS as f32)), level);
                }
                let unsure = l.splat(Neighbours::<DIM, LEVELS, FIRST>::UNSURE as f32);
                let sure = l.le(farthest, l.splat(SURE));
                let number = l.select(sure, number, l.add(number, unsure));
                let number = l.bits(l.add(number, l.splat(MAGIC)));
                let number = l.and_i(number, l.splat_i(0xffff));
                l.store_i_at(number, &mut self.numbers[k][jobs.clone()]);
            }
        }
    }

    /// Adds up the sums for what was found.
    #[inline(always)]
    pub(super) fn correlate<
        V: Vector,
        const DIM: usize,
        const LEVELS: usize,
        const FIRST: usize,
        const LEN: usize,
        const GROUPS: usize,
    >(
        &mut self,
        l: V,
        elements: &Elements<LEN, GROUPS>,
    ) {
        let values = Scaled::<DIM, LEVELS, FIRST>::values(l);
        for first in (0..GROUPS * self.stride).step_by(V::N) {
            let jobs = first..first + V::N;
            let lanes = Lanes::new(l, first, self.stride, GROUPS);
            let [a, b] = lanes.groups;
            let (weights, weighted) = (&elements.weights, &elements.weighted);
            let [mut qx, mut qq] = [l.splat(0.0); 2];
            for k in 0..LEN / DIM {
                let mut word = l.read_i_at(&self.words[k][jobs.clone()]);
                for i in k * DIM..(k + 1) * DIM {
                    let q = l.look_up(values, word);
                    word = l.next_digit(word);
                    let weighted = lanes.pick(weighted[a][i], weighted[b][i]);
                    let weight = lanes.pick(weights[a][i], weights[b][i]);
                    qx = l.add(qx, l.mul(weighted, q));
                    qq = l.add(qq, l.mul(l.mul(weight, q), q));
                }
            }
            let [to_qx, to_qq] = &mut self.sums;
            l.store_at(qx, &mut to_qx[jobs.clone()]);
            l.store_at(qq, &mut to_qq[jobs]);
        }
    }

    /// The job of a group that has the least error, and its scale fitted to what it found. No scale
    /// if none improves on nothing.
    #[inline(always)]
    pub(super) fn best(&self, g: usize) -> (usize, Option<f32>) {
        let first = g * self.stride;
        let (mut job, mut scale, mut best) = (first, None, 0.0);
        let [qx, qq] = &self.sums;
        for i in first..first + self.trials {
            if qq[i] > 0.0 && qx[i] * qx[i] > best * qq[i] {
                let fitted = qx[i] / qq[i];
                best = fitted * qx[i];
                scale = Some(fitted);
                job = i;
            }
        }
        (job, scale)
    }
}

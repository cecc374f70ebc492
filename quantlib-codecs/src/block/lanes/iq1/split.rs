//! The search for the best split of sorted elements into three levels, in lanes.

use super::sort::Sorted;
use crate::block::iq1::{DOWN, UP};
use crate::simd::Lanes;

/// The best split of a group: the elements of level 1 begin at rank `a`, those of level 2 at `b`.
pub(in crate::block) struct Split<L: Lanes, const EIGHTS: usize> {
    /// Where there is none.
    pub(super) none: L::M,
    /// Negative if levels and shifts are to be mirrored.
    negative: L::M,
    a: L::F,
    b: L::F,
    /// Its magnitude.
    pub(super) scale: L::F,
    /// Whether an eight's values are moved down, after mirroring.
    pub(super) down: [L::M; EIGHTS],
}

/// The best split so far.
struct Best<L: Lanes> {
    score: L::F,
    scale: L::F,
    a: L::F,
    b: L::F,
    shift: L::F,
}

/// The sums of weight · value · element and of weight · value² for a split.
struct Sums<L: Lanes> {
    qx: L::F,
    qq: L::F,
}

impl<L: Lanes> Sums<L> {
    #[inline(always)]
    fn new(qx: L::F, qq: L::F) -> Self {
        Self { qx, qq }
    }

    /// Where it is better than the best, unless `qq` is not positive.
    #[inline(always)]
    fn may_be_better(&self, l: L, best: &Best<L>) -> L::M {
        l.lt(l.mul(best.score, self.qq), l.mul(self.qx, self.qx))
    }
}

impl<L: Lanes> Best<L> {
    #[inline(always)]
    fn none(l: L) -> Self {
        Self {
            score: l.splat(f32::MIN),
            scale: l.splat(0.0),
            a: l.splat(-1.0),
            b: l.splat(-1.0),
            shift: l.splat(0.0),
        }
    }

    #[inline(always)]
    fn improve(&mut self, l: L, sums: &Sums<L>, a: usize, b: usize, shift: usize) {
        let better = l.and(l.lt(l.splat(0.0), sums.qq), sums.may_be_better(l, self));
        let scale = l.div(sums.qx, sums.qq);
        self.score = l.select(better, l.mul(scale, sums.qx), self.score);
        self.scale = l.select(better, scale, self.scale);
        self.a = l.select(better, l.splat(a as f32), self.a);
        self.b = l.select(better, l.splat(b as f32), self.b);
        self.shift = l.select(better, l.splat(shift as f32), self.shift);
    }

    /// The split, where these eights' values are moved down unless it is mirrored.
    #[inline(always)]
    fn split<const EIGHTS: usize>(&self, l: L, down: [L::M; EIGHTS]) -> Split<L, EIGHTS> {
        let negative = l.lt(self.scale, l.splat(0.0));
        let mut mirrored = down;
        for k in 0..EIGHTS {
            let only_down = l.and(down[k], l.not(negative));
            mirrored[k] = l.or(only_down, l.and(negative, l.not(down[k])));
        }
        Split {
            none: l.lt(self.a, l.splat(0.0)),
            negative,
            a: self.a,
            b: self.b,
            scale: l.select(negative, l.neg(self.scale), self.scale),
            down: mirrored,
        }
    }
}

/// The sums over the smallest 0 to 32 elements, of weight · element and of weight.
#[inline(always)]
fn prefix_sums<L: Lanes>(l: L, group: &Sorted<L, 32>) -> [[L::F; 33]; 2] {
    let [mut wx, mut w] = [[l.splat(0.0); 33]; 2];
    for i in 0..32 {
        wx[i + 1] = l.add(wx[i], l.mul(group.weights[i], group.x[i]));
        w[i + 1] = l.add(w[i], group.weights[i]);
    }
    [wx, w]
}

/// The best split of 32 elements with one shift for all.
#[inline(always)]
pub(in crate::block) fn best_split_of_32<L: Lanes>(l: L, group: &Sorted<L, 32>) -> Split<L, 4> {
    let [wx, w] = prefix_sums(l, group);
    // The parts of the sums for level 2, by shift, then by rank.
    let mut right = [[[l.splat(0.0); 33]; 2]; 2];
    for b in 0..=32 {
        let (rest_wx, rest_w) = (l.sub(wx[32], wx[b]), l.sub(w[32], w[b]));
        for (shift, values) in [UP, DOWN].iter().enumerate() {
            let value = l.splat(values[2]);
            right[shift][0][b] = l.mul(rest_wx, value);
            right[shift][1][b] = l.mul(l.mul(rest_w, value), value);
        }
    }
    let middle = l.splat(UP[1]);
    let mut best = Best::none(l);
    for a in 0..=32 {
        let (up, down) = (l.splat(UP[0]), l.splat(DOWN[0]));
        let (up_qx, down_qx) = (l.mul(wx[a], up), l.mul(wx[a], down));
        let (up_qq, down_qq) = (l.mul(l.mul(w[a], up), up), l.mul(l.mul(w[a], down), down));
        for b in a..=32 {
            // The values of level 1 differ in their sign alone.
            let qx = l.mul(l.sub(wx[b], wx[a]), middle);
            let qq = l.mul(l.mul(l.sub(w[b], w[a]), middle), middle);
            let up = Sums::<L>::new(
                l.add(l.add(up_qx, qx), right[0][0][b]),
                l.add(l.add(up_qq, qq), right[0][1][b]),
            );
            let down = Sums::<L>::new(
                l.add(l.sub(down_qx, qx), right[1][0][b]),
                l.add(l.add(down_qq, qq), right[1][1][b]),
            );
            let better = l.or(up.may_be_better(l, &best), down.may_be_better(l, &best));
            if l.any(better) {
                best.improve(l, &up, a, b, 0);
                best.improve(l, &down, a, b, 1);
            }
        }
    }
    let down = l.lt(l.splat(0.0), best.shift);
    best.split(l, [down; 4])
}

/// The best split of 16 elements with a shift for each eight.
///
/// The values of neighbouring levels differ by 1, so that the sum of value · element over a split is
/// the highest value times the total, less the sums below either boundary.
#[inline(always)]
pub(in crate::block) fn best_split_of_16<L: Lanes>(l: L, group: &Sorted<L, 16>) -> Split<L, 2> {
    let zero = l.splat(0.0);
    // By eight, then by rank.
    let [mut wx, mut w] = [[[zero; 17]; 2]; 2];
    for i in 0..16 {
        let first = l.lt(group.places[i], l.splat(8.0));
        let weight = group.weights[i];
        let weighted = l.mul(weight, group.x[i]);
        // No sum is -0, so that adding 0 changes nothing.
        wx[0][i + 1] = l.add(wx[0][i], l.select(first, weighted, zero));
        wx[1][i + 1] = l.add(wx[1][i], l.select(first, zero, weighted));
        w[0][i + 1] = l.add(w[0][i], l.select(first, weight, zero));
        w[1][i + 1] = l.add(w[1][i], l.select(first, zero, weight));
    }
    // By shift, then by eight.
    let [mut total_wx, mut total_w] = [[[zero; 2]; 2]; 2];
    let mut below_b = [[[zero; 17]; 2]; 2];
    for (shift, [_, v1, v2]) in [UP, DOWN].into_iter().enumerate() {
        let factor = l.splat(v1 * v1 - v2 * v2);
        let v2 = l.splat(v2);
        for k in 0..2 {
            total_wx[shift][k] = l.mul(wx[k][16], v2);
            total_w[shift][k] = l.mul(l.mul(w[k][16], v2), v2);
            for b in 0..=16 {
                below_b[shift][k][b] = l.mul(w[k][b], factor);
            }
        }
    }
    let mut best = Best::none(l);
    for a in 0..=16 {
        let mut above_a = total_w;
        for (shift, [v0, v1, _]) in [UP, DOWN].into_iter().enumerate() {
            let factor = l.splat(v0 * v0 - v1 * v1);
            for k in 0..2 {
                above_a[shift][k] = l.add(total_w[shift][k], l.mul(w[k][a], factor));
            }
        }
        for b in a..=16 {
            let below = [l.add(wx[0][a], wx[0][b]), l.add(wx[1][a], wx[1][b])];
            let [mut qx, mut qq] = [[[zero; 2]; 2]; 2];
            for shift in 0..2 {
                for k in 0..2 {
                    qx[shift][k] = l.sub(total_wx[shift][k], below[k]);
                    qq[shift][k] = l.add(above_a[shift][k], below_b[shift][k][b]);
                }
            }
            macro_rules! sums {
                ($first:literal, $second:literal) => {
                    Sums::<L>::new(
                        l.add(qx[$first][0], qx[$second][1]),
                        l.add(qq[$first][0], qq[$second][1]),
                    )
                };
            }
            let all = [sums!(0, 0), sums!(0, 1), sums!(1, 0), sums!(1, 1)];
            let low = l.or(
                all[0].may_be_better(l, &best),
                all[1].may_be_better(l, &best),
            );
            let high = l.or(
                all[2].may_be_better(l, &best),
                all[3].may_be_better(l, &best),
            );
            if l.any(l.or(low, high)) {
                for shift in 0..4 {
                    best.improve(l, &all[shift], a, b, shift);
                }
            }
        }
    }
    let odd = l.or(
        l.eq(best.shift, l.splat(1.0)),
        l.eq(best.shift, l.splat(3.0)),
    );
    best.split(l, [l.le(l.splat(2.0), best.shift), odd])
}

impl<L: Lanes, const EIGHTS: usize> Split<L, EIGHTS> {
    /// The number that the levels of each eight make as digits in base 3, the first one lowest.
    #[inline(always)]
    pub(super) fn numbers<const LEN: usize>(
        &self,
        l: L,
        x: &[L::F; LEN],
        sorted: &Sorted<L, LEN>,
    ) -> [L::F; EIGHTS] {
        let a = Boundary::at(l, sorted, self.a);
        let b = Boundary::at(l, sorted, self.b);
        let zero = l.splat(0.0);
        let mut numbers = [zero; EIGHTS];
        for k in 0..EIGHTS {
            let mut unit = 1.0;
            let mut number = zero;
            for i in 8 * k..8 * k + 8 {
                let digit = l.splat(unit);
                number = l.add(number, l.select(a.has_before(l, x[i], i), zero, digit));
                number = l.add(number, l.select(b.has_before(l, x[i], i), zero, digit));
                unit *= 3.0;
            }
            let mirrored = l.sub(l.splat(6560.0), number);
            numbers[k] = l.select(self.negative, mirrored, number);
        }
        numbers
    }
}

/// The first element beyond a boundary, and where it was in its group.
struct Boundary<L: Lanes> {
    x: L::F,
    place: L::F,
}

impl<L: Lanes> Boundary<L> {
    #[inline(always)]
    fn at<const LEN: usize>(l: L, sorted: &Sorted<L, LEN>, rank: L::F) -> Self {
        let mut x = l.splat(f32::INFINITY);
        let mut place = l.splat(0.0);
        for i in 0..LEN {
            let here = l.eq(rank, l.splat(i as f32));
            x = l.select(here, sorted.x[i], x);
            place = l.select(here, sorted.places[i], place);
        }
        Self { x, place }
    }

    /// Whether element `i` of the group comes before it.
    #[inline(always)]
    fn has_before(&self, l: L, x: L::F, i: usize) -> L::M {
        let equal = l.and(l.eq(x, self.x), l.lt(l.splat(i as f32), self.place));
        l.or(l.lt(x, self.x), equal)
    }
}

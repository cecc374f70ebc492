//! What IQ1_S and IQ1_M share: three values for an element, and codebook vectors of eight.
//!
//! The values of an eight are -1, 0 and 1, all moved up or all moved down by an eighth. First the
//! elements are split at two boundaries in the best of all ways, then each eight gives way to a
//! vector of the codebook, and the scale is fitted anew. Operations and their order are ggml's.

use super::codebook::{IQ1, Lattice, Nearby};
use super::number::map;
use crate::simd::Sixteen;
use std::cmp::Ordering;
use std::sync::LazyLock;

const SHIFT: f32 = 0.125;

/// The values of the levels, moved up.
pub(super) const UP: [f32; 3] = [-1.0 + SHIFT, SHIFT, 1.0 + SHIFT];

/// The values of the levels, moved down.
pub(super) const DOWN: [f32; 3] = [-1.0 - SHIFT, -SHIFT, 1.0 - SHIFT];

static LATTICE: LazyLock<Lattice<8, 3>> = LazyLock::new(|| Lattice::new(&IQ1, 3));

/// The same for the search in lanes.
pub(super) static NEARBY: LazyLock<Nearby> = LazyLock::new(|| Nearby::of(&LATTICE));

/// The values of the levels of an eight.
#[inline(always)]
pub(super) fn values(down: bool) -> &'static [f32; 3] {
    if down { &DOWN } else { &UP }
}

/// Eight times the values of each codebook vector: those moved up, then those moved down.
static EIGHTFOLD: [[[i8; 8]; 2048]; 2] = {
    let mut eightfold = [[[0; 8]; 2048]; 2];
    let mut code = 0;
    while code < 2048 {
        let mut i = 0;
        while i < 8 {
            let middle = 8 * (IQ1[code][i] as i8 - 1);
            eightfold[0][code][i] = middle + 1;
            eightfold[1][code][i] = middle - 1;
            i += 1;
        }
        code += 1;
    }
    eightfold
};

/// Eight times the values of a codebook vector.
#[inline(always)]
pub(super) fn eightfold(code: u16, down: bool) -> [i8; 8] {
    EIGHTFOLD[usize::from(down)][usize::from(code & 2047)]
}

/// Decodes two eights of the same scale.
#[inline(always)]
pub(super) fn decode_pair<S: Sixteen>(
    s: S,
    eightfold: [[i8; 8]; 2],
    scale: f32,
    y: &mut [f32; 16],
) {
    let values = s.mul(s.widen_i8(&bytemuck::cast(eightfold)), s.splat(SHIFT));
    s.store(s.mul(s.splat(scale), values), y);
}

/// What the search finds for a group of `EIGHTS` eights.
#[derive(Clone, Copy)]
pub(super) struct Found<const EIGHTS: usize> {
    pub(super) scale: f32,
    pub(super) codes: [u16; EIGHTS],
    /// Whether an eight's values are moved down.
    pub(super) down: [bool; EIGHTS],
}

impl<const EIGHTS: usize> Found<EIGHTS> {
    /// A group of zeros.
    pub(super) const NONE: Self = Self {
        scale: 0.0,
        codes: [0; EIGHTS],
        down: [false; EIGHTS],
    };

    /// The values of all elements, times `scale`; there are an even number of eights.
    #[inline(always)]
    pub(super) fn values<S: Sixteen>(&self, s: S, scale: f32, y: &mut [f32]) {
        for (pair, y) in y.as_chunks_mut().0.iter_mut().enumerate() {
            let eights = map(&[2 * pair, 2 * pair + 1], |k| {
                eightfold(self.codes[k], self.down[k])
            });
            decode_pair(s, eights, scale, y);
        }
    }
}

/// The values of a codebook vector.
pub(super) fn vector(code: u16, down: bool) -> [f32; 8] {
    map(&eightfold(code, down), |value| f32::from(value) * SHIFT)
}

/// A group of `G` eights with a level for each element.
pub(super) struct Split<const G: usize> {
    pub(super) scale: f32,
    pub(super) levels: [[u8; 8]; G],
    /// Whether an eight's values are moved down.
    pub(super) down: [bool; G],
}

impl<const G: usize> Split<G> {
    /// Splits elements in ascending order into those of level 0, then 1 up to `boundaries`, then 2.
    pub(super) fn new(
        order: &[usize],
        boundaries: (usize, usize),
        scale: f32,
        down: [bool; G],
    ) -> Self {
        let mut levels = [[2; 8]; G];
        for (rank, i) in order.iter().enumerate().take(boundaries.1) {
            levels[i / 8][i % 8] = u8::from(rank >= boundaries.0);
        }
        let split = Self {
            scale,
            levels,
            down,
        };
        if scale < 0.0 { split.mirrored() } else { split }
    }

    /// The same with all values and the scale negated.
    fn mirrored(self) -> Self {
        Self {
            scale: -self.scale,
            levels: self.levels.map(|levels| levels.map(|level| 2 - level)),
            down: self.down.map(|down| !down),
        }
    }

    /// Replaces eights that are not in the codebook, and fits the scale if there were any.
    pub(super) fn snap(mut self, x: &[[f32; 8]; G], weights: &[[f32; 8]; G]) -> Found<G> {
        let found: [_; G] = std::array::from_fn(|g| {
            let values = values(self.down[g]);
            LATTICE.nearest(&self.levels[g], &x[g], &weights[g], self.scale, values)
        });
        if found.iter().any(|found| !found.exact) {
            let mut sums = Sums::default();
            for g in 0..G {
                sums.add(&vector(found[g].code, self.down[g]), &x[g], &weights[g]);
            }
            if sums.qx > 0.0 && sums.qq > 0.0 {
                self.scale = sums.qx / sums.qq;
            }
        }
        Found {
            scale: self.scale,
            codes: found.map(|found| found.code),
            down: self.down,
        }
    }
}

/// The weighted sums of value · element and of value².
#[derive(Default)]
pub(super) struct Sums {
    pub(super) qx: f32,
    pub(super) qq: f32,
}

impl Sums {
    pub(super) fn add(&mut self, values: &[f32; 8], x: &[f32; 8], weights: &[f32; 8]) {
        for ((q, x), w) in values.iter().zip(x).zip(weights) {
            self.qx += w * q * x;
            self.qq += w * q * q;
        }
    }
}

/// The indices of the elements in ascending order, equal ones in their own order.
pub(super) fn ascending<const N: usize>(x: &[f32; N]) -> [usize; N] {
    let mut order = std::array::from_fn(|i| i);
    order.sort_by(|a: &usize, b: &usize| x[*a].partial_cmp(&x[*b]).unwrap_or(Ordering::Equal));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_keeps_the_order_of_equals() {
        assert_eq!(ascending(&[1.0, 0.0, -0.0, -1.0, 1.0]), [3, 1, 2, 0, 4]);
    }

    #[test]
    fn a_negative_scale_mirrors_the_split() {
        let order = [7, 6, 5, 4, 3, 2, 1, 0];
        let split = Split::new(&order, (2, 7), -3.0, [false]);
        assert_eq!(split.levels, [[0, 1, 1, 1, 1, 1, 2, 2]]);
        assert_eq!((split.scale, split.down), (3.0, [true]));
    }
}

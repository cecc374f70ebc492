//! Sorts in every lane.

use crate::simd::Lanes;

/// The most elements that a group has.
const MOST: usize = 32;

/// The elements of a group in ascending order, equal ones in their own order.
pub(in crate::block) struct Sorted<L: Lanes, const LEN: usize> {
    pub(super) x: [L::F; LEN],
    pub(super) weights: [L::F; LEN],
    /// Where they were in the group.
    pub(super) places: [L::F; LEN],
}

/// The comparisons of Batcher's odd-even merge sort of `LEN` elements, a power of 2.
struct Network<const LEN: usize>;

impl<const LEN: usize> Network<LEN> {
    const LAYOUT: ([(u8, u8); 191], usize) = comparisons(LEN);
}

const fn comparisons(len: usize) -> ([(u8, u8); 191], usize) {
    assert!(len.is_power_of_two() && len <= MOST);
    let mut pairs = [(0, 0); 191];
    let mut count = 0;
    let mut run = 1;
    while run < len {
        let mut step = run;
        while step > 0 {
            let mut low = step % run;
            while low + step < len {
                // Both must be in the same pair of runs.
                let same = low / (2 * run) == (low + step) / (2 * run);
                if same && (low - step % run) / step % 2 == 0 {
                    pairs[count] = (low as u8, (low + step) as u8);
                    count += 1;
                }
                low += 1;
            }
            step /= 2;
        }
        run *= 2;
    }
    (pairs, count)
}

impl<L: Lanes, const LEN: usize> Sorted<L, LEN> {
    #[inline(always)]
    pub(super) fn of(l: L, x: &[L::F; LEN], weights: &[L::F; LEN]) -> Self {
        let mut places = [l.splat(0.0); LEN];
        for i in 0..LEN {
            places[i] = l.splat(i as f32);
        }
        let mut sorted = Self {
            x: *x,
            weights: *weights,
            places,
        };
        let (pairs, count) = &Network::<LEN>::LAYOUT;
        for (low, high) in &pairs[..*count] {
            sorted.order(l, usize::from(*low) % LEN, usize::from(*high) % LEN);
        }
        sorted
    }

    /// Exchanges two elements where they are in the wrong order.
    #[inline(always)]
    fn order(&mut self, l: L, low: usize, high: usize) {
        let (a, b) = (self.x[low], self.x[high]);
        let (a_place, b_place) = (self.places[low], self.places[high]);
        let equal = l.and(l.eq(a, b), l.lt(b_place, a_place));
        let wrong = l.or(l.lt(b, a), equal);
        exchange(l, wrong, &mut self.x, low, high);
        exchange(l, wrong, &mut self.weights, low, high);
        exchange(l, wrong, &mut self.places, low, high);
    }
}

#[inline(always)]
fn exchange<L: Lanes, const LEN: usize>(
    l: L,
    mask: L::M,
    values: &mut [L::F; LEN],
    low: usize,
    high: usize,
) {
    let (a, b) = (values[low], values[high]);
    values[low] = l.select(mask, b, a);
    values[high] = l.select(mask, a, b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::iq1::ascending;
    use crate::simd::{Isa, Kernel, MAX_LANES};

    struct Sort<'a, const LEN: usize>(&'a [[f32; LEN]; MAX_LANES]);

    impl<const LEN: usize> Kernel for Sort<'_, LEN> {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let mut rows = [&self.0[0]; MAX_LANES];
            for (row, own) in rows.iter_mut().zip(self.0) {
                *row = own;
            }
            let x: [L::F; LEN] = l.load(&rows, 0);
            let sorted = Sorted::of(l, &x, &x);
            for (rank, (x, place)) in sorted.x.iter().zip(&sorted.places).enumerate() {
                let mut stored = [[0.0; MAX_LANES]; 2];
                l.store(*x, &mut stored[0]);
                l.store(*place, &mut stored[1]);
                for (lane, row) in self.0.iter().enumerate().take(L::N) {
                    let expected = ascending(row)[rank];
                    assert_eq!(stored[1][lane] as usize, expected, "{row:?}");
                    assert_eq!(stored[0][lane].to_bits(), row[expected].to_bits());
                }
            }
        }
    }

    fn check<const LEN: usize>() {
        for levels in [1, 2, 3, 5, 1000] {
            let mut state = levels as u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as i32 % levels
            };
            let rows = std::array::from_fn(|_| {
                std::array::from_fn(|i| match next() {
                    0 if i % 2 == 0 => -0.0,
                    level => level as f32 * if i % 3 == 0 { -1.0 } else { 1.0 },
                })
            });
            for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
                isa.run(Sort::<LEN>(&rows));
            }
        }
    }

    #[test]
    fn elements_are_sorted_and_equal_ones_keep_their_order() {
        check::<16>();
        check::<32>();
    }

    #[test]
    fn networks_have_as_many_comparisons_as_batcher_says() {
        assert_eq!(Network::<16>::LAYOUT.1, 63);
        assert_eq!(Network::<32>::LAYOUT.1, 191);
    }
}

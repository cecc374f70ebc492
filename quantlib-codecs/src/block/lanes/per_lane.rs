//! From lanes back to blocks.

use crate::simd::{Lanes, MAX_LANES};

/// `N` values of every lane.
pub(in crate::block) struct PerLane<T, const N: usize>([[T; MAX_LANES]; N]);

impl<const N: usize> PerLane<f32, N> {
    #[inline(always)]
    pub(in crate::block) fn of<L: Lanes>(l: L, vectors: &[L::F; N]) -> Self {
        let mut values = [[0.0; MAX_LANES]; N];
        for i in 0..N {
            l.store(vectors[i], &mut values[i]);
        }
        Self(values)
    }
}

impl<const N: usize> PerLane<i32, N> {
    #[inline(always)]
    pub(in crate::block) fn of_i<L: Lanes>(l: L, vectors: &[L::I; N]) -> Self {
        let mut values = [[0; MAX_LANES]; N];
        for i in 0..N {
            l.store_i(vectors[i], &mut values[i]);
        }
        Self(values)
    }
}

impl<T: Copy, const N: usize> PerLane<T, N> {
    /// The values of one lane.
    ///
    /// Not inlined, unlike all else: in the kernels the compiler would make gathers of it, which are
    /// slow on CPUs that guard against leaks from them.
    #[inline(never)]
    pub(in crate::block) fn lane(&self, lane: usize) -> [T; N] {
        let mut own = [self.0[0][lane]; N];
        for i in 0..N {
            own[i] = self.0[i][lane];
        }
        own
    }
}

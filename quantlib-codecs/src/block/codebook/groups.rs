//! The groups of a super-block, ready for the search.

use super::fit::{Aim, Fit, Method, fit_magnitudes};
use super::lattice::Lattice;
use super::signs::Magnitudes;
use bytemuck::cast_ref;

/// `GROUPS` groups of `LEN` elements, which are `EIGHTS` eights.
pub(in crate::block) struct Groups<const LEN: usize, const EIGHTS: usize, const GROUPS: usize> {
    pub(in crate::block) magnitudes: [Magnitudes<EIGHTS>; GROUPS],
    pub(in crate::block) weights: [[f32; LEN]; GROUPS],
    /// `None` for groups that get scale 0 without a search.
    pub(in crate::block) aims: [Option<Aim>; GROUPS],
}

impl<const LEN: usize, const EIGHTS: usize, const GROUPS: usize> Groups<LEN, EIGHTS, GROUPS> {
    /// All groups without elements yet.
    #[inline(always)]
    pub(in crate::block) fn new() -> Self {
        Self {
            magnitudes: [const { Magnitudes::ZERO }; GROUPS],
            weights: [[0.0; LEN]; GROUPS],
            aims: [None; GROUPS],
        }
    }

    /// The magnitudes of a group.
    #[inline(always)]
    pub(in crate::block) fn x(&self, group: usize) -> &[f32; LEN] {
        cast_ref(&self.magnitudes[group].x)
    }

    /// The results of the search in each group: the reference.
    pub(in crate::block) fn fit_ref<const DIM: usize, const LEVELS: usize, const G: usize>(
        &self,
        lattice: &Lattice<DIM, LEVELS>,
        method: Method,
    ) -> [Option<Fit<G>>; GROUPS] {
        std::array::from_fn(|g| self.fit_group_ref(lattice, method, g))
    }

    /// The result of the search in one group: the reference.
    pub(in crate::block) fn fit_group_ref<const DIM: usize, const LEVELS: usize, const G: usize>(
        &self,
        lattice: &Lattice<DIM, LEVELS>,
        method: Method,
        group: usize,
    ) -> Option<Fit<G>> {
        let (x, weights) = (cast_ref(self.x(group)), cast_ref(&self.weights[group]));
        self.aims[group].map(|aim| fit_magnitudes(lattice, x, weights, method, aim))
    }
}

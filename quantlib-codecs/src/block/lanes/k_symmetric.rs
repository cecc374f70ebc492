//! What Q3_K and Q6_K share in lanes.

use super::symmetric::{fit_symmetric_by_moves, symmetric_codes};
use crate::block::search::{self, FoundCodes};
use crate::simd::{Lanes, MAX_LANES, Portable};

/// A vector for each of 16 groups.
type Groups<L> = [<L as Lanes>::F; 16];

/// The scales of all groups, by moves of single codes.
#[inline(always)]
pub(in crate::block) fn fit_groups_by_moves<L: Lanes>(
    l: L,
    blocks: &[&[f32; 256]; MAX_LANES],
    half: i32,
) -> Groups<L> {
    let mut scales = [l.splat(0.0); 16];
    for g in 0..16 {
        scales[g] = fit_symmetric_by_moves::<L, 16>(l, &l.load(blocks, g * 16), half);
    }
    scales
}

/// The codes of the searches, computed again from the inverse scales that won: few are ever needed.
pub(in crate::block) struct CodesAgain<'a> {
    pub(in crate::block) x: &'a [[f32; 16]; 16],
    pub(in crate::block) inverses: [f32; 16],
    pub(in crate::block) half: i32,
}

impl FoundCodes<16> for CodesAgain<'_> {
    #[cold]
    #[inline(never)]
    fn of_group(&self, group: usize) -> [u8; 16] {
        symmetric_codes(Portable, &self.x[group], self.inverses[group], self.half)
    }
}

/// The codes of the searches by moves, searched again: few are ever needed.
pub(in crate::block) struct MovesAgain<'a> {
    pub(in crate::block) x: &'a [[f32; 16]; 16],
    pub(in crate::block) half: i32,
}

impl FoundCodes<16> for MovesAgain<'_> {
    #[cold]
    #[inline(never)]
    fn of_group(&self, group: usize) -> [u8; 16] {
        search::fit_symmetric_by_moves(&self.x[group], self.half).codes
    }
}

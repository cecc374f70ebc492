//! What Q3_K and Q6_K share in lanes.

use super::moves::fit_symmetric_by_moves;
use super::symmetric::symmetric_codes;
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
    const SIDE_BY_SIDE: usize = 2;
    let mut scales = [l.splat(0.0); 16];
    for first in (0..16).step_by(SIDE_BY_SIDE) {
        let mut x = [[l.splat(0.0); 16]; SIDE_BY_SIDE];
        for n in 0..SIDE_BY_SIDE {
            x[n] = l.load(blocks, (first + n) * 16);
        }
        let fits = fit_symmetric_by_moves(l, &x, half);
        scales[first..first + SIDE_BY_SIDE].copy_from_slice(&fits);
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

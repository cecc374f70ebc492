//! Levels give way to vectors of the codebook.

use super::split::Split;
use crate::block::iq1::{Found, NEARBY, values};
use crate::block::lanes::Tile;
use crate::block::number::{fill, map};
use crate::simd::{Lanes, MAX_LANES, TableSums};

/// The splits of a group of all lanes.
pub(super) struct Eights<const EIGHTS: usize> {
    none: [f32; MAX_LANES],
    scales: [f32; MAX_LANES],
    /// 1 where the values are moved down.
    down: [[f32; MAX_LANES]; EIGHTS],
    numbers: [[f32; MAX_LANES]; EIGHTS],
}

/// An eight that is not in the codebook.
#[derive(Clone, Copy, Default)]
struct Missing {
    lane: u8,
    k: u8,
    number: u16,
}

impl<const EIGHTS: usize> Eights<EIGHTS> {
    #[inline(always)]
    pub(super) fn of<L: Lanes>(
        l: L,
        split: &Split<L, EIGHTS>,
        none: L::M,
        numbers: &[L::F; EIGHTS],
    ) -> Self {
        let (zero, one) = (l.splat(0.0), l.splat(1.0));
        let mut eights = Self {
            none: [0.0; MAX_LANES],
            scales: [0.0; MAX_LANES],
            down: [[0.0; MAX_LANES]; EIGHTS],
            numbers: [[0.0; MAX_LANES]; EIGHTS],
        };
        l.store(l.select(none, one, zero), &mut eights.none);
        l.store(split.scale, &mut eights.scales);
        for k in 0..EIGHTS {
            l.store(l.select(split.down[k], one, zero), &mut eights.down[k]);
            l.store(numbers[k], &mut eights.numbers[k]);
        }
        eights
    }

    /// Whether the lane's group gets scale 0.
    #[inline(always)]
    pub(super) fn none(&self, lane: usize) -> bool {
        self.none[lane] > 0.0
    }

    /// Finds the codes of the group that begins at element `first`, for the blocks of `found`. Says in
    /// which lanes they do not stand for just the levels of the split.
    #[inline(always)]
    pub(super) fn snap<S: TableSums, const GROUPS: usize>(
        &self,
        s: S,
        tile: &Tile<'_, 256>,
        sigma2: &[f32; MAX_LANES],
        g: usize,
        found: &mut [[Found<EIGHTS>; GROUPS]],
    ) -> [bool; MAX_LANES] {
        let nearby = &*NEARBY;
        // Which are in the codebook is hard to predict: no branches before this is known of all.
        let mut missing = [[Missing::default(); EIGHTS]; MAX_LANES];
        let missing = missing.as_flattened_mut();
        let mut count = 0;
        for (lane, found) in found.iter_mut().enumerate() {
            if self.none(lane) {
                continue;
            }
            for k in 0..EIGHTS {
                let number = self.numbers[k][lane] as u16;
                let (code, exact) = nearby.exact(number);
                found[g].codes[k] = code;
                found[g].down[k] = self.down[k][lane] > 0.0;
                missing[count] = Missing {
                    lane: lane as u8,
                    k: k as u8,
                    number,
                };
                count += usize::from(!exact);
            }
        }
        let mut changed = [false; MAX_LANES];
        for i in 0..count {
            const AHEAD: usize = 3;
            if i + AHEAD < count {
                nearby.prefetch(s, missing[i + AHEAD].number);
            }
            let Missing { lane, k, number } = missing[i];
            let (lane, k) = (usize::from(lane), usize::from(k));
            let own = &mut found[lane][g];
            let errors = errors(
                tile,
                lane,
                EIGHTS * g + k,
                sigma2[lane],
                self.scales[lane],
                values(own.down[k]),
            );
            own.codes[k] = nearby.nearest(s, number, &errors);
            changed[lane] = true;
        }
        changed
    }
}

/// The weighted squared errors of an eight of a lane's block at each level.
#[inline(always)]
fn errors(
    tile: &Tile<'_, 256>,
    lane: usize,
    eight: usize,
    sigma2: f32,
    scale: f32,
    values: &[f32; 3],
) -> [[f32; 8]; 4] {
    let x = &tile.x[lane].as_chunks::<8>().0[eight];
    let weights = match &tile.importance {
        Some(w) => {
            let w = &w[lane].as_chunks::<8>().0[eight];
            fill(|i| w[i] * (sigma2 + x[i] * x[i]).sqrt())
        }
        None => map(x, |x| x * x),
    };
    let mut errors = [[0.0; 8]; 4];
    for (errors, value) in errors.iter_mut().zip(values) {
        *errors = fill(|i| {
            let difference = scale * value - x[i];
            weights[i] * difference * difference
        });
    }
    errors
}

//! Functions of steps, such as the nearest value in a table.

/// A function of 16 values that rises by a step at each of 15 thresholds.
///
/// Beside them it has a table of cells: all numbers that round to the same multiple of [`WIDTH`]
/// have at most one threshold between them, so that the cell's entry and one comparison suffice.
///
/// [`WIDTH`]: Self::WIDTH
pub(crate) struct Steps {
    /// In order; the last one is never reached.
    pub(super) thresholds: [f32; 16],
    pub(super) values: [f32; 16],
    /// The value after each, the last one twice.
    pub(super) next: [f32; 16],
    /// For cell number n at n modulo 32: the threshold of the cell with the number of thresholds
    /// below it in the 4 lowest bits.
    pub(super) cells: [u32; 32],
    /// For cell number n at n + 16: the number of thresholds below the cell.
    pub(super) below: [u8; 32],
}

impl Steps {
    /// The width of a cell.
    const WIDTH: f32 = 9.0;
    /// What x is multiplied with to find the number of its cell.
    pub(super) const PER_WIDTH: f32 = 1.0 / Self::WIDTH;
    /// How far from its cell's true edge a number may be taken for the neighbour cell's.
    const SLACK: f32 = 0.01;
    /// Numbers beyond this and its opposite have no cells; no threshold may be there.
    pub(super) const END: f32 = 135.0;

    /// Panics (at compile time) if a cell would have two thresholds or a threshold needs the bits
    /// that are used for counts.
    pub(crate) const fn new(thresholds: &[f32; 15], values: &[f32; 16]) -> Self {
        let mut steps = Self {
            thresholds: [f32::MAX; 16],
            values: *values,
            next: *values,
            cells: [0; 32],
            below: [0; 32],
        };
        let mut i = 0;
        while i < 15 {
            assert!(thresholds[i].to_bits() & 15 == 0 && thresholds[i].abs() < Self::END);
            steps.next[i] = values[i + 1];
            steps.thresholds[i] = thresholds[i];
            i += 1;
        }
        // Like the others without the lowest bits.
        steps.thresholds[15] = f32::from_bits(f32::MAX.to_bits() & !15);
        let mut cell = -16i32;
        while cell < 16 {
            let low = (cell as f32 - 0.5) * Self::WIDTH - Self::SLACK;
            let high = (cell as f32 + 0.5) * Self::WIDTH + Self::SLACK;
            let mut below = 0;
            while below < 15 && steps.thresholds[below] <= low {
                below += 1;
            }
            assert!(below == 15 || steps.thresholds[below + 1] > high);
            let bits = steps.thresholds[below].to_bits();
            steps.cells[(cell & 31) as usize] = bits | below as u32;
            steps.below[(cell + 16) as usize] = below as u8;
            cell += 1;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes, MAX_LANES, Narrow, Sixteen};

    const THRESHOLDS: [f32; 15] = [
        -115.5, -93.5, -74.0, -57.0, -42.0, -28.5, -16.0, -4.5, 7.0, 19.0, 31.5, 45.5, 61.0, 79.0,
        101.0,
    ];
    static STEPS: Steps = Steps::new(&THRESHOLDS, &{
        let mut values = [0.0; 16];
        let mut i = 0;
        while i < 16 {
            values[i] = i as f32;
            i += 1;
        }
        values
    });

    struct Check;

    impl Kernel for Check {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let ramp = (-135_000..135_000).map(|i| i as f32 / 1000.0);
            let edges = THRESHOLDS
                .into_iter()
                .flat_map(|t| [t.next_down(), t, t.next_up()]);
            for x in ramp.chain(edges) {
                let expected = THRESHOLDS.iter().filter(|t| x >= **t).count();
                let mut found = [0.0; MAX_LANES];
                l.store(l.step(l.splat(x), &STEPS), &mut found);
                assert_eq!(found[0], expected as f32, "{x}");
                assert_eq!(found[L::N - 1], expected as f32, "{x}");
                let s = l.row();
                assert_eq!(s.reached(s.splat(x), &STEPS), [expected as u8; 16], "{x}");
            }
            let s = l.row();
            for (x, expected) in [(f32::INFINITY, 15), (1e30, 15), (f32::NAN, 15), (-1e9, 0)] {
                assert_eq!(s.reached(s.splat(x), &STEPS), [expected; 16], "{x}");
            }
        }
    }

    #[test]
    fn every_isa_finds_the_step() {
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            isa.run(Check);
        }
    }
}

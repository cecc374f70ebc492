//! The neighbours of a [`Lattice`], laid out so that 16 of them are compared at a time.

use super::lattice::Lattice;
use crate::simd::TableSums;

/// For each vector of eight levels below 3: its code, or the neighbours that may stand in for it.
pub(in crate::block) struct Nearby {
    /// By the vector's number, as in the lattice.
    index: Vec<Entry>,
    /// The neighbours' levels, as digits in base 4, the first one lowest. The last ones of a list are
    /// repeated until 16 are full. (Their codes would take as much memory again, and missing the cache
    /// costs more than to make them of the levels.)
    levels: Vec<[u16; 16]>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The first sixteen of neighbours, or 0.
    start: u32,
    /// How many sixteens there are: none if the vector itself is in the codebook.
    len: u16,
    /// Its code then.
    code: u16,
}

/// The number of which four levels are the digits in base 3, from that in base 4.
const IN_BASE_3: [u16; 256] = {
    let mut numbers = [0; 256];
    let mut i = 0;
    while i < 256 {
        numbers[i] = (i % 4 + 3 * (i / 4 % 4) + 9 * (i / 16 % 4) + 27 * (i / 64)) as u16;
        i += 1;
    }
    numbers
};

impl Nearby {
    pub(in crate::block) fn of(lattice: &Lattice<8, 3>) -> Self {
        let mut nearby = Self {
            index: Vec::new(),
            levels: Vec::new(),
        };
        for entry in lattice.entries() {
            let entry = match entry {
                Ok(code) => Entry {
                    start: 0,
                    len: 0,
                    code,
                },
                Err(neighbours) => nearby.push(lattice, neighbours),
            };
            nearby.index.push(entry);
        }
        nearby
    }

    fn push(&mut self, lattice: &Lattice<8, 3>, neighbours: &[u16]) -> Entry {
        let pack = |code: u16| {
            let levels = lattice.point(code).iter().rev();
            levels.fold(0, |packed, level| (packed << 2) | u16::from(*level))
        };
        let start = self.levels.len();
        for chunk in neighbours.chunks(16) {
            let codes: [u16; 16] = std::array::from_fn(|i| chunk[i.min(chunk.len() - 1)]);
            self.levels.push(codes.map(pack));
        }
        Entry {
            start: start as u32,
            len: (self.levels.len() - start) as u16,
            code: 0,
        }
    }

    /// The code of the vector of this number, and whether it is in the codebook at all.
    #[inline(always)]
    pub(in crate::block) fn exact(&self, number: u16) -> (u16, bool) {
        let entry = self.index[usize::from(number)];
        (entry.code, entry.len == 0)
    }

    /// Has the neighbours of a vector brought nearer.
    #[inline(always)]
    pub(in crate::block) fn prefetch<S: TableSums>(&self, s: S, number: u16) {
        let start = self.index[usize::from(number)].start as usize;
        for i in [0, 2, 4] {
            if let Some(levels) = self.levels.get(start + i) {
                s.prefetch(levels);
            }
        }
    }

    /// The code of the neighbour with the least sum of errors, the first of equals. `errors` has those
    /// of each level in each place.
    #[inline(always)]
    pub(in crate::block) fn nearest<S: TableSums>(
        &self,
        s: S,
        number: u16,
        errors: &[[f32; 8]; 4],
    ) -> u16 {
        const PLACES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let entry = self.index[usize::from(number)];
        let start = entry.start as usize;
        let neighbours = &self.levels[start..start + usize::from(entry.len)];
        let tables = s.tables(errors);
        let mut least = s.splat(f32::MAX);
        let mut sixteen = s.splat(0.0);
        for (i, levels) in neighbours.iter().enumerate() {
            let sums = s.sum_of_entries(&tables, levels);
            let less = s.lt(sums, least);
            least = s.select(less, sums, least);
            sixteen = s.select(less, s.splat(i as f32), sixteen);
        }
        let more = s.lt(s.splat(s.least(least)), least);
        let place = s.add(s.mul(sixteen, s.splat(16.0)), s.widen_u8(&PLACES));
        let place = s.least(s.select(more, s.splat(f32::MAX), place)) as usize;
        let [low, high] = neighbours[place / 16][place % 16].to_le_bytes();
        let number = IN_BASE_3[usize::from(low)] + 81 * IN_BASE_3[usize::from(high)];
        self.index[usize::from(number)].code
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::IQ1;
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    struct All<'a> {
        lattice: &'a Lattice<8, 3>,
        nearby: &'a Nearby,
        x: [f32; 8],
        weights: [f32; 8],
        scale: f32,
    }

    const VALUES: [f32; 3] = [-0.875, 0.125, 1.125];

    impl Kernel for All<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let mut errors = [[0.0; 8]; 4];
            for (errors, value) in errors.iter_mut().zip(VALUES) {
                for ((error, x), weight) in errors.iter_mut().zip(self.x).zip(self.weights) {
                    let difference = self.scale * value - x;
                    *error = weight * difference * difference;
                }
            }
            for number in 0..3u16.pow(8) {
                let levels: [u8; 8] =
                    std::array::from_fn(|i| (number / 3u16.pow(i as u32) % 3) as u8);
                let (x, w) = (&self.x, &self.weights);
                let expected = self.lattice.nearest(&levels, x, w, self.scale, &VALUES);
                let (mut code, exact) = self.nearby.exact(number);
                assert_eq!(exact, expected.exact);
                if !exact {
                    code = self.nearby.nearest(l.row(), number, &errors);
                }
                assert_eq!(code, expected.code, "{levels:?}");
            }
        }
    }

    #[test]
    fn the_same_neighbours_are_found() {
        let lattice = Lattice::new(&IQ1, 3);
        let nearby = Nearby::of(&lattice);
        let x = [0.3, -0.2, 1.4, 0.1, -1.2, 0.0, 0.7, -0.6];
        let cases = [
            (x, [1.0, 0.5, 0.25, 3.0, 0.1, 0.7, 2.0, 1.1], 0.8),
            // All are equal, so the first ones win: with no weight, and where the square overflows.
            (x, [0.0; 8], 1.0),
            (x, [1.0; 8], 1e30),
            (x, [1.0; 8], f32::NAN),
            // Many are.
            ([0.0; 8], [1.0; 8], 1.0),
        ];
        for (x, weights, scale) in cases {
            for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
                isa.run(All {
                    lattice: &lattice,
                    nearby: &nearby,
                    x,
                    weights,
                    scale,
                });
            }
        }
    }
}

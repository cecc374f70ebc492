//! The lists of neighbours, cut down to what can win and laid out for searches in lanes.

use super::lattice::Lattice;

/// A codebook with all that searches need.
pub(in crate::block) struct Codebook<const DIM: usize, const LEVELS: usize, const FIRST: usize> {
    pub(in crate::block) lattice: Lattice<DIM, LEVELS>,
    pub(in crate::block) neighbours: Neighbours<DIM, LEVELS, FIRST>,
}

impl<const DIM: usize, const LEVELS: usize, const FIRST: usize> Codebook<DIM, LEVELS, FIRST> {
    /// As [`Lattice::new`].
    pub(in crate::block) fn new(points: &'static [[u8; DIM]], shells: usize) -> Self {
        let lattice = Lattice::new(points, shells);
        let neighbours = Neighbours::new(&lattice);
        Self {
            lattice,
            neighbours,
        }
    }
}

/// For each vector of levels the vectors of the codebook that can be nearest to elements that round
/// to it, as lists of words.
///
/// A neighbour is left out if one before it in the list is at least as near in every coordinate,
/// wherever in the levels' ranges the elements are: then its error is as large or larger, in floats
/// too, because every operation on the way is monotonic.
pub(in crate::block) struct Neighbours<const DIM: usize, const LEVELS: usize, const FIRST: usize> {
    /// The beginnings of all lists, by the vectors' numbers. Most lists are not longer.
    pub(in crate::block) first: Vec<[Octet; FIRST]>,
    /// Whether the codebook has the very vector.
    pub(in crate::block) exact: Vec<bool>,
    /// How many octets of a list are in `rest`.
    pub(in crate::block) more: Vec<u8>,
    /// Where they start.
    starts: Vec<u32>,
    rest: Vec<Octet>,
}

/// Eight words.
///
/// A word is a vector in a hexadecimal digit for each coordinate, the first one lowest: where its
/// level is in a table of eight places, in which as many coordinates as fit lie side by side.
pub(in crate::block) type Octet = [i32; 8];

impl<const DIM: usize, const LEVELS: usize, const FIRST: usize> Neighbours<DIM, LEVELS, FIRST> {
    /// The number of different vectors. This is added to a vector's number for elements that may have
    /// been rounded to the wrong side of a boundary: the lists there allow for half a level beyond
    /// the range.
    pub(in crate::block) const UNSURE: usize = LEVELS.pow(DIM as u32);

    /// How many places a coordinate's levels take in a table of eight.
    pub(in crate::block) const PLACES: usize = LEVELS.next_power_of_two();

    /// The lists for the numbers of all vectors of levels.
    fn new(lattice: &Lattice<DIM, LEVELS>) -> Self {
        const { assert!(DIM <= 8 && Self::PLACES <= 8) };
        let mut neighbours = Self {
            first: Vec::with_capacity(2 * Self::UNSURE),
            exact: Vec::with_capacity(2 * Self::UNSURE),
            more: Vec::with_capacity(2 * Self::UNSURE),
            starts: Vec::with_capacity(2 * Self::UNSURE),
            rest: Vec::new(),
        };
        let mut kept: Vec<&[u8; DIM]> = Vec::new();
        for slack in [0, 1] {
            for number in 0..Self::UNSURE {
                let levels = Lattice::<DIM, LEVELS>::levels(number);
                kept.clear();
                for code in lattice.near(number) {
                    let point = lattice.point(*code);
                    if !kept
                        .iter()
                        .any(|kept| is_nearer(kept, point, &levels, slack))
                    {
                        kept.push(point);
                    }
                }
                neighbours.exact.push(*kept[0] == levels);
                neighbours.push(&kept);
            }
        }
        neighbours
    }

    /// Appends a list. Octets are filled up with its last vector.
    fn push(&mut self, list: &[&[u8; DIM]]) {
        let last = list.last().map_or(0, |point| Self::word(point));
        let mut first = [[last; 8]; FIRST];
        for (word, point) in first.as_flattened_mut().iter_mut().zip(list) {
            *word = Self::word(point);
        }
        self.first.push(first);
        let rest = list.get(8 * FIRST..).unwrap_or(&[]);
        self.starts.push(self.rest.len() as u32);
        self.more.push(rest.len().div_ceil(8) as u8);
        for points in rest.chunks(8) {
            let mut octet = [last; 8];
            for (word, point) in octet.iter_mut().zip(points) {
                *word = Self::word(point);
            }
            self.rest.push(octet);
        }
    }

    fn word(levels: &[u8; DIM]) -> i32 {
        let coordinates = levels.iter().enumerate().rev();
        coordinates.fold(0, |word, (i, level)| {
            let place = i * Self::PLACES % 8 + usize::from(*level);
            (word << 4) | place as i32
        })
    }

    /// The number of the vector with this word.
    #[inline(always)]
    pub(in crate::block) fn number(word: i32) -> usize {
        let mut number = 0;
        for i in (0..DIM).rev() {
            let place = (word >> (4 * i)) as usize;
            number = number * LEVELS + place % Self::PLACES;
        }
        number
    }

    /// What follows on the beginning of a list.
    #[inline(always)]
    pub(in crate::block) fn rest(&self, number: usize) -> &[Octet] {
        &self.rest[self.starts[number] as usize..][..usize::from(self.more[number])]
    }
}

/// Whether `a` is at least as near as `b` in every coordinate to whatever rounds to `levels`: to
/// elements that are less than (1 + `slack`) / 2 levels away from their levels, or beyond the last one.
fn is_nearer<const DIM: usize>(
    a: &[u8; DIM],
    b: &[u8; DIM],
    levels: &[u8; DIM],
    slack: i32,
) -> bool {
    (0..DIM).all(|i| {
        let [a, b, level] = [a[i], b[i], levels[i]].map(i32::from);
        // The middle between a and b, doubled, against the end of the range that is on b's side.
        match a.cmp(&b) {
            std::cmp::Ordering::Less => 2 * level + 1 + slack <= a + b,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => 2 * level - 1 - slack >= a + b,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::points::{IQ2_XS, IQ3_S};
    use super::*;

    /// Looks elements all over the cell of every vector of levels up in the whole list of neighbours
    /// and in the short one.
    fn check<const DIM: usize, const LEVELS: usize, const FIRST: usize>(
        points: &'static [[u8; DIM]],
        shells: usize,
    ) {
        type Lists<const D: usize, const L: usize, const F: usize> = Neighbours<D, L, F>;
        let unsure = Lists::<DIM, LEVELS, FIRST>::UNSURE;
        let book = Codebook::<DIM, LEVELS, FIRST>::new(points, shells);
        let values = std::array::from_fn(|level| (2 * level + 1) as f32);
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        for number in 0..2 * unsure {
            let levels = Lattice::<DIM, LEVELS>::levels(number % unsure);
            // In units of the scale; sure elements keep away from the boundaries.
            let reach = if number < unsure { 0.9995 } else { 1.0005 };
            let weights = [(); DIM].map(|()| (random() * 4.0 - 1.0).max(0.0));
            let x = levels.map(|level| {
                let beyond = if level == 0 { -3.0 * random() } else { 0.0 };
                f32::from(2 * level + 1) + reach * (2.0 * random() - 1.0).clamp(-1.0, 1.0) + beyond
            });
            let expected = book.lattice.nearest(&levels, &x, &weights, 1.0, &values);
            let lists = &book.neighbours;
            let words = lists.first[number].iter().chain(lists.rest(number));
            let mut best = (f32::INFINITY, 0);
            for word in words.flatten().copied() {
                let point =
                    Lattice::<DIM, LEVELS>::levels(Lists::<DIM, LEVELS, FIRST>::number(word));
                let error = (0..DIM).fold(0.0, |sum, i| {
                    let difference = values[usize::from(point[i])] - x[i];
                    sum + weights[i] * difference * difference
                });
                if error < best.0 {
                    best = (error, Lists::<DIM, LEVELS, FIRST>::number(word));
                }
            }
            assert_eq!(book.lattice.near(best.1), [expected.code], "{levels:?}");
            assert_eq!(lists.exact[number], expected.exact, "{levels:?}");
        }
    }

    #[test]
    fn short_lists_have_the_nearest() {
        check::<4, 8, 1>(&IQ3_S, 3);
        check::<8, 3, 2>(&IQ2_XS, 2);
    }
}

//! The nearest of a list of neighbours.

use crate::block::codebook::{Neighbours, Octet};
use crate::simd::{MAX_LANES, Vector};

/// The values of levels, times a scale.
pub(super) struct Scaled<const DIM: usize, const LEVELS: usize, const FIRST: usize>;

impl<const DIM: usize, const LEVELS: usize, const FIRST: usize> Scaled<DIM, LEVELS, FIRST> {
    /// The values of the levels at their places in each octet.
    #[inline(always)]
    pub(super) fn values<V: Vector>(l: V) -> V::F {
        let mut values = [0.0; MAX_LANES];
        for (i, value) in values.iter_mut().enumerate() {
            *value = (2 * (i % Neighbours::<DIM, LEVELS, FIRST>::PLACES) + 1) as f32;
        }
        l.read(&values)
    }

    #[inline(always)]
    pub(super) fn of<V: Vector>(l: V, scale: V::F) -> V::F {
        l.mul(scale, Self::values(l))
    }
}

const MAX_TABLES: usize = 4;

/// The elements of a vector and their weights, each at all places of its levels.
pub(super) struct Tables<V: Vector, const DIM: usize, const LEVELS: usize, const FIRST: usize> {
    x: [V::F; MAX_TABLES],
    roots: [V::F; MAX_TABLES],
}

impl<V: Vector, const DIM: usize, const LEVELS: usize, const FIRST: usize>
    Tables<V, DIM, LEVELS, FIRST>
{
    /// The coordinates that share a table of eight places.
    const SHARE: usize = 8 / Neighbours::<DIM, LEVELS, FIRST>::PLACES;
    const TABLES: usize = DIM / Self::SHARE;

    /// For vector `k` of a group.
    #[inline(always)]
    pub(super) fn new<const LEN: usize>(
        l: V,
        x: &[f32; LEN],
        roots: &[f32; LEN],
        k: [usize; 2],
    ) -> Self {
        const { assert!(Self::TABLES <= MAX_TABLES) };
        let mut tables = Self {
            x: [l.splat(0.0); MAX_TABLES],
            roots: [l.splat(0.0); MAX_TABLES],
        };
        for i in 0..Self::TABLES {
            let first = [k[0] * DIM + i * Self::SHARE, k[1] * DIM + i * Self::SHARE];
            tables.x[i] = Self::spread(l, x, first);
            tables.roots[i] = Self::spread(l, roots, first);
        }
        tables
    }

    /// The coordinates of a table, from `first` on in each octet, at all of their places.
    #[inline(always)]
    fn spread<const LEN: usize>(l: V, x: &[f32; LEN], first: [usize; 2]) -> V::F {
        let mut spread = l.octets([x[first[0]], x[first[1]]]);
        for i in 1..Self::SHARE {
            let mut from = [0.0; MAX_LANES];
            for (lane, from) in from.iter_mut().enumerate() {
                let coordinate = lane % 8 / Neighbours::<DIM, LEVELS, FIRST>::PLACES;
                *from = if coordinate == i { 1.0 } else { 0.0 };
            }
            let here = l.lt(l.splat(0.0), l.read(&from));
            spread = l.select(here, l.octets([x[first[0] + i], x[first[1] + i]]), spread);
        }
        spread
    }

    /// The weighted squared errors at all places.
    #[inline(always)]
    fn terms(&self, l: V, scaled: V::F) -> [V::F; MAX_TABLES] {
        let mut terms = [scaled; MAX_TABLES];
        for i in 0..Self::TABLES {
            let difference = l.sub(scaled, self.x[i]);
            terms[i] = l.mul(l.mul(self.roots[i], difference), difference);
        }
        terms
    }

    /// The errors of neighbours: the sums of what their words look up.
    #[inline(always)]
    fn errors(l: V, terms: &[V::F; MAX_TABLES], mut words: V::I) -> V::F {
        let mut errors = l.look_up(terms[0], words);
        for i in 1..DIM {
            words = l.next_digit(words);
            errors = l.add(errors, l.look_up(terms[i / Self::SHARE], words));
        }
        errors
    }

    /// In each octet, with its own scale and its own list, the word with the least error, the first
    /// one of equals.
    #[inline(always)]
    pub(super) fn nearest(&self, l: V, scaled: V::F, lists: [&[Octet; FIRST]; 2]) -> [i32; 2] {
        let terms = self.terms(l, scaled);
        let mut errors = [scaled; FIRST];
        for i in 0..FIRST {
            let words = l.read_digits([&lists[0][i], &lists[1][i]]);
            errors[i] = Self::errors(l, &terms, words);
        }
        let mut least = errors[0];
        for i in 1..FIRST {
            least = l.min(errors[i], least);
        }
        let least = l.least_of_octet(least);
        let mut found = [0; 2];
        for i in 0..FIRST {
            let lanes = l.bitmask(l.eq(errors[i], least));
            found[0] |= (lanes & 0xff) << (8 * i);
            found[1] |= (lanes >> 8) << (8 * i);
        }
        let last = V::OCTETS - 1;
        [word(lists[0], found[0]), word(lists[last], found[last])]
    }

    /// The same for a list that goes on. All octets have the same scale.
    #[inline(always)]
    pub(super) fn nearest_of_all(
        &self,
        l: V,
        scaled: V::F,
        first: &[Octet; FIRST],
        rest: &[Octet],
    ) -> i32 {
        let terms = self.terms(l, scaled);
        let octets = FIRST + rest.len();
        let mut words = l.splat_i(0);
        let mut least = l.splat(f32::INFINITY);
        for i in (0..octets).step_by(V::OCTETS) {
            // An octet that comes a second time has no smaller error than before.
            let last = (i + V::OCTETS - 1).min(octets - 1);
            let new = l.read_digits([octet(first, rest, i), octet(first, rest, last)]);
            let errors = Self::errors(l, &terms, new);
            words = l.select_i(l.lt(errors, least), new, words);
            least = l.min(errors, least);
        }
        let words = l.and_i(words, l.splat_i(0x7777_7777));
        let mut found = [0; MAX_LANES];
        l.store_i(words, &mut found);
        let lanes = l.bitmask(l.eq(least, l.least(least)));
        let word = found[lanes.trailing_zeros() as usize % MAX_LANES];
        let same = l.bitmask(l.eq_i(words, l.splat_i(word)));
        if lanes & !same == 0 {
            word
        } else {
            Self::first_of_equals(l, &terms, first, rest)
        }
    }

    /// The word with the least error, octet by octet.
    #[inline(always)]
    fn first_of_equals(
        l: V,
        terms: &[V::F; MAX_TABLES],
        first: &[Octet; FIRST],
        rest: &[Octet],
    ) -> i32 {
        let (mut best, mut word) = (f32::INFINITY, first[0][0]);
        for octet in first.iter().chain(rest) {
            let mut errors = [0.0; MAX_LANES];
            let sums = Self::errors(l, terms, l.read_digits([octet, octet]));
            l.store(sums, &mut errors);
            for i in 0..8 {
                if errors[i] < best {
                    (best, word) = (errors[i], octet[i]);
                }
            }
        }
        word
    }
}

/// The octet with this number in a list.
#[inline(always)]
fn octet<'a, const FIRST: usize>(
    first: &'a [Octet; FIRST],
    rest: &'a [Octet],
    i: usize,
) -> &'a Octet {
    if i < FIRST {
        &first[i]
    } else {
        &rest[i - FIRST]
    }
}

/// The word at the lowest set bit.
#[inline(always)]
fn word<const FIRST: usize>(list: &[Octet; FIRST], places: u32) -> i32 {
    list.as_flattened()[places.trailing_zeros() as usize % (8 * FIRST)]
}

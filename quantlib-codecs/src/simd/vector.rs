//! What takes the lanes of one vector together: eight at a time, whatever its length.

use super::lanes::Lanes;

/// Lanes of a single vector, which can look at each other.
///
/// The vector is one or two *octets* of eight lanes, each with a table or a search of its own.
pub(crate) trait Vector: Lanes<Single = Self> {
    /// The number of octets, one or two.
    const OCTETS: usize = Self::N / 8;

    /// A number for each octet.
    fn octets(self, numbers: [f32; 2]) -> Self::F;

    /// Eight integers for each octet, with the octet's number added to every hexadecimal digit's
    /// highest bit, for [`look_up`](Self::look_up). Those bits must be zero.
    fn read_digits(self, octets: [&[i32; 8]; 2]) -> Self::I;

    /// In each lane the number in that lane of `table` that the last hexadecimal digit of `index`
    /// names.
    fn look_up(self, table: Self::F, index: Self::I) -> Self::F;

    /// Moves all hexadecimal digits down by one, and a zero in.
    fn next_digit(self, a: Self::I) -> Self::I;

    /// In each lane the smallest number of its octet, unless there are NaNs.
    fn least_of_octet(self, a: Self::F) -> Self::F;

    /// In each lane the smallest number of all, unless there are NaNs.
    fn least(self, a: Self::F) -> Self::F;

    /// A set bit for each lane that holds, the first lane lowest.
    fn bitmask(self, a: Self::M) -> u32;

    /// The integers of `from`, whose length is `N`.
    fn read_i_at(self, from: &[i32]) -> Self::I;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, MAX_LANES};

    struct Check;

    impl Kernel for Check {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            check(lanes.single());
        }
    }

    /// What octet `o` of two has in lane `i`.
    fn number(o: usize, i: usize) -> f32 {
        [[5.0, 3.0, 8.0, 3.0, 9.0, 7.0, 6.0, 4.0], [1.0; 8]][o][i] + o as f32
    }

    #[inline(always)]
    fn check<V: Vector>(l: V) {
        let mut numbers = [0.0; MAX_LANES];
        for (lane, own) in numbers[..V::N].iter_mut().enumerate() {
            *own = number(lane / 8, lane % 8);
        }
        let table = l.read(&numbers);
        let octets: [[i32; 8]; 2] = std::array::from_fn(|o| {
            std::array::from_fn(|i| ((7 - i) | (((i + o) % 8) << 4)) as i32)
        });
        let digits = l.read_digits([&octets[0], &octets[1]]);
        let mut found = [[0.0; MAX_LANES]; 6];
        l.store(l.look_up(table, digits), &mut found[0]);
        l.store(l.look_up(table, l.next_digit(digits)), &mut found[1]);
        l.store(l.least_of_octet(table), &mut found[2]);
        l.store(l.least(table), &mut found[3]);
        l.store(l.octets([2.0, 4.0]), &mut found[4]);
        let plain = l.read_i_at(&octets.as_flattened()[..V::N]);
        l.store(l.to_float(plain), &mut found[5]);
        for lane in 0..V::N {
            let (o, i) = (lane / 8, lane % 8);
            let least = [3.0, 2.0];
            let expected = [
                number(o, 7 - i),
                number(o, (i + o) % 8),
                least[o],
                least[V::OCTETS - 1],
                [2.0, 4.0][o],
                octets[o][i] as f32,
            ];
            assert_eq!(found.map(|found| found[lane]), expected, "lane {lane}");
        }
        let low = l.bitmask(l.lt(table, l.splat(4.5)));
        assert_eq!(low & 0xff, 0b1000_1010);
        assert_eq!(low >> 8, if V::OCTETS > 1 { 0xff } else { 0 });
    }

    #[test]
    fn every_isa_keeps_octets_apart() {
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            isa.run(Check);
        }
    }
}

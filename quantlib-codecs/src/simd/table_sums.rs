//! Sums of table entries for 16 codes at a time, and the least of them: how a codebook is searched.

use super::Sixteen;

/// What a search does beside what [`Sixteen`] can.
pub(crate) trait TableSums: Sixteen {
    /// Truth values.
    type M: Copy;
    /// Eight tables of four floats.
    type Tables: Copy;

    /// `a < b`, false for NaNs.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `if mask { a } else { b }`.
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// The least of the elements, none of which is NaN.
    fn least(self, a: Self::F) -> f32;

    /// The tables whose entries for digit `d` are `entries[d]`.
    fn tables(self, entries: &[[f32; 8]; 4]) -> Self::Tables;
    /// Numbers of eight digits in base 4, the first one lowest: the sum of the digits' entries, each in
    /// the table of its place, added up from the first to the last.
    fn sum_of_entries(self, tables: &Self::Tables, numbers: &[u16; 16]) -> Self::F;

    /// Has the cache line of these numbers, which are needed soon, brought near.
    fn prefetch(self, numbers: &[u16; 16]);
}

impl TableSums for super::Portable {
    type M = [bool; 16];
    /// By table, then by digit.
    type Tables = [[f32; 4]; 8];

    #[inline(always)]
    fn lt(self, a: [f32; 16], b: [f32; 16]) -> [bool; 16] {
        let mut mask = [false; 16];
        for i in 0..16 {
            mask[i] = a[i] < b[i];
        }
        mask
    }

    #[inline(always)]
    fn select(self, mask: [bool; 16], a: [f32; 16], mut b: [f32; 16]) -> [f32; 16] {
        for i in 0..16 {
            b[i] = if mask[i] { a[i] } else { b[i] };
        }
        b
    }

    #[inline(always)]
    fn least(self, a: [f32; 16]) -> f32 {
        let mut least = a[0];
        for a in a {
            least = if a < least { a } else { least };
        }
        least
    }

    #[inline(always)]
    fn tables(self, entries: &[[f32; 8]; 4]) -> [[f32; 4]; 8] {
        let mut tables = [[0.0; 4]; 8];
        for (digit, entries) in entries.iter().enumerate() {
            for (table, entry) in tables.iter_mut().zip(entries) {
                table[digit] = *entry;
            }
        }
        tables
    }

    #[inline(always)]
    fn sum_of_entries(self, tables: &[[f32; 4]; 8], numbers: &[u16; 16]) -> [f32; 16] {
        let mut sums = [0.0; 16];
        for (sum, number) in sums.iter_mut().zip(numbers) {
            let mut rest = *number;
            *sum = tables[0][usize::from(rest & 3)];
            for table in &tables[1..] {
                rest >>= 2;
                *sum += table[usize::from(rest & 3)];
            }
        }
        sums
    }

    #[inline(always)]
    fn prefetch(self, _: &[u16; 16]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    fn entry(digit: usize, table: usize) -> f32 {
        1.0 / (1 + digit + 7 * table) as f32
    }

    struct Everything<'a>(&'a mut Vec<[f32; 16]>);

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let s = lanes.row();
            let bytes: [u8; 16] = std::array::from_fn(|i| (i * 37 % 256) as u8);
            let numbers = std::array::from_fn(|i| (i * 24_029 + 7) as u16);
            let entries =
                std::array::from_fn(|digit| std::array::from_fn(|table| entry(digit, table)));
            s.prefetch(&numbers);
            let (a, b) = (
                s.widen_u8(&bytes),
                s.widen_i8(&bytes.map(|byte| byte as i8)),
            );
            let results = [
                s.sum_of_entries(&s.tables(&entries), &numbers),
                s.select(s.lt(b, a), s.mul(a, a), b),
                s.splat(s.least(b)),
            ];
            for result in results {
                let mut stored = [f32::NAN; 16];
                s.store(result, &mut stored);
                self.0.push(stored);
            }
        }
    }

    #[test]
    fn all_agree() {
        let run = |isa: Isa| {
            let mut results = Vec::new();
            isa.run(Everything(&mut results));
            results
        };
        let expected = run(Isa::Portable);
        // The first number is 13 in base 4.
        let digits = [3, 1, 0, 0, 0, 0, 0, 0].into_iter().enumerate();
        let sum = digits.fold(0.0, |sum, (table, digit)| sum + entry(digit, table));
        assert_eq!(expected[0][0], sum);
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            assert_eq!(run(*isa), expected, "{isa}");
        }
    }
}

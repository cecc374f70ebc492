//! 64 neighbouring bytes at a time: dot products of small integers.

use super::Sixteen;
use crate::numeric::F16;

/// What dot products do with 64 bytes that lie side by side. Integer operations are exact, so that
/// only [`Sixteen`]'s operations on floats have an order to keep. As there, a value proves that the CPU
/// has the instructions, and all methods are `#[inline(always)]`.
pub(crate) trait SixtyFour: Sixteen {
    /// 64 bytes, with or without sign.
    type B: Copy;
    /// 32 signed 16-bit integers: sums of two products each.
    type P: Copy;
    /// 16 signed 32-bit integers: sums of four products each.
    type I: Copy;

    fn bytes(self, from: &[u8; 64]) -> Self::B;
    /// The same 32 bytes twice.
    fn twice(self, half: &[u8; 32]) -> Self::B;
    /// The first 16 bytes twice, then the others twice.
    fn each_twice(self, first: &[u8; 16], second: &[u8; 16]) -> Self::B;
    fn halves(self, first: &[u8; 32], second: &[u8; 32]) -> Self::B;
    /// From eight bytes each, which are not in memory yet.
    fn eights(self, eights: &[[u8; 8]; 8]) -> Self::B;
    fn splat_byte(self, byte: u8) -> Self::B;
    /// `byte` where a bit is set, else 0; the lowest bit belongs to the first byte.
    fn where_set(self, bits: u64, byte: u8) -> Self::B;

    fn and(self, a: Self::B, b: Self::B) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// The bytes of the first half divided by 2^`first`, those of the second by 2^`second`; but bits
    /// of neighbours come in from above, to be masked.
    fn shift_down(self, a: Self::B, first: u32, second: u32) -> Self::B;
    /// The bytes times 2^`by`, where no bit leaves its byte.
    fn shift_up<const BY: u32>(self, a: Self::B) -> Self::B;
    /// Of each 32 bytes, the second 16 divided by 16, but as with [`shift_down`](Self::shift_down).
    fn shift_odd_nibbles(self, a: Self::B) -> Self::B;
    /// Signed bytes, negated where a bit is set.
    fn negate_bytes(self, a: Self::B, bits: u64) -> Self::B;
    /// The table's entries for codes below 16.
    fn look_up_bytes(self, table: &[i8; 16], codes: Self::B) -> Self::B;

    /// Sums of two neighbouring products of bytes `a` below 128 and signed bytes `b`.
    fn dot(self, a: Self::B, b: Self::B) -> Self::P;
    /// The same of signed bytes, where `b` is not -128.
    fn dot_signed(self, a: Self::B, b: Self::B) -> Self::P;
    /// The differences, where no integer overflows.
    fn sub_products(self, a: Self::P, b: Self::P) -> Self::P;
    /// Sums of two neighbours.
    fn pairs(self, a: Self::P) -> Self::I;
    /// Sums of two neighbours, those of each quarter (16 bytes) times a scale.
    fn scaled_quarters(self, a: Self::P, scales: &[i16; 4]) -> Self::I;
    /// Sums of two neighbours, those of each half (32 bytes) times a scale.
    fn scaled_halves(self, a: Self::P, scales: &[i16; 2]) -> Self::I;

    fn zero(self) -> Self::I;
    fn add_integers(self, a: Self::I, b: Self::I) -> Self::I;
    /// The nearest floats.
    fn to_float(self, a: Self::I) -> Self::F;

    /// `sum` less `scale` times the sums of two neighbouring products, in the first 8 places.
    fn sub_scaled_pairs(self, sum: Self::F, a: &[u8; 16], b: &[i16; 16], scale: f32) -> Self::F;

    /// The first float in the first 8 places, the second in the others.
    fn two(self, floats: &[f32; 2]) -> Self::F;
    /// Each float in 4 places.
    fn four(self, floats: &[f32; 4]) -> Self::F;
    fn halves_to_floats(self, halves: &[F16; 16]) -> Self::F;
}

macro_rules! each {
    ($n:literal, $i:ident => $value:expr) => {{
        let mut all = [Default::default(); $n];
        let mut $i = 0;
        while $i < $n {
            all[$i] = $value;
            $i += 1;
        }
        all
    }};
}

impl SixtyFour for super::Portable {
    type B = [u8; 64];
    type P = [i16; 32];
    type I = [i32; 16];

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> [u8; 64] {
        *from
    }

    #[inline(always)]
    fn twice(self, half: &[u8; 32]) -> [u8; 64] {
        self.halves(half, half)
    }

    #[inline(always)]
    fn each_twice(self, first: &[u8; 16], second: &[u8; 16]) -> [u8; 64] {
        bytemuck::cast([*first, *first, *second, *second])
    }

    #[inline(always)]
    fn halves(self, first: &[u8; 32], second: &[u8; 32]) -> [u8; 64] {
        bytemuck::cast([*first, *second])
    }

    #[inline(always)]
    fn eights(self, eights: &[[u8; 8]; 8]) -> [u8; 64] {
        bytemuck::cast(*eights)
    }

    #[inline(always)]
    fn splat_byte(self, byte: u8) -> [u8; 64] {
        [byte; 64]
    }

    #[inline(always)]
    fn where_set(self, bits: u64, byte: u8) -> [u8; 64] {
        let bits = bits.to_le_bytes();
        each!(64, i => if bits[i / 8] & (1 << (i % 8)) != 0 { byte } else { 0 })
    }

    #[inline(always)]
    fn and(self, a: [u8; 64], b: [u8; 64]) -> [u8; 64] {
        each!(64, i => a[i] & b[i])
    }

    #[inline(always)]
    fn or(self, a: [u8; 64], b: [u8; 64]) -> [u8; 64] {
        each!(64, i => a[i] | b[i])
    }

    #[inline(always)]
    fn shift_down(self, a: [u8; 64], first: u32, second: u32) -> [u8; 64] {
        each!(64, i => a[i] >> if i < 32 { first } else { second })
    }

    #[inline(always)]
    fn shift_up<const BY: u32>(self, a: [u8; 64]) -> [u8; 64] {
        each!(64, i => a[i] << BY)
    }

    #[inline(always)]
    fn shift_odd_nibbles(self, a: [u8; 64]) -> [u8; 64] {
        each!(64, i => a[i] >> if i % 32 < 16 { 0 } else { 4 })
    }

    #[inline(always)]
    fn negate_bytes(self, a: [u8; 64], bits: u64) -> [u8; 64] {
        let mask = self.where_set(bits, 255);
        each!(64, i => (a[i] ^ mask[i]).wrapping_sub(mask[i]))
    }

    #[inline(always)]
    fn look_up_bytes(self, table: &[i8; 16], codes: [u8; 64]) -> [u8; 64] {
        each!(64, i => table[usize::from(codes[i] & 15)] as u8)
    }

    #[inline(always)]
    fn dot(self, a: [u8; 64], b: [u8; 64]) -> [i16; 32] {
        let product = |i: usize| i16::from(a[i] & 127) * i16::from(b[i] as i8);
        each!(32, i => product(2 * i) + product(2 * i + 1))
    }

    #[inline(always)]
    fn dot_signed(self, a: [u8; 64], b: [u8; 64]) -> [i16; 32] {
        let product = |i: usize| i16::from(a[i] as i8) * i16::from(b[i] as i8);
        each!(32, i => product(2 * i).wrapping_add(product(2 * i + 1)))
    }

    #[inline(always)]
    fn sub_products(self, a: [i16; 32], b: [i16; 32]) -> [i16; 32] {
        each!(32, i => a[i].wrapping_sub(b[i]))
    }

    #[inline(always)]
    fn pairs(self, a: [i16; 32]) -> [i32; 16] {
        each!(16, i => i32::from(a[2 * i]) + i32::from(a[2 * i + 1]))
    }

    #[inline(always)]
    fn scaled_quarters(self, a: [i16; 32], scales: &[i16; 4]) -> [i32; 16] {
        let sums = self.pairs(a);
        each!(16, i => sums[i] * i32::from(scales[i / 4]))
    }

    #[inline(always)]
    fn scaled_halves(self, a: [i16; 32], scales: &[i16; 2]) -> [i32; 16] {
        let sums = self.pairs(a);
        each!(16, i => sums[i] * i32::from(scales[i / 8]))
    }

    #[inline(always)]
    fn zero(self) -> [i32; 16] {
        [0; 16]
    }

    #[inline(always)]
    fn add_integers(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        each!(16, i => a[i].wrapping_add(b[i]))
    }

    #[inline(always)]
    fn to_float(self, a: [i32; 16]) -> [f32; 16] {
        each!(16, i => a[i] as f32)
    }

    #[inline(always)]
    fn sub_scaled_pairs(
        self,
        mut sum: [f32; 16],
        a: &[u8; 16],
        b: &[i16; 16],
        scale: f32,
    ) -> [f32; 16] {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        for (i, sum) in sum[..8].iter_mut().enumerate() {
            *sum -= (product(2 * i) + product(2 * i + 1)) as f32 * scale;
        }
        sum
    }

    #[inline(always)]
    fn two(self, floats: &[f32; 2]) -> [f32; 16] {
        each!(16, i => floats[i / 8])
    }

    #[inline(always)]
    fn four(self, floats: &[f32; 4]) -> [f32; 16] {
        each!(16, i => floats[i / 4])
    }

    #[inline(always)]
    fn halves_to_floats(self, halves: &[F16; 16]) -> [f32; 16] {
        each!(16, i => halves[i].to_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    /// Collects the results of every operation, as bits.
    struct Everything<'a>(&'a mut Vec<[u32; 16]>);

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let s = lanes.row();
            let bytes: [u8; 64] = std::array::from_fn(|i| (i * 37 + 11) as u8);
            let small: [u8; 64] = std::array::from_fn(|i| (i * 29 % 128) as u8);
            let (a, b) = (s.bytes(&bytes), s.bytes(&small));
            let bits = 0x8421_0f5a_33cc_9e07;
            let [first, second]: [[u8; 32]; 2] = bytemuck::cast(bytes);
            let [quarter, other, ..]: [[u8; 16]; 4] = bytemuck::cast(small);
            let mask = s.splat_byte(15);
            let table = std::array::from_fn(|i| (100 - 13 * i as i32) as i8);
            let all = [
                a,
                s.twice(&first),
                s.each_twice(&quarter, &other),
                s.halves(&second, &first),
                s.eights(bytemuck::cast_ref(&small)),
                s.where_set(bits, 77),
                s.and(a, b),
                s.or(a, b),
                s.and(s.shift_down(a, 2, 4), mask),
                s.shift_up::<3>(s.and(a, mask)),
                s.and(s.shift_odd_nibbles(a), mask),
                s.negate_bytes(a, bits),
                s.look_up_bytes(&table, s.and(a, mask)),
            ];
            // Signed bytes from -127 on, the largest magnitudes included.
            let mut signed = bytes.map(|byte| byte.max(129));
            signed[..4].copy_from_slice(&[127, 127, 129, 129]);
            let signed = s.bytes(&signed);
            let least = s.splat_byte(128);
            let products = [
                s.dot(b, a),
                s.dot(s.splat_byte(127), s.splat_byte(129)),
                s.dot_signed(a, signed),
                s.dot_signed(least, signed),
                s.sub_products(s.dot(b, a), s.dot(mask, a)),
            ];
            let floats = [
                s.two(&[1.5, -2.5]),
                s.four(&[0.5, -1.0, 3e30, 1e-40]),
                s.halves_to_floats(&std::array::from_fn(|i| F16::from_f32(i as f32 * 0.1))),
                s.splat(s.half_to_float(F16::from_f32(-0.3))),
                s.sub_scaled_pairs(
                    s.splat(0.1),
                    &quarter,
                    &std::array::from_fn(|i| 2032 - 251 * i as i16),
                    0.7,
                ),
            ];
            for bytes in all {
                // Each byte alone, by a product with 1 in its place of four.
                for place in 0..4 {
                    let one: [u8; 64] = std::array::from_fn(|i| u8::from(i % 4 == place));
                    let integers = s.pairs(s.dot(s.bytes(&one), bytes));
                    self.0.push(stored(s, s.to_float(integers)));
                }
            }
            for products in products {
                for integers in [
                    s.pairs(products),
                    s.scaled_quarters(products, &[1, -2, 300, -32]),
                    s.scaled_halves(products, &[63, -64]),
                    s.add_integers(s.zero(), s.pairs(products)),
                ] {
                    self.0.push(stored(s, s.to_float(integers)));
                }
            }
            for floats in floats {
                self.0.push(stored(s, floats));
            }
        }
    }

    #[inline(always)]
    fn stored<S: SixtyFour>(s: S, floats: S::F) -> [u32; 16] {
        let mut stored = [f32::NAN; 16];
        s.store(floats, &mut stored);
        stored.map(f32::to_bits)
    }

    #[test]
    fn all_agree() {
        let run = |isa: Isa| {
            let mut results = Vec::new();
            isa.run(Everything(&mut results));
            results
        };
        let expected = run(Isa::Portable);
        // The first byte of the first result is 11, and its second one 37 + 11.
        assert_eq!(f32::from_bits(expected[0][0]), 11.0);
        assert_eq!(f32::from_bits(expected[1][0]), 48.0);
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            let results = run(*isa);
            let differing = results.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(differing, None, "{isa}");
        }
    }
}

//! 16 neighbouring elements at a time, for what has no order to keep, as decoding, or an order of 16
//! sums.

use super::past_caches::Line;
use crate::numeric::F16;
use std::cell::Cell;

/// What is done with 16 elements that lie side by side. As with [`Lanes`](super::Lanes), a value
/// proves that the CPU has the instructions, every operation is one IEEE operation an element, and
/// all methods are `#[inline(always)]`.
pub(crate) trait Sixteen: Copy {
    /// Floats.
    type F: Copy;

    /// What `half.to_f32()` is.
    fn half_to_float(self, half: F16) -> f32;
    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` with the sign of element `i` turned where bit `i` of `signs` is set.
    fn negate(self, a: Self::F, signs: u16) -> Self::F;

    /// Unsigned bytes as floats.
    fn widen_u8(self, bytes: &[u8; 16]) -> Self::F;
    /// Signed bytes as floats.
    fn widen_i8(self, bytes: &[i8; 16]) -> Self::F;
    /// The table's entries as floats, for codes below 16.
    fn look_up(self, table: &[i8; 16], codes: &[u8; 16]) -> Self::F;
    /// `(byte >> shift) & mask`, where `mask` has at most the 8 - `shift` lowest bits.
    fn take_bits(self, bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16];
    /// `bytes | value` where the bit of the same number is set, the first lowest.
    fn with_bits(self, bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16];
    /// Fields of two bits as floats, the lowest first.
    fn widen_crumbs(self, crumbs: u32) -> Self::F;
    fn load(self, from: &[f32; 16]) -> Self::F;
    fn store(self, a: Self::F, to: &mut [f32; 16]);

    /// `before` without its first `early` elements (at most 16), then the first ones of `a`.
    fn straddling(self, before: Self::F, a: Self::F, early: usize) -> Self::F;
    /// Not to be read before a fence: see [`PastCaches`](super::PastCaches).
    fn store_past_caches(self, a: Self::F, to: &Cell<Line>);
}

impl Sixteen for super::Portable {
    type F = [f32; 16];

    #[inline(always)]
    fn half_to_float(self, half: F16) -> f32 {
        half.to_f32()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    fn add(self, mut a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        for (a, b) in a.iter_mut().zip(b) {
            *a -= b;
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        for (a, b) in a.iter_mut().zip(b) {
            *a *= b;
        }
        a
    }

    #[inline(always)]
    fn negate(self, mut a: [f32; 16], signs: u16) -> [f32; 16] {
        for (i, a) in a.iter_mut().enumerate() {
            let sign = (u32::from(signs) << (31 - i)) & 0x8000_0000;
            *a = f32::from_bits(a.to_bits() ^ sign);
        }
        a
    }

    #[inline(always)]
    fn widen_u8(self, bytes: &[u8; 16]) -> [f32; 16] {
        let mut a = [0.0; 16];
        for (a, byte) in a.iter_mut().zip(bytes) {
            *a = f32::from(*byte);
        }
        a
    }

    #[inline(always)]
    fn widen_i8(self, bytes: &[i8; 16]) -> [f32; 16] {
        let mut a = [0.0; 16];
        for (a, byte) in a.iter_mut().zip(bytes) {
            *a = f32::from(*byte);
        }
        a
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], codes: &[u8; 16]) -> [f32; 16] {
        let mut a = [0.0; 16];
        for (a, code) in a.iter_mut().zip(codes) {
            *a = f32::from(table[usize::from(code & 15)]);
        }
        a
    }

    /// Eight bytes at a time, which no compiler gets wrong.
    #[inline(always)]
    fn take_bits(self, bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        let mask = u64::MAX / 255 * u64::from(mask);
        let mut taken = [0; 16];
        let words = bytes.as_chunks::<8>().0.iter();
        for (word, taken) in words.zip(taken.as_chunks_mut::<8>().0) {
            *taken = ((u64::from_le_bytes(*word) >> shift) & mask).to_le_bytes();
        }
        taken
    }

    #[inline(always)]
    fn with_bits(self, mut bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16] {
        let halves = bytes.as_chunks_mut::<8>().0.iter_mut();
        for (bytes, bits) in halves.zip(bits.to_le_bytes()) {
            let values = spread_bits(bits) * u64::from(value);
            *bytes = (u64::from_le_bytes(*bytes) | values).to_le_bytes();
        }
        bytes
    }

    #[inline(always)]
    fn widen_crumbs(self, crumbs: u32) -> [f32; 16] {
        let mut a = [0.0; 16];
        for (i, a) in a.iter_mut().enumerate() {
            *a = ((crumbs >> (2 * i)) & 3) as f32;
        }
        a
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [f32; 16] {
        *from
    }

    #[inline(always)]
    fn store(self, a: [f32; 16], to: &mut [f32; 16]) {
        *to = a;
    }

    #[inline(always)]
    fn straddling(self, before: [f32; 16], a: [f32; 16], early: usize) -> [f32; 16] {
        let both: [f32; 32] = bytemuck::cast([before, a]);
        std::array::from_fn(|i| both[(early + i) % 32])
    }

    #[inline(always)]
    fn store_past_caches(self, a: [f32; 16], to: &Cell<Line>) {
        to.set(Line(a));
    }
}

/// Bit `i` of a byte as the lowest bit of byte `i`.
#[inline(always)]
fn spread_bits(byte: u8) -> u64 {
    const LOWEST: u64 = u64::MAX / 255;
    let bits = (u64::from(byte) * LOWEST) & 0x8040_2010_0804_0201;
    ((bits + 0x7f * LOWEST) >> 7) & LOWEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    struct Everything<'a>(&'a mut Vec<[f32; 16]>);

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let s = lanes.row();
            let bytes: [u8; 16] = std::array::from_fn(|i| (i * 37 % 256) as u8);
            let signed = bytes.map(|byte| byte as i8);
            let table = std::array::from_fn(|i| (100 - 13 * i as i32) as i8);
            let (a, b) = (s.widen_u8(&bytes), s.widen_i8(&signed));
            let codes = bytes.map(|byte| byte & 15);
            let results = [
                a,
                b,
                s.add(a, s.splat(0.1)),
                s.sub(a, b),
                s.mul(a, b),
                s.negate(s.mul(a, b), 0b1010_0000_0110_1101),
                s.look_up(&table, &codes),
                s.splat(s.half_to_float(F16::from_bits(0x3555))),
                s.splat(s.half_to_float(F16::from_bits(0x8001))),
                s.widen_u8(&s.take_bits(&bytes, 0, 15)),
                s.widen_u8(&s.take_bits(&bytes, 3, 7)),
                s.widen_u8(&s.take_bits(&bytes, 6, 3)),
                s.widen_u8(&s.with_bits(s.take_bits(&bytes, 0, 15), 0x8a31, 16)),
                s.widen_crumbs(0xd1e4_27b8),
                s.straddling(a, b, 0),
                s.straddling(a, b, 3),
                s.straddling(a, b, 8),
                s.straddling(a, b, 15),
                s.straddling(a, b, 16),
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
                .iter()
                .map(|r| r.map(f32::to_bits))
                .collect::<Vec<_>>()
        };
        let expected = run(Isa::Portable);
        // The second byte is 37, whose lower half is 5.
        assert_eq!(f32::from_bits(expected[6][1]), 100.0 - 13.0 * 5.0);
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            assert_eq!(run(*isa), expected, "{isa}");
        }
    }
}

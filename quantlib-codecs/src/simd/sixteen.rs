//! 16 neighbouring elements at a time, for what has no order to keep, as decoding, or an order of 16
//! sums.

use crate::numeric::F16;

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
    fn load(self, from: &[f32; 16]) -> Self::F;
    fn store(self, a: Self::F, to: &mut [f32; 16]);
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

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [f32; 16] {
        *from
    }

    #[inline(always)]
    fn store(self, a: [f32; 16], to: &mut [f32; 16]) {
        *to = a;
    }
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

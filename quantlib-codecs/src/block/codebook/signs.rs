//! Signs of eight elements in a byte, a set bit for each negative one.
//!
//! Formats that are short of bits store seven of them and make the number of negative ones even.

use crate::block::number::{fill, map};
use crate::simd::Sixteen;

/// The eight signs whose lower seven bits are stored.
#[inline(always)]
pub(in crate::block) fn even_signs(stored: u8) -> u8 {
    let stored = stored & 127;
    // Bit n of this number is the parity of n: a count of ones takes longer where it is emulated.
    const PARITIES: u32 = 0x6996;
    let parity = (PARITIES >> ((stored ^ (stored >> 4)) & 15)) as u8;
    stored | (parity << 7)
}

/// Four times seven signs and a 4-bit scale, as little-endian bytes.
pub(in crate::block) fn pack_signs_and_scale(signs: &[u8; 4], scale: u8) -> [u8; 4] {
    let scale = u32::from(scale) << 28;
    let shifted = |(i, signs): (usize, &u8)| u32::from(signs & 127) << (7 * i);
    let packed = signs
        .iter()
        .enumerate()
        .map(shifted)
        .fold(scale, |a, b| a | b);
    packed.to_le_bytes()
}

/// The reverse of [`pack_signs_and_scale`], with the signs completed.
#[inline(always)]
pub(in crate::block) fn unpack_signs_and_scale(packed: [u8; 4]) -> ([u8; 4], u8) {
    let packed = u32::from_le_bytes(packed);
    let signs = fill(|i| even_signs((packed >> (7 * i)) as u8));
    (signs, (packed >> 28) as u8)
}

/// Decodes a super-block from the magnitudes and signs of each eight and the scale that two have in
/// common.
#[inline(always)]
pub(in crate::block) fn decode_pairs<S: Sixteen>(
    s: S,
    y: &mut [f32; 256],
    scale: impl Fn(usize) -> f32,
    eight: impl Fn(usize, usize) -> ([u8; 8], u8),
) {
    for (pair, y) in y.as_chunks_mut().0.iter_mut().enumerate() {
        let (first, second) = (eight(pair, 0), eight(pair, 1));
        let magnitudes = bytemuck::cast([first.0, second.0]);
        let signs = u16::from_le_bytes([first.1, second.1]);
        let scaled = s.mul(s.splat(scale(pair)), s.widen_u8(&magnitudes));
        s.store(s.negate(scaled, signs), y);
    }
}

/// A group of elements without their signs, in eights.
pub(in crate::block) struct Magnitudes<const G: usize> {
    pub(in crate::block) x: [[f32; 8]; G],
    pub(in crate::block) signs: [u8; G],
}

impl<const G: usize> Magnitudes<G> {
    /// Zeros.
    pub(in crate::block) const ZERO: Self = Self {
        x: [[0.0; 8]; G],
        signs: [0; G],
    };

    #[inline(always)]
    pub(in crate::block) fn of(x: &[[f32; 8]; G]) -> Self {
        let mut group = Self::ZERO;
        for (g, x) in x.iter().enumerate() {
            let mut signs = [0; 8];
            for (i, x) in x.iter().enumerate() {
                let negative = *x < 0.0;
                signs[i] = u8::from(negative) << i;
                group.x[g][i] = if negative { -x } else { *x };
            }
            for sign in signs {
                group.signs[g] |= sign;
            }
        }
        group
    }

    /// Like [`of`](Self::of), but where an odd number of eight is negative, the sign of the one that
    /// this costs least is turned, and its "magnitude" is negative.
    #[inline(always)]
    pub(in crate::block) fn with_even_signs(x: &[[f32; 8]; G], weights: &[[f32; 8]; G]) -> Self {
        let mut group = Self::of(x);
        for (g, signs) in group.signs.iter_mut().enumerate() {
            if signs.count_ones() % 2 == 1 {
                let cost = |i: usize| weights[g][i] * x[g][i] * x[g][i];
                let mut cheapest = 0;
                for i in 1..8 {
                    if cost(i) < cost(cheapest) {
                        cheapest = i;
                    }
                }
                group.x[g][cheapest] = -group.x[g][cheapest];
                *signs ^= 1 << cheapest;
            }
        }
        group
    }

    /// The largest one.
    #[inline(always)]
    pub(in crate::block) fn max(&self) -> f32 {
        // Eight side by side: no order matters here.
        let mut columns = [f32::NEG_INFINITY; 8];
        for eight in &self.x {
            for (max, x) in columns.iter_mut().zip(eight) {
                *max = if x > max { *x } else { *max };
            }
        }
        let larger = |max: f32, x: &f32| if *x > max { *x } else { max };
        columns.iter().fold(f32::NEG_INFINITY, larger)
    }

    /// The scale without its sign, which is moved to the elements' signs.
    #[inline(always)]
    pub(in crate::block) fn absorb_sign(&self, scale: f32) -> (f32, [u8; G]) {
        if scale < 0.0 {
            (-scale, map(&self.signs, |signs| !signs))
        } else {
            (scale, self.signs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_signs_are_completed_to_an_even_number() {
        for stored in 0..128 {
            let signs = even_signs(stored);
            assert_eq!(signs.count_ones() % 2, 0);
            assert_eq!(signs & 127, stored);
        }
    }

    #[test]
    fn signs_and_scale_survive_packing() {
        let signs = [0, 0b1000_0001, 0b11, 255];
        let packed = pack_signs_and_scale(&signs, 13);
        assert_eq!(unpack_signs_and_scale(packed), (signs, 13));
    }

    #[test]
    fn the_cheapest_sign_is_turned() {
        let x = [[1.0, -2.0, 0.5, 3.0, -0.0, 4.0, 5.0, 6.0]];
        assert_eq!(Magnitudes::of(&x).signs, [0b10]);
        let group = Magnitudes::with_even_signs(&x, &[[1.0; 8]]);
        assert_eq!(group.signs, [0b1_0010]);
        assert_eq!(group.max(), 6.0);
    }

    #[test]
    fn a_negative_scale_turns_all_signs() {
        let group = Magnitudes::of(&[[-1.0; 8]]);
        assert_eq!(group.absorb_sign(-2.0), (2.0, [0]));
        assert_eq!(group.absorb_sign(2.0), (2.0, [0xff]));
    }
}

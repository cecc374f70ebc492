//! Whether there are NaNs or infinities, which encoders refuse.

use super::{Isa, Kernel, Lanes};

/// Whether all of `x` are numbers and finite.
pub(crate) fn all_finite(x: &[f32]) -> bool {
    let mut largest = 0;
    let largest_of = LargestMagnitude {
        x,
        bits: &mut largest,
    };
    Isa::preferred().unwrap_or(Isa::Portable).run(largest_of);
    largest < f32::INFINITY.to_bits()
}

/// Without its sign, the bit pattern of an infinity is larger than those of all finite numbers, and
/// those of NaNs are larger still. Comparing integers vectorizes.
struct LargestMagnitude<'a> {
    x: &'a [f32],
    bits: &'a mut u32,
}

impl Kernel for LargestMagnitude<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let mut largest = 0;
        for x in self.x {
            largest = largest.max(x.to_bits() & !(1 << 31));
        }
        *self.bits = largest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_not_finite_anywhere() {
        for len in [0, 1, 5, 16, 67, 300] {
            let mut x = vec![-f32::MAX; len];
            assert!(all_finite(&x));
            for i in 0..len {
                for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[i] = value;
                    assert!(!all_finite(&x), "{value} at {i} of {len}");
                }
                x[i] = 1e-40;
            }
        }
    }
}

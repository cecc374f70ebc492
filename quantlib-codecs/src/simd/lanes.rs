//! What every set of lanes can do.

use super::steps::Steps;
use super::{Narrow, SixtyFour, TableSums, Vector};

/// The most lanes that any implementation has.
pub(crate) const MAX_LANES: usize = 32;

/// `N` floats (or integers) that go through the same operations side by side.
///
/// A value of the type is the proof that the CPU has the instructions: it comes from
/// [`Isa::run`](super::Isa::run) only. Every operation is one IEEE single-precision operation a lane,
/// never fused, so each lane computes what scalar code would. All methods, and all functions that
/// are generic over lanes, are `#[inline(always)]`: what is not inlined into the entry point is
/// compiled for the baseline CPU, and is right but many times slower.
pub(crate) trait Lanes: Copy {
    /// Floats.
    type F: Copy;
    /// 32-bit integers.
    type I: Copy;
    /// Truth values.
    type M: Copy;

    /// The same instructions for neighbouring elements.
    type Row: SixtyFour + Narrow + TableSums;

    /// The same instructions with one vector.
    type Single: Vector;

    /// The number of lanes, at most [`MAX_LANES`].
    const N: usize;

    /// The largest relative error of [`nearly_div`](Self::nearly_div); `None` where division is as quick. More
    /// than 2^-23, so that what is proved with it holds for numbers whose neighbours are closer than integers.
    const NEARLY: Option<f32> = None;

    fn row(self) -> Self::Row;
    fn single(self) -> Self::Single;

    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    fn sqrt(self, a: Self::F) -> Self::F;
    /// About `a / b`, sooner: right but for [`NEARLY`](Self::NEARLY) of it, or infinite or NaN, if b is less
    /// than 2^125. No result may come from it, since CPUs differ; but it can prove that a result is right.
    #[inline(always)]
    fn nearly_div(self, a: Self::F, b: Self::F) -> Self::F {
        self.div(a, b)
    }
    fn abs(self, a: Self::F) -> Self::F;
    fn neg(self, a: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: the operands' order matters for zeros of both signs and NaNs.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// [`max`](Self::max) for positive numbers: their bit patterns are ordered alike, so that units for
    /// integers can do it where they are idle.
    #[inline(always)]
    fn max_positive(self, a: Self::F, b: Self::F) -> Self::F {
        self.max(a, b)
    }
    /// [`min`](Self::min) for positive numbers.
    #[inline(always)]
    fn min_positive(self, a: Self::F, b: Self::F) -> Self::F {
        self.min(a, b)
    }
    /// `a < b`, false for NaNs, as are the other comparisons.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    fn le(self, a: Self::F, b: Self::F) -> Self::M;
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;

    fn and(self, a: Self::M, b: Self::M) -> Self::M;
    fn or(self, a: Self::M, b: Self::M) -> Self::M;
    fn not(self, a: Self::M) -> Self::M;
    fn any(self, a: Self::M) -> bool;
    fn all(self, a: Self::M) -> bool;
    /// `if mask { a } else { b }`.
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F;
    fn select_i(self, mask: Self::M, a: Self::I, b: Self::I) -> Self::I;

    fn splat_i(self, x: i32) -> Self::I;
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn eq_i(self, a: Self::I, b: Self::I) -> Self::M;

    /// The bit patterns.
    fn bits(self, a: Self::F) -> Self::I;
    /// The integers as floats.
    fn to_float(self, a: Self::I) -> Self::F;

    /// The value of the function at x, which must be in -135.0..=135.0.
    fn step(self, x: Self::F, steps: &Steps) -> Self::F;

    /// Elements `16 * chunk..16 * (chunk + 1)` of `N` rows, transposed: each row in a lane.
    fn load_16<const LEN: usize>(self, rows: &[&[f32; LEN]], chunk: usize) -> [Self::F; 16];

    /// Writes the lanes to the first `N` places.
    #[inline(always)]
    fn store(self, a: Self::F, to: &mut [f32; MAX_LANES]) {
        self.store_at(a, &mut to[..Self::N]);
    }

    /// As [`store`](Self::store).
    #[inline(always)]
    fn store_i(self, a: Self::I, to: &mut [i32; MAX_LANES]) {
        self.store_i_at(a, &mut to[..Self::N]);
    }

    /// The first `N` numbers.
    #[inline(always)]
    fn read(self, from: &[f32; MAX_LANES]) -> Self::F {
        self.read_at(&from[..Self::N])
    }

    /// The numbers of `from`, whose length is `N`.
    fn read_at(self, from: &[f32]) -> Self::F;

    /// Writes the lanes to `to`, whose length is `N`.
    fn store_at(self, a: Self::F, to: &mut [f32]);
    fn store_i_at(self, a: Self::I, to: &mut [i32]);

    /// The `PART` elements from `first` on, a multiple of 16, of `N` rows: each row in a lane.
    #[inline(always)]
    fn load<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> [Self::F; PART] {
        const { assert!(PART.is_multiple_of(16) && Self::N <= MAX_LANES) };
        let mut part = [self.splat(0.0); PART];
        for (i, chunk) in part.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            *chunk = self.load_16(rows, first / 16 + i);
        }
        part
    }

    /// The largest magnitude among the `PART` elements from `first` on, a multiple of 16, of `N` rows of
    /// finite numbers.
    #[inline(always)]
    fn max_magnitudes<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> Self::F {
        let mut max = self.splat(0.0);
        for x in self.load::<LEN, PART>(rows, first) {
            max = self.max_positive(self.abs(x), max);
        }
        max
    }

    /// The smallest and the largest of the `PART` elements from `first` on, a multiple of 16, of `N`
    /// rows of finite numbers. A zero may have either sign if there are zeros of both.
    #[inline(always)]
    fn ranges<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> (Self::F, Self::F) {
        let x = self.load::<LEN, PART>(rows, first);
        let (mut min, mut max) = (x[0], x[0]);
        for x in x {
            min = self.min(x, min);
            max = self.max(x, max);
        }
        (min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel};

    struct Quotients;

    impl Kernel for Quotients {
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            let allowed = f64::from(L::NEARLY.unwrap_or(0.0));
            for exponent in -148..125 {
                for part in 0..400 {
                    let b = (1.0 + part as f32 / 400.0) * 2f32.powi(exponent);
                    let a = (1.7 - part as f32 / 300.0) * b;
                    let mut found = [0.0; MAX_LANES];
                    l.store(l.nearly_div(l.splat(a), l.splat(b)), &mut found);
                    let exact = f64::from(a) / f64::from(b);
                    let error = (f64::from(found[0]) - exact).abs();
                    let rounding = exact.abs() * f64::from(f32::EPSILON) / 2.0;
                    assert!(
                        !found[0].is_finite() || error <= exact.abs() * allowed + rounding,
                        "{a} / {b}: {}",
                        found[0]
                    );
                    assert_eq!(found[0].to_bits(), found[L::N - 1].to_bits());
                }
            }
        }
    }

    #[test]
    fn quotients_are_as_near_as_promised() {
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            isa.run(Quotients);
        }
    }
}

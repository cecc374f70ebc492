//! Two vectors in lock-step: one's arithmetic fills the other's waiting times.

use super::Vector;
use super::lanes::Lanes;
use super::steps::Steps;

/// Twice the lanes of `L`.
#[derive(Clone, Copy)]
pub(crate) struct Double<L>(pub(super) L);

macro_rules! pair_operations {
    ($(fn $name:ident($($arg:ident: $type:ident),*) -> $result:ident;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::$type),*) -> Self::$result {
            ((self.0).$name($($arg.0),*), (self.0).$name($($arg.1),*))
        })*
    };
}

impl<L: Vector> Lanes for Double<L> {
    type F = (L::F, L::F);
    type I = (L::I, L::I);
    type M = (L::M, L::M);

    type Row = L::Row;
    type Single = L;

    const N: usize = 2 * L::N;
    const NEARLY: Option<f32> = L::NEARLY;

    #[inline(always)]
    fn row(self) -> L::Row {
        self.0.row()
    }

    #[inline(always)]
    fn single(self) -> L {
        self.0
    }

    pair_operations! {
        fn add(a: F, b: F) -> F;
        fn sub(a: F, b: F) -> F;
        fn mul(a: F, b: F) -> F;
        fn div(a: F, b: F) -> F;
        fn nearly_div(a: F, b: F) -> F;
        fn sqrt(a: F) -> F;
        fn abs(a: F) -> F;
        fn neg(a: F) -> F;
        fn max(a: F, b: F) -> F;
        fn min(a: F, b: F) -> F;
        fn max_positive(a: F, b: F) -> F;
        fn min_positive(a: F, b: F) -> F;
        fn lt(a: F, b: F) -> M;
        fn le(a: F, b: F) -> M;
        fn eq(a: F, b: F) -> M;
        fn and(a: M, b: M) -> M;
        fn or(a: M, b: M) -> M;
        fn not(a: M) -> M;
        fn select(mask: M, a: F, b: F) -> F;
        fn select_i(mask: M, a: I, b: I) -> I;
        fn sub_i(a: I, b: I) -> I;
        fn min_i(a: I, b: I) -> I;
        fn max_i(a: I, b: I) -> I;
        fn and_i(a: I, b: I) -> I;
        fn eq_i(a: I, b: I) -> M;
        fn bits(a: F) -> I;
        fn to_float(a: I) -> F;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        (self.0.splat(x), self.0.splat(x))
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        (self.0.splat_i(x), self.0.splat_i(x))
    }

    #[inline(always)]
    fn step(self, x: Self::F, steps: &Steps) -> Self::F {
        (self.0.step(x.0, steps), self.0.step(x.1, steps))
    }

    #[inline(always)]
    fn any(self, a: Self::M) -> bool {
        self.0.any(self.0.or(a.0, a.1))
    }

    #[inline(always)]
    fn all(self, a: Self::M) -> bool {
        self.0.all(self.0.and(a.0, a.1))
    }

    #[inline(always)]
    fn load_16<const LEN: usize>(self, rows: &[&[f32; LEN]], chunk: usize) -> [Self::F; 16] {
        let (first, second) = rows.split_at(L::N);
        let first = self.0.load_16(first, chunk);
        let second = self.0.load_16(second, chunk);
        let mut columns = [self.splat(0.0); 16];
        for i in 0..16 {
            columns[i] = (first[i], second[i]);
        }
        columns
    }

    #[inline(always)]
    fn max_magnitudes<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> Self::F {
        let (low, high) = rows.split_at(L::N);
        let low = self.0.max_magnitudes::<LEN, PART>(low, first);
        (low, self.0.max_magnitudes::<LEN, PART>(high, first))
    }

    #[inline(always)]
    fn ranges<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> (Self::F, Self::F) {
        let (low, high) = rows.split_at(L::N);
        let low = self.0.ranges::<LEN, PART>(low, first);
        let high = self.0.ranges::<LEN, PART>(high, first);
        ((low.0, high.0), (low.1, high.1))
    }

    #[inline(always)]
    fn read_at(self, from: &[f32]) -> Self::F {
        let (first, second) = from.split_at(L::N);
        (self.0.read_at(first), self.0.read_at(second))
    }

    #[inline(always)]
    fn store_at(self, a: Self::F, to: &mut [f32]) {
        let (first, second) = to.split_at_mut(L::N);
        self.0.store_at(a.0, first);
        self.0.store_at(a.1, second);
    }

    #[inline(always)]
    fn store_i_at(self, a: Self::I, to: &mut [i32]) {
        let (first, second) = to.split_at_mut(L::N);
        self.0.store_i_at(a.0, first);
        self.0.store_i_at(a.1, second);
    }
}

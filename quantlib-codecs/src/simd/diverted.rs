//! Decoders whose elements go elsewhere than where they say.

use super::Sixteen;
use super::past_caches::Line;
use crate::numeric::F16;
use std::cell::Cell;

/// What becomes of elements instead of being written where a decoder says. It takes that decoders store all
/// elements of a block in their order.
pub(crate) trait Sink<S: Sixteen>: Copy {
    /// Takes the next 16 elements. Implementations must be `#[inline(always)]`.
    fn take(self, s: S, a: S::F);
}

/// The instructions of `s`, whose stores go to `sink`.
#[derive(Clone, Copy)]
pub(crate) struct Diverted<S, K> {
    pub(crate) s: S,
    pub(crate) sink: K,
}

/// Methods that are those of `s`.
macro_rules! as_they_are {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $type),*) -> $result {
            self.s.$name($($arg),*)
        })*
    };
}

impl<S: Sixteen, K: Sink<S>> Sixteen for Diverted<S, K> {
    type F = S::F;

    #[inline(always)]
    fn store(self, a: S::F, _: &mut [f32; 16]) {
        self.sink.take(self.s, a);
    }

    as_they_are! {
        fn half_to_float(half: F16) -> f32;
        fn splat(x: f32) -> S::F;
        fn add(a: S::F, b: S::F) -> S::F;
        fn sub(a: S::F, b: S::F) -> S::F;
        fn mul(a: S::F, b: S::F) -> S::F;
        fn negate(a: S::F, signs: u16) -> S::F;
        fn widen_u8(bytes: &[u8; 16]) -> S::F;
        fn widen_i8(bytes: &[i8; 16]) -> S::F;
        fn look_up(table: &[i8; 16], codes: &[u8; 16]) -> S::F;
        fn take_bits(bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16];
        fn with_bits(bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16];
        fn widen_crumbs(crumbs: u32) -> S::F;
        fn load(from: &[f32; 16]) -> S::F;
        fn straddling(before: S::F, a: S::F, early: usize) -> S::F;
        fn store_past_caches(a: S::F, to: &Cell<Line>) -> ();
    }
}

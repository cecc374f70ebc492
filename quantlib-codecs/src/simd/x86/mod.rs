//! Lanes of x86-64: AVX2 and AVX-512. What is not here is not possible with them alone.

mod avx2;
mod avx512;
mod narrow;
mod sixteen;
mod sixty_four;
mod table_sums;

pub(super) use avx2::Avx2;
pub(super) use avx512::Avx512;

/// Methods of one intrinsic each (or few). `$proof` says why they may be used.
macro_rules! intrinsics {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty, $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $type),*) -> $result {
            // SAFETY: `self` exists, so the CPU has the instructions; no memory is accessed.
            unsafe { $body }
        })*
    };
}
use intrinsics;

/// Orders what was stored past the caches before what is stored later.
pub(super) fn fence() {
    // SAFETY: an instruction of SSE, which every x86-64 has; it accesses nothing.
    unsafe { core::arch::x86_64::_mm_sfence() };
}

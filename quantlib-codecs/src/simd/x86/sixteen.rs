//! 16 neighbours in two vectors of AVX2, or in one of AVX-512.

use super::{Avx2, Avx512, intrinsics};
use crate::numeric::F16;
use crate::simd::Sixteen;
use crate::simd::past_caches::Line;
use core::arch::x86_64::*;
use std::cell::Cell;

impl Sixteen for Avx512 {
    type F = __m512;

    intrinsics! {
        fn splat(x: f32) -> __m512, _mm512_set1_ps(x);
        fn add(a: __m512, b: __m512) -> __m512, _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512, _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512, _mm512_mul_ps(a, b);
        fn negate(a: __m512, signs: u16) -> __m512, _mm512_mask_xor_ps(a, signs, a, _mm512_set1_ps(-0.0));
    }

    #[inline(always)]
    fn half_to_float(self, half: F16) -> f32 {
        // SAFETY: `self` exists, so the CPU has F16C.
        unsafe { half_to_float(half) }
    }

    #[inline(always)]
    fn widen_u8(self, bytes: &[u8; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load(bytes))) }
    }

    #[inline(always)]
    fn widen_i8(self, bytes: &[i8; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load(bytemuck::cast_ref(bytes)))) }
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], codes: &[u8; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(shuffle(table, codes))) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions; 16 floats; the load needs no
        // alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn take_bits(self, bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        take_bits(bytes, shift, mask)
    }

    #[inline(always)]
    fn with_bits(self, bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let values = _mm_maskz_set1_epi8(bits, value as i8);
            bytemuck::cast(_mm_or_si128(load(&bytes), values))
        }
    }

    #[inline(always)]
    fn widen_crumbs(self, crumbs: u32) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let shifts =
                _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let shifted = _mm512_srlv_epi32(_mm512_set1_epi32(crumbs as i32), shifts);
            _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(3)))
        }
    }

    #[inline(always)]
    fn store(self, a: __m512, to: &mut [f32; 16]) {
        let (first, second) = to.split_at_mut(8);
        // In two halves: without alignment, whole vectors would cross a cache line every time.
        // SAFETY: `self` exists, so the CPU has the instructions; each half has room for 8 floats;
        // the stores need no alignment.
        unsafe {
            _mm256_storeu_ps(first.as_mut_ptr(), _mm512_castps512_ps256(a));
            _mm256_storeu_ps(second.as_mut_ptr(), _mm512_extractf32x8_ps::<1>(a));
        }
    }

    #[inline(always)]
    fn straddling(self, before: __m512, a: __m512, early: usize) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let ascending = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let places = _mm512_add_epi32(ascending, _mm512_set1_epi32(early as i32));
            _mm512_permutex2var_ps(before, places, a)
        }
    }

    #[inline(always)]
    fn store_past_caches(self, a: __m512, to: &Cell<Line>) {
        // SAFETY: `self` exists, so the CPU has the instructions; a line is 16 floats, aligned to 64
        // bytes, and nobody else writes to the cell; who lends it out fences before it is read.
        unsafe { _mm512_stream_ps(to.as_ptr().cast(), a) };
    }
}

impl Sixteen for Avx2 {
    type F = (__m256, __m256);

    #[inline(always)]
    fn half_to_float(self, half: F16) -> f32 {
        // SAFETY: `self` exists, so the CPU has F16C.
        unsafe { half_to_float(half) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let x = unsafe { _mm256_set1_ps(x) };
        (x, x)
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn negate(self, a: Self::F, signs: u16) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let signs = _mm256_set1_epi32(i32::from(signs) << 16);
            let first = _mm256_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8);
            let second = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
            (turn(a.0, signs, first), turn(a.1, signs, second))
        }
    }

    #[inline(always)]
    fn widen_u8(self, bytes: &[u8; 16]) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { unsigned(load(bytes)) }
    }

    #[inline(always)]
    fn widen_i8(self, bytes: &[i8; 16]) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { signed(load(bytemuck::cast_ref(bytes))) }
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], codes: &[u8; 16]) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { signed(shuffle(table, codes)) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::F {
        let (first, second) = from.split_at(8);
        // SAFETY: `self` exists, so the CPU has the instructions; each half has 8 floats; the loads
        // need no alignment.
        unsafe {
            (
                _mm256_loadu_ps(first.as_ptr()),
                _mm256_loadu_ps(second.as_ptr()),
            )
        }
    }

    #[inline(always)]
    fn take_bits(self, bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        take_bits(bytes, shift, mask)
    }

    #[inline(always)]
    fn with_bits(self, bytes: [u8; 16], bits: u16, value: u8) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            // Each byte gets the byte that its bit is in, and looks at its own bit there.
            let halves = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
            let own = _mm_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let spread = _mm_shuffle_epi8(_mm_cvtsi32_si128(i32::from(bits)), halves);
            let set = _mm_cmpeq_epi8(_mm_and_si128(spread, own), own);
            let values = _mm_and_si128(set, _mm_set1_epi8(value as i8));
            bytemuck::cast(_mm_or_si128(load(&bytes), values))
        }
    }

    #[inline(always)]
    fn widen_crumbs(self, crumbs: u32) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let crumbs = _mm256_set1_epi32(crumbs as i32);
            let widen = |shifts| {
                let shifted = _mm256_srlv_epi32(crumbs, shifts);
                _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(3)))
            };
            (
                widen(_mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)),
                widen(_mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30)),
            )
        }
    }

    #[inline(always)]
    fn store(self, a: Self::F, to: &mut [f32; 16]) {
        let (first, second) = to.split_at_mut(8);
        // SAFETY: each half has room for 8 floats; the stores need no alignment.
        unsafe {
            _mm256_storeu_ps(first.as_mut_ptr(), a.0);
            _mm256_storeu_ps(second.as_mut_ptr(), a.1);
        }
    }

    #[inline(always)]
    fn straddling(self, before: Self::F, a: Self::F, early: usize) -> Self::F {
        let early_of_eight = early % 8;
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            match early / 8 {
                0 => (
                    straddle(before.0, before.1, early_of_eight),
                    straddle(before.1, a.0, early_of_eight),
                ),
                1 => (
                    straddle(before.1, a.0, early_of_eight),
                    straddle(a.0, a.1, early_of_eight),
                ),
                _ => a,
            }
        }
    }

    #[inline(always)]
    fn store_past_caches(self, a: Self::F, to: &Cell<Line>) {
        let to: *mut f32 = to.as_ptr().cast();
        // SAFETY: `self` exists, so the CPU has the instructions; a line is 16 floats, aligned to 64
        // bytes, and nobody else writes to the cell; who lends it out fences before it is read.
        unsafe {
            _mm256_stream_ps(to, a.0);
            _mm256_stream_ps(to.add(8), a.1);
        }
    }
}

#[inline(always)]
pub(super) fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes; the load is of SSE2, which every x86-64 has, and needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn shuffle(table: &[i8; 16], codes: &[u8; 16]) -> __m128i {
    _mm_shuffle_epi8(load(bytemuck::cast_ref(table)), load(codes))
}

#[inline]
#[target_feature(enable = "avx2")]
fn signed(bytes: __m128i) -> (__m256, __m256) {
    let second = _mm_unpackhi_epi64(bytes, bytes);
    (
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(second)),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn unsigned(bytes: __m128i) -> (__m256, __m256) {
    let second = _mm_unpackhi_epi64(bytes, bytes);
    (
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(second)),
    )
}

/// `a` with its sign turned where the bit that `shift` brings to the top is set.
#[inline]
#[target_feature(enable = "avx2")]
fn turn(a: __m256, signs: __m256i, shift: __m256i) -> __m256 {
    let top = _mm256_sllv_epi32(signs, shift);
    let sign = _mm256_and_ps(_mm256_castsi256_ps(top), _mm256_set1_ps(-0.0));
    _mm256_xor_ps(a, sign)
}

#[inline]
#[target_feature(enable = "f16c")]
fn half_to_float(half: F16) -> f32 {
    let bits: u16 = bytemuck::cast(half);
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}

#[inline(always)]
fn take_bits(bytes: &[u8; 16], shift: u32, mask: u8) -> [u8; 16] {
    // SAFETY: the instructions are of SSE2, which every x86-64 has.
    unsafe {
        // Words are shifted; what comes from the byte above is masked out.
        let shifted = _mm_srl_epi16(load(bytes), _mm_cvtsi32_si128(shift as i32));
        bytemuck::cast(_mm_and_si128(shifted, _mm_set1_epi8(mask as i8)))
    }
}

/// The elements of both but the first `early` (below 8), as far as there is room.
#[inline]
#[target_feature(enable = "avx2")]
fn straddle(before: __m256, a: __m256, early: usize) -> __m256 {
    let ascending = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let places = _mm256_add_epi32(ascending, _mm256_set1_epi32(early as i32));
    // Only the low three bits of a place count; the fourth says which vector it is in.
    let (before, a) = (
        _mm256_permutevar8x32_ps(before, places),
        _mm256_permutevar8x32_ps(a, places),
    );
    let second = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places));
    _mm256_blendv_ps(before, a, second)
}

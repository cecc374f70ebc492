//! From 16 elements to 16 bytes, with AVX2 and AVX-512.

use super::sixteen::load;
use super::{Avx2, Avx512, intrinsics};
use crate::simd::Narrow;
use crate::simd::narrow::{BELOW_QUARTERS, HALF, MAGIC, ROUNDED, ROUNDED_ZERO};
use crate::simd::steps::Steps;
use core::arch::x86_64::*;

impl Narrow for Avx512 {
    intrinsics! {
        fn div(a: __m512, b: __m512) -> __m512, _mm512_div_ps(a, b);
        fn abs(a: __m512) -> __m512, _mm512_abs_ps(a);
        fn half_away(a: __m512) -> __m512, _mm512_add_ps(a, _mm512_or_ps(_mm512_and_ps(a, _mm512_set1_ps(-0.0)), _mm512_set1_ps(HALF)));
        fn truncated_bytes(a: __m512) -> [u8; 16], bytemuck::cast(_mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a)));
        fn signs(a: __m512) -> [i8; 16], bytemuck::cast(_mm_movm_epi8(_mm512_movepi32_mask(_mm512_castps_si512(a))));
        fn not_negative(a: __m512) -> u16, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_setzero_ps(), a);
    }

    #[inline(always)]
    fn count_below<const N: usize>(self, thresholds: &[__m512; N], a: __m512) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let mut counts = _mm512_setzero_si512();
            for threshold in thresholds {
                let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(*threshold, a);
                counts = _mm512_mask_add_epi32(counts, below, counts, _mm512_set1_epi32(1));
            }
            bytemuck::cast(_mm512_cvtepi32_epi8(counts))
        }
    }

    #[inline(always)]
    fn reached(self, a: __m512, steps: &Steps) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { bytemuck::cast(_mm512_cvtepi32_epi8(super::avx512::reached(a, steps))) }
    }

    #[inline(always)]
    fn quarter_octaves(self, a: __m512, one: f32) -> [i8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let magnitudes = _mm512_castps_si512(_mm512_abs_ps(a));
            let above = _mm512_sub_epi32(magnitudes, _mm512_set1_epi32(one.to_bits() as i32 + 1));
            let quarters = _mm512_srai_epi32::<BELOW_QUARTERS>(above);
            bytemuck::cast(_mm512_cvtsepi32_epi8(quarters))
        }
    }

    #[inline(always)]
    fn count_reached<const N: usize>(self, thresholds: &[i8; N], bytes: &[i8; 16]) -> [u8; 16] {
        count_reached(thresholds, bytes)
    }

    #[inline(always)]
    fn nibbles(self, low: &[u8; 16], high: &[u8; 16]) -> [u8; 16] {
        nibbles(low, high)
    }

    #[inline(always)]
    fn bit_of_each(self, bytes: &[u8; 16], bit: u32) -> u16 {
        bit_of_each(bytes, bit)
    }

    #[inline(always)]
    fn nearest_codes(self, a: __m512, low: i32, high: i32) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let sum = _mm512_castps_si512(_mm512_add_ps(a, _mm512_set1_ps(MAGIC)));
            let rounded = _mm512_and_si512(sum, _mm512_set1_epi32(ROUNDED));
            let codes = _mm512_sub_epi32(rounded, _mm512_set1_epi32(ROUNDED_ZERO + low));
            let codes = _mm512_max_epi32(codes, _mm512_setzero_si512());
            let bytes = _mm512_cvtusepi32_epi8(codes);
            bytemuck::cast(_mm_min_epu8(bytes, _mm_set1_epi8((high - low) as i8)))
        }
    }
}

impl Narrow for Avx2 {
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            (_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }

    #[inline(always)]
    fn half_away(self, a: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (half_away(a.0), half_away(a.1)) }
    }

    #[inline(always)]
    fn truncated_bytes(self, a: Self::F) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { lowest_bytes(_mm256_cvttps_epi32(a.0), _mm256_cvttps_epi32(a.1)) }
    }

    #[inline(always)]
    fn count_below<const N: usize>(self, thresholds: &[Self::F; N], a: Self::F) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let mut counts = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for threshold in thresholds {
                // Where it holds, the comparison gives -1.
                let first = _mm256_cmp_ps::<_CMP_LT_OQ>(threshold.0, a.0);
                let second = _mm256_cmp_ps::<_CMP_LT_OQ>(threshold.1, a.1);
                counts.0 = _mm256_sub_epi32(counts.0, _mm256_castps_si256(first));
                counts.1 = _mm256_sub_epi32(counts.1, _mm256_castps_si256(second));
            }
            lowest_bytes(counts.0, counts.1)
        }
    }

    #[inline(always)]
    fn reached(self, a: Self::F, steps: &Steps) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let first = super::avx2::reached(a.0, steps);
            lowest_bytes(first, super::avx2::reached(a.1, steps))
        }
    }

    #[inline(always)]
    fn quarter_octaves(self, a: Self::F, one: f32) -> [i8; 16] {
        let a = self.abs(a);
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { saturated(quarters(a.0, one), quarters(a.1, one)) }
    }

    #[inline(always)]
    fn signs(self, a: Self::F) -> [i8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { saturated(_mm256_castps_si256(a.0), _mm256_castps_si256(a.1)) }
    }

    #[inline(always)]
    fn count_reached<const N: usize>(self, thresholds: &[i8; N], bytes: &[i8; 16]) -> [u8; 16] {
        count_reached(thresholds, bytes)
    }

    #[inline(always)]
    fn nibbles(self, low: &[u8; 16], high: &[u8; 16]) -> [u8; 16] {
        nibbles(low, high)
    }

    #[inline(always)]
    fn bit_of_each(self, bytes: &[u8; 16], bit: u32) -> u16 {
        bit_of_each(bytes, bit)
    }

    #[inline(always)]
    fn not_negative(self, a: Self::F) -> u16 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let zero = _mm256_setzero_ps();
            let first = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(zero, a.0));
            let second = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(zero, a.1));
            (first | (second << 8)) as u16
        }
    }

    #[inline(always)]
    fn nearest_codes(self, a: Self::F, low: i32, high: i32) -> [u8; 16] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let words = _mm256_packs_epi32(rounded(a.0, low), rounded(a.1, low));
            let bytes = narrow(_mm256_permute4x64_epi64::<0xd8>(words));
            bytemuck::cast(_mm_min_epu8(bytes, _mm_set1_epi8((high - low) as i8)))
        }
    }
}

#[inline(always)]
fn count_reached<const N: usize>(thresholds: &[i8; N], bytes: &[i8; 16]) -> [u8; 16] {
    // SAFETY: the instructions are of SSE2, which every x86-64 has; 16 bytes are read, at any alignment.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let mut counts = _mm_setzero_si128();
        for threshold in thresholds {
            // Where it holds, the comparison gives -1.
            let below = _mm_cmpgt_epi8(_mm_set1_epi8(*threshold), bytes);
            counts = _mm_add_epi8(counts, below);
        }
        bytemuck::cast(_mm_add_epi8(counts, _mm_set1_epi8(N as i8)))
    }
}

#[inline(always)]
fn nibbles(low: &[u8; 16], high: &[u8; 16]) -> [u8; 16] {
    // SAFETY: the instructions are of SSE2, which every x86-64 has.
    unsafe {
        let mask = _mm_set1_epi8(15);
        let low = _mm_and_si128(load(low), mask);
        // Words are shifted; what comes from the byte below is masked out.
        let high = _mm_andnot_si128(mask, _mm_slli_epi16::<4>(load(high)));
        bytemuck::cast(_mm_or_si128(low, high))
    }
}

#[inline(always)]
fn bit_of_each(bytes: &[u8; 16], bit: u32) -> u16 {
    // SAFETY: the instructions are of SSE2, which every x86-64 has.
    unsafe {
        let shift = _mm_cvtsi32_si128(7 - bit as i32);
        _mm_movemask_epi8(_mm_sll_epi16(load(bytes), shift)) as u16
    }
}

/// The nearest integers less `low`.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(a: __m256, low: i32) -> __m256i {
    let sum = _mm256_castps_si256(_mm256_add_ps(a, _mm256_set1_ps(MAGIC)));
    let rounded = _mm256_and_si256(sum, _mm256_set1_epi32(ROUNDED));
    _mm256_sub_epi32(rounded, _mm256_set1_epi32(ROUNDED_ZERO + low))
}

/// How many quarters of an octave positive numbers lie above `one`.
#[inline]
#[target_feature(enable = "avx2")]
fn quarters(a: __m256, one: f32) -> __m256i {
    let one = _mm256_set1_epi32(one.to_bits() as i32 + 1);
    _mm256_srai_epi32::<{ BELOW_QUARTERS as i32 }>(_mm256_sub_epi32(_mm256_castps_si256(a), one))
}

/// Integers as bytes, those out of range as the nearest byte.
#[inline]
#[target_feature(enable = "avx2")]
fn saturated(first: __m256i, second: __m256i) -> [i8; 16] {
    let words = _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(first, second));
    bytemuck::cast(_mm_packs_epi16(
        _mm256_castsi256_si128(words),
        _mm256_extracti128_si256::<1>(words),
    ))
}

/// 16-bit integers as bytes, those out of range as the nearest byte.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(words: __m256i) -> __m128i {
    _mm_packus_epi16(
        _mm256_castsi256_si128(words),
        _mm256_extracti128_si256::<1>(words),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn half_away(a: __m256) -> __m256 {
    let sign = _mm256_and_ps(a, _mm256_set1_ps(-0.0));
    _mm256_add_ps(a, _mm256_or_ps(sign, _mm256_set1_ps(HALF)))
}

/// The lowest byte of every integer.
#[inline]
#[target_feature(enable = "avx2")]
fn lowest_bytes(first: __m256i, second: __m256i) -> [u8; 16] {
    let byte = _mm256_set1_epi32(255);
    let first = _mm256_and_si256(first, byte);
    let second = _mm256_and_si256(second, byte);
    let words = _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(first, second));
    bytemuck::cast(narrow(words))
}

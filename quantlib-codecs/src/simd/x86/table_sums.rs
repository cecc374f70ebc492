//! Sums of table entries in two vectors of AVX2, or in one of AVX-512. Tables are small enough to be
//! permuted.

use super::{Avx2, Avx512, intrinsics};
use crate::simd::TableSums;
use core::arch::x86_64::*;

impl TableSums for Avx512 {
    type M = __mmask16;
    type Tables = [__m512; 8];

    intrinsics! {
        fn lt(a: __m512, b: __m512) -> __mmask16, _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn select(mask: __mmask16, a: __m512, b: __m512) -> __m512, _mm512_mask_blend_ps(mask, b, a);
        fn least(a: __m512) -> f32, least_of(_mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
    }

    #[inline(always)]
    fn tables(self, entries: &[[f32; 8]; 4]) -> [__m512; 8] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let quads = quads(entries);
            let mut tables = [_mm512_setzero_ps(); 8];
            for (table, quad) in tables.iter_mut().zip(quads) {
                *table = _mm512_broadcast_f32x4(quad);
            }
            tables
        }
    }

    #[inline(always)]
    fn sum_of_entries(self, tables: &[__m512; 8], numbers: &[u16; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions; there are 32 bytes, and the load needs
        // no alignment.
        unsafe {
            // The permutation reads the lowest two bits of each index.
            let mut rest = _mm512_cvtepu16_epi32(_mm256_loadu_si256(numbers.as_ptr().cast()));
            let mut sum = _mm512_permutevar_ps(tables[0], rest);
            for table in &tables[1..] {
                rest = _mm512_srli_epi32::<2>(rest);
                sum = _mm512_add_ps(sum, _mm512_permutevar_ps(*table, rest));
            }
            sum
        }
    }

    #[inline(always)]
    fn prefetch(self, numbers: &[u16; 16]) {
        prefetch(numbers);
    }
}

impl TableSums for Avx2 {
    type M = (__m256, __m256);
    type Tables = [__m256; 8];

    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            (
                _mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0),
                _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1),
            )
        }
    }

    #[inline(always)]
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            (
                _mm256_blendv_ps(b.0, a.0, mask.0),
                _mm256_blendv_ps(b.1, a.1, mask.1),
            )
        }
    }

    #[inline(always)]
    fn least(self, a: Self::F) -> f32 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { least_of(_mm256_min_ps(a.0, a.1)) }
    }

    #[inline(always)]
    fn tables(self, entries: &[[f32; 8]; 4]) -> [__m256; 8] {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let quads = quads(entries);
            let mut tables = [_mm256_setzero_ps(); 8];
            for (table, quad) in tables.iter_mut().zip(quads) {
                *table = _mm256_set_m128(quad, quad);
            }
            tables
        }
    }

    #[inline(always)]
    fn sum_of_entries(self, tables: &[__m256; 8], numbers: &[u16; 16]) -> Self::F {
        let (first, second) = numbers.split_at(8);
        // SAFETY: `self` exists, so the CPU has the instructions; each half has 16 bytes, and the loads
        // need no alignment.
        unsafe {
            // The permutations read the lowest two bits of each index.
            let mut first = _mm256_cvtepu16_epi32(_mm_loadu_si128(first.as_ptr().cast()));
            let mut second = _mm256_cvtepu16_epi32(_mm_loadu_si128(second.as_ptr().cast()));
            let mut sum = (
                _mm256_permutevar_ps(tables[0], first),
                _mm256_permutevar_ps(tables[0], second),
            );
            for table in &tables[1..] {
                first = _mm256_srli_epi32::<2>(first);
                second = _mm256_srli_epi32::<2>(second);
                sum.0 = _mm256_add_ps(sum.0, _mm256_permutevar_ps(*table, first));
                sum.1 = _mm256_add_ps(sum.1, _mm256_permutevar_ps(*table, second));
            }
            sum
        }
    }

    #[inline(always)]
    fn prefetch(self, numbers: &[u16; 16]) {
        prefetch(numbers);
    }
}

#[inline(always)]
fn prefetch(numbers: &[u16; 16]) {
    // SAFETY: the instruction is of SSE, which every x86-64 has, and changes nothing but caches.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(numbers.as_ptr().cast()) };
}

/// The least of eight.
#[inline]
#[target_feature(enable = "avx2")]
fn least_of(a: __m256) -> f32 {
    let four = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
}

/// Four rows of eight to eight columns of four.
#[inline]
#[target_feature(enable = "avx2")]
fn quads(rows: &[[f32; 8]; 4]) -> [__m128; 8] {
    let [a, b, c, d]: [__m256; 4] = bytemuck::cast(*rows);
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    // Pair k: columns k and 4 + k.
    let pairs = [
        _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
        _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ];
    let mut columns = [_mm_setzero_ps(); 8];
    for (k, pair) in pairs.into_iter().enumerate() {
        columns[k] = _mm256_castps256_ps128(pair);
        columns[4 + k] = _mm256_extractf128_ps::<1>(pair);
    }
    columns
}

//! 64 neighbouring bytes in two vectors of AVX2, or in one of AVX-512.

use super::{Avx2, Avx512, intrinsics};
use crate::numeric::F16;
use crate::simd::SixtyFour;
use core::arch::x86_64::*;

impl SixtyFour for Avx512 {
    type B = __m512i;
    type P = __m512i;
    type I = __m512i;

    intrinsics! {
        fn splat_byte(byte: u8) -> __m512i, _mm512_set1_epi8(byte as i8);
        fn where_set(bits: u64, byte: u8) -> __m512i, _mm512_maskz_set1_epi8(bits, byte as i8);
        fn and(a: __m512i, b: __m512i) -> __m512i, _mm512_and_si512(a, b);
        fn or(a: __m512i, b: __m512i) -> __m512i, _mm512_or_si512(a, b);
        fn negate_bytes(a: __m512i, bits: u64) -> __m512i, _mm512_mask_sub_epi8(a, bits, _mm512_setzero_si512(), a);
        fn dot(a: __m512i, b: __m512i) -> __m512i, _mm512_maddubs_epi16(a, b);
        fn sub_products(a: __m512i, b: __m512i) -> __m512i, _mm512_sub_epi16(a, b);
        fn pairs(a: __m512i) -> __m512i, _mm512_madd_epi16(a, _mm512_set1_epi16(1));
        fn zero() -> __m512i, _mm512_setzero_si512();
        fn add_integers(a: __m512i, b: __m512i) -> __m512i, _mm512_add_epi32(a, b);
        fn to_float(a: __m512i) -> __m512, _mm512_cvtepi32_ps(a);
    }

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions; 64 bytes without alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn twice(self, half: &[u8; 32]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_broadcast_i64x4(load_32(half)) }
    }

    #[inline(always)]
    fn each_twice(self, first: &[u8; 16], second: &[u8; 16]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let (first, second) = (load_16(first), load_16(second));
            let first = _mm512_broadcast_i32x4(first);
            _mm512_mask_broadcast_i32x4(first, 0xff00, second)
        }
    }

    #[inline(always)]
    fn halves(self, first: &[u8; 32], second: &[u8; 32]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let first = _mm512_castsi256_si512(load_32(first));
            _mm512_inserti64x4::<1>(first, load_32(second))
        }
    }

    #[inline(always)]
    fn eights(self, eights: &[[u8; 8]; 8]) -> __m512i {
        let [a, b, c, d, e, f, g, h] = *eights;
        // From registers: stores of 8 bytes would hold up a load of 64.
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let first = four_eights([a, b, c, d]);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), four_eights([e, f, g, h]))
        }
    }

    #[inline(always)]
    fn shift_down(self, a: __m512i, first: u32, second: u32) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let first = _mm512_set1_epi16(first as i16);
            let by = _mm512_mask_set1_epi16(first, 0xffff_0000, second as i16);
            _mm512_srlv_epi16(a, by)
        }
    }

    #[inline(always)]
    fn shift_up<const BY: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_slli_epi16::<BY>(a) }
    }

    #[inline(always)]
    fn shift_odd_nibbles(self, a: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_srlv_epi64(a, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4)) }
    }

    #[inline(always)]
    fn look_up_bytes(self, table: &[i8; 16], codes: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let table = _mm512_broadcast_i32x4(load_16(bytemuck::cast_ref(table)));
            _mm512_shuffle_epi8(table, codes)
        }
    }

    #[inline(always)]
    fn dot_signed(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let negative = _mm512_movepi8_mask(a);
            let b = self.negate_bytes(b, negative);
            _mm512_maddubs_epi16(_mm512_abs_epi8(a), b)
        }
    }

    #[inline(always)]
    fn scaled_quarters(self, a: __m512i, scales: &[i16; 4]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let scales = _mm512_set1_epi64(bytemuck::cast(*scales));
            let index = _mm512_setr_epi64(
                0x0100_0100_0100_0100,
                0x0100_0100_0100_0100,
                0x0302_0302_0302_0302,
                0x0302_0302_0302_0302,
                0x0504_0504_0504_0504,
                0x0504_0504_0504_0504,
                0x0706_0706_0706_0706,
                0x0706_0706_0706_0706,
            );
            _mm512_madd_epi16(a, _mm512_shuffle_epi8(scales, index))
        }
    }

    #[inline(always)]
    fn scaled_halves(self, a: __m512i, scales: &[i16; 2]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let scales = _mm512_set1_epi32(bytemuck::cast(*scales));
            let index =
                _mm512_inserti64x4::<1>(_mm512_set1_epi16(0x0100), _mm256_set1_epi16(0x0302));
            _mm512_madd_epi16(a, _mm512_shuffle_epi8(scales, index))
        }
    }

    #[inline(always)]
    fn sub_scaled_pairs(self, sum: __m512, a: &[u8; 16], b: &[i16; 16], scale: f32) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            // Zeros in the other places: whatever is less 0 stays what it is, zeros of both signs too.
            let terms = _mm512_zextps256_ps512(scaled_pairs(a, b, scale));
            _mm512_sub_ps(sum, terms)
        }
    }

    #[inline(always)]
    fn two(self, floats: &[f32; 2]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let first = _mm512_set1_ps(floats[0]);
            _mm512_mask_broadcastss_ps(first, 0xff00, _mm_set_ss(floats[1]))
        }
    }

    #[inline(always)]
    fn four(self, floats: &[f32; 4]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions; 4 floats without alignment.
        unsafe {
            let four = _mm512_broadcast_f32x4(_mm_loadu_ps(floats.as_ptr()));
            let each = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
            _mm512_permutevar_ps(four, each)
        }
    }

    #[inline(always)]
    fn halves_to_floats(self, halves: &[F16; 16]) -> __m512 {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { _mm512_cvtph_ps(load_32(bytemuck::cast_ref(halves))) }
    }
}

/// Both vectors through the same intrinsic.
macro_rules! both {
    ($a:ident => $body:expr) => {{
        // SAFETY: `self` exists, so the CPU has the instructions; no memory is accessed.
        unsafe {
            let first = {
                let $a = $a.0;
                $body
            };
            let second = {
                let $a = $a.1;
                $body
            };
            (first, second)
        }
    }};
    ($a:ident, $b:ident => $body:expr) => {{
        // SAFETY: as above.
        unsafe {
            let first = {
                let ($a, $b) = ($a.0, $b.0);
                $body
            };
            let second = {
                let ($a, $b) = ($a.1, $b.1);
                $body
            };
            (first, second)
        }
    }};
}

impl SixtyFour for Avx2 {
    type B = (__m256i, __m256i);
    type P = (__m256i, __m256i);
    type I = (__m256i, __m256i);

    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> Self::B {
        let halves: &[[u8; 32]; 2] = bytemuck::cast_ref(from);
        self.halves(&halves[0], &halves[1])
    }

    #[inline(always)]
    fn twice(self, half: &[u8; 32]) -> Self::B {
        self.halves(half, half)
    }

    #[inline(always)]
    fn each_twice(self, first: &[u8; 16], second: &[u8; 16]) -> Self::B {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            (
                _mm256_broadcastsi128_si256(load_16(first)),
                _mm256_broadcastsi128_si256(load_16(second)),
            )
        }
    }

    #[inline(always)]
    fn halves(self, first: &[u8; 32], second: &[u8; 32]) -> Self::B {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (load_32(first), load_32(second)) }
    }

    #[inline(always)]
    fn eights(self, eights: &[[u8; 8]; 8]) -> Self::B {
        let [a, b, c, d, e, f, g, h] = *eights;
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (four_eights([a, b, c, d]), four_eights([e, f, g, h])) }
    }

    #[inline(always)]
    fn splat_byte(self, byte: u8) -> Self::B {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let all = unsafe { _mm256_set1_epi8(byte as i8) };
        (all, all)
    }

    #[inline(always)]
    fn where_set(self, bits: u64, byte: u8) -> Self::B {
        let mask = mask_of(self, bits);
        self.and(mask, self.splat_byte(byte))
    }

    #[inline(always)]
    fn and(self, a: Self::B, b: Self::B) -> Self::B {
        both!(a, b => _mm256_and_si256(a, b))
    }

    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        both!(a, b => _mm256_or_si256(a, b))
    }

    #[inline(always)]
    fn shift_down(self, a: Self::B, first: u32, second: u32) -> Self::B {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            let (first, second) = (
                _mm_cvtsi32_si128(first as i32),
                _mm_cvtsi32_si128(second as i32),
            );
            (_mm256_srl_epi16(a.0, first), _mm256_srl_epi16(a.1, second))
        }
    }

    #[inline(always)]
    fn shift_up<const BY: u32>(self, a: Self::B) -> Self::B {
        both!(a => _mm256_sll_epi16(a, _mm_cvtsi32_si128(BY as i32)))
    }

    #[inline(always)]
    fn shift_odd_nibbles(self, a: Self::B) -> Self::B {
        both!(a => _mm256_srlv_epi64(a, _mm256_setr_epi64x(0, 0, 4, 4)))
    }

    #[inline(always)]
    fn negate_bytes(self, a: Self::B, bits: u64) -> Self::B {
        let mask = mask_of(self, bits);
        both!(a, mask => _mm256_sub_epi8(_mm256_xor_si256(a, mask), mask))
    }

    #[inline(always)]
    fn look_up_bytes(self, table: &[i8; 16], codes: Self::B) -> Self::B {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let table = unsafe { _mm256_broadcastsi128_si256(load_16(bytemuck::cast_ref(table))) };
        both!(codes => _mm256_shuffle_epi8(table, codes))
    }

    #[inline(always)]
    fn dot(self, a: Self::B, b: Self::B) -> Self::P {
        both!(a, b => _mm256_maddubs_epi16(a, b))
    }

    #[inline(always)]
    fn dot_signed(self, a: Self::B, b: Self::B) -> Self::P {
        both!(a, b => _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a)))
    }

    #[inline(always)]
    fn sub_products(self, a: Self::P, b: Self::P) -> Self::P {
        both!(a, b => _mm256_sub_epi16(a, b))
    }

    #[inline(always)]
    fn pairs(self, a: Self::P) -> Self::I {
        both!(a => _mm256_madd_epi16(a, _mm256_set1_epi16(1)))
    }

    #[inline(always)]
    fn scaled_quarters(self, a: Self::P, scales: &[i16; 4]) -> Self::I {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let each = unsafe {
            let scales = _mm256_set1_epi64x(bytemuck::cast(*scales));
            let first = _mm256_set_m128i(_mm_set1_epi16(0x0302), _mm_set1_epi16(0x0100));
            let second = _mm256_set_m128i(_mm_set1_epi16(0x0706), _mm_set1_epi16(0x0504));
            (
                _mm256_shuffle_epi8(scales, first),
                _mm256_shuffle_epi8(scales, second),
            )
        };
        both!(a, each => _mm256_madd_epi16(a, each))
    }

    #[inline(always)]
    fn scaled_halves(self, a: Self::P, scales: &[i16; 2]) -> Self::I {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let each = unsafe { (_mm256_set1_epi16(scales[0]), _mm256_set1_epi16(scales[1])) };
        both!(a, each => _mm256_madd_epi16(a, each))
    }

    #[inline(always)]
    fn zero(self) -> Self::I {
        // SAFETY: `self` exists, so the CPU has the instructions.
        let zero = unsafe { _mm256_setzero_si256() };
        (zero, zero)
    }

    #[inline(always)]
    fn add_integers(self, a: Self::I, b: Self::I) -> Self::I {
        both!(a, b => _mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        both!(a => _mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn sub_scaled_pairs(self, sum: Self::F, a: &[u8; 16], b: &[i16; 16], scale: f32) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_sub_ps(sum.0, scaled_pairs(a, b, scale)), sum.1) }
    }

    #[inline(always)]
    fn two(self, floats: &[f32; 2]) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe { (_mm256_set1_ps(floats[0]), _mm256_set1_ps(floats[1])) }
    }

    #[inline(always)]
    fn four(self, floats: &[f32; 4]) -> Self::F {
        // SAFETY: `self` exists, so the CPU has the instructions; 4 floats without alignment.
        unsafe {
            let four = _mm256_broadcast_ps(&_mm_loadu_ps(floats.as_ptr()));
            (
                _mm256_permutevar_ps(four, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)),
                _mm256_permutevar_ps(four, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3)),
            )
        }
    }

    #[inline(always)]
    fn halves_to_floats(self, halves: &[F16; 16]) -> Self::F {
        let halves: &[[u8; 16]; 2] = bytemuck::cast_ref(halves);
        // SAFETY: `self` exists, so the CPU has F16C.
        unsafe {
            (
                _mm256_cvtph_ps(load_16(&halves[0])),
                _mm256_cvtph_ps(load_16(&halves[1])),
            )
        }
    }
}

#[inline(always)]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes; the load is of SSE2, which every x86-64 has, and needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn load_32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn four_eights([a, b, c, d]: [[u8; 8]; 4]) -> __m256i {
    _mm256_setr_epi64x(
        i64::from_le_bytes(a),
        i64::from_le_bytes(b),
        i64::from_le_bytes(c),
        i64::from_le_bytes(d),
    )
}

/// `scale` times the sums of two neighbouring products.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled_pairs(a: &[u8; 16], b: &[i16; 16], scale: f32) -> __m256 {
    let products = _mm256_madd_epi16(
        _mm256_cvtepu8_epi16(load_16(a)),
        load_32(bytemuck::cast_ref(b)),
    );
    _mm256_mul_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(scale))
}

/// All ones in the bytes whose bits are set.
#[inline(always)]
fn mask_of(_: Avx2, bits: u64) -> (__m256i, __m256i) {
    // SAFETY: an `Avx2` exists, so the CPU has the instructions.
    unsafe { (mask_of_32(bits as u32), mask_of_32((bits >> 32) as u32)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask_of_32(bits: u32) -> __m256i {
    // Every byte gets the byte that has its bit, and compares all but that bit away.
    let byte = _mm256_setr_epi64x(
        0,
        0x0101_0101_0101_0101,
        0x0202_0202_0202_0202,
        0x0303_0303_0303_0303,
    );
    let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), byte);
    let others = _mm256_set1_epi64x(0x7fbf_dfef_f7fb_fdfe);
    _mm256_cmpeq_epi8(_mm256_or_si256(spread, others), _mm256_set1_epi8(-1))
}

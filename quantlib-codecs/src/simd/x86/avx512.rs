//! AVX-512: 16 lanes.

use super::intrinsics;
use crate::simd::Kernel;
use crate::simd::double::Double;
use crate::simd::lanes::Lanes;
use crate::simd::steps::Steps;
use crate::simd::vector::Vector;
use core::arch::x86_64::*;

/// The proof that the CPU has AVX-512 F, BW, DQ and VL, and what AVX2 stands for here.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// `None` if the CPU lacks them.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        (all && super::Avx2::detect().is_some()).then_some(Self(()))
    }

    /// Runs a kernel with as many lanes as are fastest.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn entry<K: Kernel>(lanes: Avx512, kernel: K) {
            kernel.run(Double(lanes));
        }
        // SAFETY: `self` exists, so the CPU has these features.
        unsafe { entry(self, kernel) }
    }
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    type Row = Self;
    type Single = Self;

    const N: usize = 16;
    // 2^-14 of the reciprocal, and the rounding of the product.
    const NEARLY: Option<f32> = Some(6.2e-5);

    #[inline(always)]
    fn row(self) -> Self {
        self
    }

    #[inline(always)]
    fn single(self) -> Self {
        self
    }

    intrinsics! {
        fn splat(x: f32) -> __m512, _mm512_set1_ps(x);
        fn add(a: __m512, b: __m512) -> __m512, _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512, _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512, _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512, _mm512_div_ps(a, b);
        fn nearly_div(a: __m512, b: __m512) -> __m512, _mm512_mul_ps(a, _mm512_rcp14_ps(b));
        fn sqrt(a: __m512) -> __m512, _mm512_sqrt_ps(a);
        fn abs(a: __m512) -> __m512, _mm512_abs_ps(a);
        fn neg(a: __m512) -> __m512, _mm512_xor_ps(_mm512_set1_ps(-0.0), a);
        fn max(a: __m512, b: __m512) -> __m512, _mm512_max_ps(a, b);
        fn min(a: __m512, b: __m512) -> __m512, _mm512_min_ps(a, b);
        fn lt(a: __m512, b: __m512) -> __mmask16, _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn le(a: __m512, b: __m512) -> __mmask16, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        fn eq(a: __m512, b: __m512) -> __mmask16, _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        fn select(mask: __mmask16, a: __m512, b: __m512) -> __m512, _mm512_mask_blend_ps(mask, b, a);
        fn select_i(mask: __mmask16, a: __m512i, b: __m512i) -> __m512i, _mm512_mask_blend_epi32(mask, b, a);
        fn splat_i(x: i32) -> __m512i, _mm512_set1_epi32(x);
        fn sub_i(a: __m512i, b: __m512i) -> __m512i, _mm512_sub_epi32(a, b);
        fn min_i(a: __m512i, b: __m512i) -> __m512i, _mm512_min_epi32(a, b);
        fn max_i(a: __m512i, b: __m512i) -> __m512i, _mm512_max_epi32(a, b);
        fn and_i(a: __m512i, b: __m512i) -> __m512i, _mm512_and_si512(a, b);
        fn eq_i(a: __m512i, b: __m512i) -> __mmask16, _mm512_cmpeq_epi32_mask(a, b);
        fn bits(a: __m512) -> __m512i, _mm512_castps_si512(a);
        fn to_float(a: __m512i) -> __m512, _mm512_cvtepi32_ps(a);
    }

    #[inline(always)]
    fn and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }

    #[inline(always)]
    fn or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn not(self, a: __mmask16) -> __mmask16 {
        !a
    }

    #[inline(always)]
    fn any(self, a: __mmask16) -> bool {
        a != 0
    }

    #[inline(always)]
    fn all(self, a: __mmask16) -> bool {
        a == u16::MAX
    }

    #[inline(always)]
    fn load_16<const LEN: usize>(self, rows: &[&[f32; LEN]], chunk: usize) -> [__m512; 16] {
        let mut square = [self.splat(0.0); 16];
        for (vector, row) in square.iter_mut().zip(&rows[..16]) {
            let part: &[f32; 16] = &row.as_chunks().0[chunk];
            // SAFETY: `part` has 16 floats; the load needs no alignment.
            *vector = unsafe { _mm512_loadu_ps(part.as_ptr()) };
        }
        // SAFETY: `self` exists, so the CPU has AVX-512 F.
        unsafe { transpose(square) }
    }

    #[inline(always)]
    fn max_magnitudes<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> __m512 {
        let mut maxima = [self.splat(0.0); 16];
        for (max, row) in maxima.iter_mut().zip(&rows[..16]) {
            for part in row[first..first + PART].as_chunks::<16>().0 {
                // SAFETY: `part` has 16 floats; the load needs no alignment.
                let x = unsafe { _mm512_loadu_ps(part.as_ptr()) };
                *max = self.max_positive(self.abs(x), *max);
            }
        }
        // SAFETY: `self` exists, so the CPU has AVX-512 F.
        unsafe { extreme_of_each::<true>(maxima) }
    }

    #[inline(always)]
    fn ranges<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> (__m512, __m512) {
        let mut minima = [self.splat(f32::INFINITY); 16];
        let mut maxima = [self.splat(f32::NEG_INFINITY); 16];
        for ((min, max), row) in minima.iter_mut().zip(&mut maxima).zip(&rows[..16]) {
            for part in row[first..first + PART].as_chunks::<16>().0 {
                // SAFETY: `part` has 16 floats; the load needs no alignment.
                let x = unsafe { _mm512_loadu_ps(part.as_ptr()) };
                *min = self.min(x, *min);
                *max = self.max(x, *max);
            }
        }
        // SAFETY: `self` exists, so the CPU has AVX-512 F.
        unsafe {
            (
                extreme_of_each::<false>(minima),
                extreme_of_each::<true>(maxima),
            )
        }
    }

    #[inline(always)]
    fn step(self, x: __m512, steps: &Steps) -> __m512 {
        // SAFETY: `self` exists, so the CPU has AVX-512 F.
        unsafe { step(x, steps) }
    }

    #[inline(always)]
    fn read_at(self, from: &[f32]) -> __m512 {
        assert!(from.len() == 16);
        // SAFETY: `from` has 16 floats; the load needs no alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_at(self, a: __m512, to: &mut [f32]) {
        assert!(to.len() == 16);
        // SAFETY: `to` has room for 16 floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), a) };
    }

    #[inline(always)]
    fn store_i_at(self, a: __m512i, to: &mut [i32]) {
        assert!(to.len() == 16);
        // SAFETY: `to` has room for 16 integers; the store needs no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), a) };
    }
}

impl Vector for Avx512 {
    intrinsics! {
        fn look_up(table: __m512, index: __m512i) -> __m512, _mm512_permutexvar_ps(index, table);
        fn next_digit(a: __m512i) -> __m512i, _mm512_srli_epi32::<4>(a);
        fn least_of_octet(a: __m512) -> __m512, least(a);
        fn least(a: __m512) -> __m512, least(_mm512_min_ps(a, _mm512_shuffle_f32x4::<0x4e>(a, a)));
    }

    #[inline(always)]
    fn bitmask(self, a: __mmask16) -> u32 {
        u32::from(a)
    }

    #[inline(always)]
    fn octets(self, [first, second]: [f32; 2]) -> __m512 {
        self.select(0x00ff, self.splat(first), self.splat(second))
    }

    #[inline(always)]
    fn read_digits(self, [first, second]: [&[i32; 8]; 2]) -> __m512i {
        // SAFETY: `self` exists, so the CPU has the instructions; both are 8 integers; the loads
        // need no alignment.
        unsafe {
            let first = _mm256_loadu_si256(first.as_ptr().cast());
            let second = _mm256_loadu_si256(second.as_ptr().cast());
            let digits = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
            let second = _mm512_maskz_set1_epi64(0xf0, 0x8888_8888_8888_8888_u64.cast_signed());
            _mm512_or_si512(digits, second)
        }
    }

    #[inline(always)]
    fn read_i_at(self, from: &[i32]) -> __m512i {
        assert!(from.len() == 16);
        // SAFETY: `from` has 16 integers; the load needs no alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
}

/// In each half the smallest of its halves, then of pairs, then of neighbours.
#[inline]
#[target_feature(enable = "avx512f")]
fn least(a: __m512) -> __m512 {
    let a = _mm512_min_ps(a, _mm512_shuffle_f32x4::<0xb1>(a, a));
    let a = _mm512_min_ps(a, _mm512_permute_ps::<0x4e>(a));
    _mm512_min_ps(a, _mm512_permute_ps::<0xb1>(a))
}

/// The value at the number of thresholds that x reaches.
#[inline]
#[target_feature(enable = "avx512f")]
fn step(x: __m512, steps: &Steps) -> __m512 {
    let (entry, reached) = cell(x, steps);
    // SAFETY: the tables have 16 floats; the loads need no alignment.
    let (values, next) = unsafe {
        (
            _mm512_loadu_ps(steps.values.as_ptr()),
            _mm512_loadu_ps(steps.next.as_ptr()),
        )
    };
    // A permutation reads the lowest 4 bits only.
    let value = _mm512_permutexvar_ps(entry, values);
    _mm512_mask_permutexvar_ps(value, reached, entry, next)
}

/// How many thresholds any x reaches.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn reached(x: __m512, steps: &Steps) -> __m512i {
    // A minimum with a NaN is its second operand.
    let x = _mm512_min_ps(x, _mm512_set1_ps(Steps::END));
    let x = _mm512_max_ps(x, _mm512_set1_ps(-Steps::END));
    let (entry, reached) = cell(x, steps);
    let below = _mm512_and_si512(entry, _mm512_set1_epi32(15));
    _mm512_mask_add_epi32(below, reached, below, _mm512_set1_epi32(1))
}

/// The entry of x's cell, which is a threshold and the number of those below, and whether x reaches it.
#[inline]
#[target_feature(enable = "avx512f")]
fn cell(x: __m512, steps: &Steps) -> (__m512i, __mmask16) {
    // The sum's lowest 5 bits are the cell's number modulo 32, and the permutation reads no others.
    let magic = _mm512_set1_ps(12_582_912.0);
    let cell = _mm512_fmadd_ps(x, _mm512_set1_ps(Steps::PER_WIDTH), magic);
    // SAFETY: the table has twice 16 integers; the loads need no alignment.
    let (first, second) = unsafe {
        (
            _mm512_loadu_si512(steps.cells.as_ptr().cast()),
            _mm512_loadu_si512(steps.cells.as_ptr().add(16).cast()),
        )
    };
    let entry = _mm512_permutex2var_epi32(first, _mm512_castps_si512(cell), second);
    let threshold = _mm512_andnot_si512(_mm512_set1_epi32(15), entry);
    let reached = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_castsi512_ps(threshold), x);
    (entry, reached)
}

/// The largest (or smallest) number of each row, in the rows' order: with a quarter of the shuffling
/// that transposing takes.
#[inline]
#[target_feature(enable = "avx512f")]
fn extreme_of_each<const LARGEST: bool>(rows: [__m512; 16]) -> __m512 {
    let mut fours = [_mm512_setzero_ps(); 4];
    for (four, rows) in fours.iter_mut().zip(rows.as_chunks::<4>().0) {
        let ab = _mm512_castps_pd(of_pairs::<LARGEST>(rows[0], rows[1]));
        let cd = _mm512_castps_pd(of_pairs::<LARGEST>(rows[2], rows[3]));
        *four = extreme::<LARGEST>(
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
        );
    }
    of_parts::<LARGEST>(
        of_parts::<LARGEST>(fours[0], fours[1]),
        of_parts::<LARGEST>(fours[2], fours[3]),
    )
}

/// In each 128 bits: of a, of b, of a, of b.
#[inline]
#[target_feature(enable = "avx512f")]
fn of_pairs<const LARGEST: bool>(a: __m512, b: __m512) -> __m512 {
    extreme::<LARGEST>(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))
}

/// Of neighbouring 128-bit parts, those of a first.
#[inline]
#[target_feature(enable = "avx512f")]
fn of_parts<const LARGEST: bool>(a: __m512, b: __m512) -> __m512 {
    extreme::<LARGEST>(
        _mm512_shuffle_f32x4::<0x88>(a, b),
        _mm512_shuffle_f32x4::<0xdd>(a, b),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn extreme<const LARGEST: bool>(a: __m512, b: __m512) -> __m512 {
    if LARGEST {
        _mm512_max_ps(a, b)
    } else {
        _mm512_min_ps(a, b)
    }
}

/// Rows to columns: 4 by 4 inside each 128 bits, then the 128-bit parts among the vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
    // Vector 4 i + k: in part q, column 4 q + k of rows 4 i to 4 i + 3.
    let mut parts = rows;
    for i in 0..4 {
        let (a, b, c, d) = (
            rows[4 * i],
            rows[4 * i + 1],
            rows[4 * i + 2],
            rows[4 * i + 3],
        );
        let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        parts[4 * i] = _mm512_shuffle_ps::<0x44>(ab_low, cd_low);
        parts[4 * i + 1] = _mm512_shuffle_ps::<0xee>(ab_low, cd_low);
        parts[4 * i + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
        parts[4 * i + 3] = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
    }
    let mut columns = rows;
    for k in 0..4 {
        let (a, b, c, d) = (parts[k], parts[4 + k], parts[8 + k], parts[12 + k]);
        // Parts 0 and 2 of both operands, parts 1 and 3 of both.
        let (ab_even, ab_odd) = (
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(a, b),
        );
        let (cd_even, cd_odd) = (
            _mm512_shuffle_f32x4::<0x88>(c, d),
            _mm512_shuffle_f32x4::<0xdd>(c, d),
        );
        columns[k] = _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even);
        columns[4 + k] = _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd);
        columns[8 + k] = _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even);
        columns[12 + k] = _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd);
    }
    columns
}

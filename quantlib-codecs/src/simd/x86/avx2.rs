//! AVX2: 8 lanes.

use super::intrinsics;
use crate::simd::Kernel;
use crate::simd::double::Double;
use crate::simd::lanes::Lanes;
use crate::simd::steps::Steps;
use crate::simd::vector::Vector;
use core::arch::x86_64::*;

/// The proof that the CPU has AVX2, FMA and F16C, which came together.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` if the CPU lacks them.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        all.then_some(Self(()))
    }

    /// Runs a kernel with as many lanes as are fastest.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn entry<K: Kernel>(lanes: Avx2, kernel: K) {
            kernel.run(Double(lanes));
        }
        // SAFETY: `self` exists, so the CPU has these features.
        unsafe { entry(self, kernel) }
    }
}

impl Lanes for Avx2 {
    type F = __m256;
    type I = __m256i;
    type M = __m256;
    type Row = Self;
    type Single = Self;

    const N: usize = 8;

    #[inline(always)]
    fn row(self) -> Self {
        self
    }

    #[inline(always)]
    fn single(self) -> Self {
        self
    }

    intrinsics! {
        fn splat(x: f32) -> __m256, _mm256_set1_ps(x);
        fn add(a: __m256, b: __m256) -> __m256, _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256, _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256, _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256, _mm256_div_ps(a, b);
        fn sqrt(a: __m256) -> __m256, _mm256_sqrt_ps(a);
        fn abs(a: __m256) -> __m256, _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn neg(a: __m256) -> __m256, _mm256_xor_ps(_mm256_set1_ps(-0.0), a);
        fn max(a: __m256, b: __m256) -> __m256, _mm256_max_ps(a, b);
        fn min(a: __m256, b: __m256) -> __m256, _mm256_min_ps(a, b);
        fn max_positive(a: __m256, b: __m256) -> __m256, _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
        fn min_positive(a: __m256, b: __m256) -> __m256, _mm256_castsi256_ps(_mm256_min_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
        fn lt(a: __m256, b: __m256) -> __m256, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        fn le(a: __m256, b: __m256) -> __m256, _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        fn eq(a: __m256, b: __m256) -> __m256, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        fn and(a: __m256, b: __m256) -> __m256, _mm256_and_ps(a, b);
        fn or(a: __m256, b: __m256) -> __m256, _mm256_or_ps(a, b);
        fn not(a: __m256) -> __m256, _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
        fn any(a: __m256) -> bool, _mm256_movemask_ps(a) != 0;
        fn all(a: __m256) -> bool, _mm256_movemask_ps(a) == 0xff;
        fn select(mask: __m256, a: __m256, b: __m256) -> __m256, _mm256_blendv_ps(b, a, mask);
        fn select_i(mask: __m256, a: __m256i, b: __m256i) -> __m256i, _mm256_blendv_epi8(b, a, _mm256_castps_si256(mask));
        fn splat_i(x: i32) -> __m256i, _mm256_set1_epi32(x);
        fn sub_i(a: __m256i, b: __m256i) -> __m256i, _mm256_sub_epi32(a, b);
        fn min_i(a: __m256i, b: __m256i) -> __m256i, _mm256_min_epi32(a, b);
        fn max_i(a: __m256i, b: __m256i) -> __m256i, _mm256_max_epi32(a, b);
        fn and_i(a: __m256i, b: __m256i) -> __m256i, _mm256_and_si256(a, b);
        fn eq_i(a: __m256i, b: __m256i) -> __m256, _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        fn bits(a: __m256) -> __m256i, _mm256_castps_si256(a);
        fn to_float(a: __m256i) -> __m256, _mm256_cvtepi32_ps(a);
    }

    #[inline(always)]
    fn load_16<const LEN: usize>(self, rows: &[&[f32; LEN]], chunk: usize) -> [__m256; 16] {
        let mut columns = [self.splat(0.0); 16];
        for (half, columns) in columns.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut square = [self.splat(0.0); 8];
            for (vector, row) in square.iter_mut().zip(&rows[..8]) {
                let part: &[f32; 8] = &row.as_chunks().0[2 * chunk + half];
                // SAFETY: `part` has 8 floats; the load needs no alignment.
                *vector = unsafe { _mm256_loadu_ps(part.as_ptr()) };
            }
            // SAFETY: `self` exists, so the CPU has AVX2.
            *columns = unsafe { transpose(square) };
        }
        columns
    }

    #[inline(always)]
    fn max_magnitudes<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> __m256 {
        let mut maxima = [self.splat(0.0); 8];
        for (max, row) in maxima.iter_mut().zip(&rows[..8]) {
            for part in row[first..first + PART].as_chunks::<8>().0 {
                // SAFETY: `part` has 8 floats; the load needs no alignment.
                let x = unsafe { _mm256_loadu_ps(part.as_ptr()) };
                *max = self.max_positive(self.abs(x), *max);
            }
        }
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { extreme_of_each::<true>(maxima) }
    }

    #[inline(always)]
    fn ranges<const LEN: usize, const PART: usize>(
        self,
        rows: &[&[f32; LEN]],
        first: usize,
    ) -> (__m256, __m256) {
        let mut minima = [self.splat(f32::INFINITY); 8];
        let mut maxima = [self.splat(f32::NEG_INFINITY); 8];
        for ((min, max), row) in minima.iter_mut().zip(&mut maxima).zip(&rows[..8]) {
            for part in row[first..first + PART].as_chunks::<8>().0 {
                // SAFETY: `part` has 8 floats; the load needs no alignment.
                let x = unsafe { _mm256_loadu_ps(part.as_ptr()) };
                *min = self.min(x, *min);
                *max = self.max(x, *max);
            }
        }
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe {
            (
                extreme_of_each::<false>(minima),
                extreme_of_each::<true>(maxima),
            )
        }
    }

    #[inline(always)]
    fn step(self, x: __m256, steps: &Steps) -> __m256 {
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { step(x, steps) }
    }

    #[inline(always)]
    fn read_at(self, from: &[f32]) -> __m256 {
        assert!(from.len() == 8);
        // SAFETY: `from` has 8 floats; the load needs no alignment.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store_at(self, a: __m256, to: &mut [f32]) {
        assert!(to.len() == 8);
        // SAFETY: `to` has room for 8 floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), a) };
    }

    #[inline(always)]
    fn store_i_at(self, a: __m256i, to: &mut [i32]) {
        assert!(to.len() == 8);
        // SAFETY: `to` has room for 8 integers; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), a) };
    }
}

impl Vector for Avx2 {
    intrinsics! {
        fn look_up(table: __m256, index: __m256i) -> __m256, _mm256_permutevar8x32_ps(table, index);
        fn next_digit(a: __m256i) -> __m256i, _mm256_srli_epi32::<4>(a);
        fn least_of_octet(a: __m256) -> __m256, least(a);
        fn least(a: __m256) -> __m256, least(a);
        fn bitmask(a: __m256) -> u32, _mm256_movemask_ps(a) as u32;
    }

    #[inline(always)]
    fn octets(self, [number, _]: [f32; 2]) -> __m256 {
        self.splat(number)
    }

    #[inline(always)]
    fn read_digits(self, [octet, _]: [&[i32; 8]; 2]) -> __m256i {
        self.read_i_at(octet)
    }

    #[inline(always)]
    fn read_i_at(self, from: &[i32]) -> __m256i {
        assert!(from.len() == 8);
        // SAFETY: `from` has 8 integers; the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }
}

/// The smallest of the halves, then of pairs, then of neighbours.
#[inline]
#[target_feature(enable = "avx2")]
fn least(a: __m256) -> __m256 {
    let a = _mm256_min_ps(a, _mm256_permute2f128_ps::<0x01>(a, a));
    let a = _mm256_min_ps(a, _mm256_permute_ps::<0x4e>(a));
    _mm256_min_ps(a, _mm256_permute_ps::<0xb1>(a))
}

/// The value at the number of thresholds that x reaches.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn step(x: __m256, steps: &Steps) -> __m256 {
    look_up(&steps.values, reached_in_cell(x, steps))
}

/// How many thresholds any x reaches.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn reached(x: __m256, steps: &Steps) -> __m256i {
    // A minimum with a NaN is its second operand.
    let x = _mm256_min_ps(x, _mm256_set1_ps(Steps::END));
    reached_in_cell(_mm256_max_ps(x, _mm256_set1_ps(-Steps::END)), steps)
}

/// Looks up the cell with two byte shuffles, one for each half of the table.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reached_in_cell(x: __m256, steps: &Steps) -> __m256i {
    // The sum's lowest byte is the cell's number, counted from 0.
    let magic = _mm256_set1_ps(12_582_912.0 + 16.0);
    let cell = _mm256_fmadd_ps(x, _mm256_set1_ps(Steps::PER_WIDTH), magic);
    let cell = _mm256_castps_si256(cell);
    // A byte shuffle gives zero where the highest bit of the index is set: here for the cells of
    // the other half.
    let first = _mm256_add_epi8(cell, _mm256_set1_epi8(0x70));
    let second = _mm256_sub_epi8(cell, _mm256_set1_epi8(16));
    let first = _mm256_shuffle_epi8(half_of_bytes(steps, 0), first);
    let second = _mm256_shuffle_epi8(half_of_bytes(steps, 1), second);
    let below = _mm256_and_si256(_mm256_or_si256(first, second), _mm256_set1_epi32(15));
    let threshold = look_up(&steps.thresholds, below);
    let reached = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(threshold, x));
    _mm256_sub_epi32(below, reached)
}

#[inline]
#[target_feature(enable = "avx2")]
fn half_of_bytes(steps: &Steps, half: usize) -> __m256i {
    let bytes: &[u8; 16] = &steps.below.as_chunks().0[half];
    // SAFETY: 16 bytes; the load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// `table[index]` for indices below 16.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(table: &[f32; 16], index: __m256i) -> __m256 {
    // SAFETY: the table has twice 8 floats; the loads need no alignment.
    let (first, second) = unsafe {
        (
            _mm256_loadu_ps(table.as_ptr()),
            _mm256_loadu_ps(table.as_ptr().add(8)),
        )
    };
    let in_second = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
    _mm256_blendv_ps(
        _mm256_permutevar8x32_ps(first, index),
        _mm256_permutevar8x32_ps(second, index),
        in_second,
    )
}

/// The largest (or smallest) number of each row, in the rows' order: with a quarter of the shuffling
/// that transposing takes.
#[inline]
#[target_feature(enable = "avx2")]
fn extreme_of_each<const LARGEST: bool>(rows: [__m256; 8]) -> __m256 {
    let mut fours = [_mm256_setzero_ps(); 2];
    for (four, rows) in fours.iter_mut().zip(rows.as_chunks::<4>().0) {
        let ab = _mm256_castps_pd(of_pairs::<LARGEST>(rows[0], rows[1]));
        let cd = _mm256_castps_pd(of_pairs::<LARGEST>(rows[2], rows[3]));
        *four = extreme::<LARGEST>(
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
        );
    }
    extreme::<LARGEST>(
        _mm256_permute2f128_ps::<0x20>(fours[0], fours[1]),
        _mm256_permute2f128_ps::<0x31>(fours[0], fours[1]),
    )
}

/// In each 128 bits: of a, of b, of a, of b.
#[inline]
#[target_feature(enable = "avx2")]
fn of_pairs<const LARGEST: bool>(a: __m256, b: __m256) -> __m256 {
    extreme::<LARGEST>(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
fn extreme<const LARGEST: bool>(a: __m256, b: __m256) -> __m256 {
    if LARGEST {
        _mm256_max_ps(a, b)
    } else {
        _mm256_min_ps(a, b)
    }
}

/// Rows to columns: pairs, then quarters, then halves.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let mut quarters = rows;
    for i in 0..2 {
        let (a, b, c, d) = (
            rows[4 * i],
            rows[4 * i + 1],
            rows[4 * i + 2],
            rows[4 * i + 3],
        );
        let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        quarters[4 * i] = _mm256_shuffle_ps::<0x44>(ab_low, cd_low);
        quarters[4 * i + 1] = _mm256_shuffle_ps::<0xee>(ab_low, cd_low);
        quarters[4 * i + 2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
        quarters[4 * i + 3] = _mm256_shuffle_ps::<0xee>(ab_high, cd_high);
    }
    let mut columns = rows;
    for k in 0..4 {
        columns[k] = _mm256_permute2f128_ps::<0x20>(quarters[k], quarters[4 + k]);
        columns[4 + k] = _mm256_permute2f128_ps::<0x31>(quarters[k], quarters[4 + k]);
    }
    columns
}

//! How codes are laid out in bytes, and 6-bit scales. What packs also has its inverse here.

use super::dot::{two_five_bits, two_nibbles};
use super::number::{fill, map};
use super::thirty_two::Codes;
use crate::dtype::DType;
use crate::simd::{Narrow, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};

/// Packs 4-bit codes: of each `run` codes the first half goes to low nibbles, the second to high.
#[inline(always)]
pub(super) fn pack_nibbles<const N: usize, const BYTES: usize>(
    codes: &[u8; N],
    run: usize,
) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (bytes, codes) in bytes.chunks_exact_mut(run / 2).zip(codes.chunks_exact(run)) {
        let (low, high) = codes.split_at(run / 2);
        for ((byte, low), high) in bytes.iter_mut().zip(low).zip(high) {
            *byte = (low & 15) | (high << 4);
        }
    }
    bytes
}

/// The inverse of [`pack_nibbles`].
#[inline(always)]
pub(super) fn unpack_nibbles<const N: usize, const BYTES: usize>(
    bytes: &[u8; BYTES],
    run: usize,
) -> [u8; N] {
    let mut codes = [0; N];
    for (bytes, codes) in bytes.chunks_exact(run / 2).zip(codes.chunks_exact_mut(run)) {
        let (low, high) = codes.split_at_mut(run / 2);
        take_bits::<4>(bytes, 0, low);
        take_bits::<4>(bytes, 4, high);
    }
    codes
}

/// The `BITS` bits from `shift` on of every byte. Eight bytes at a time, which no compiler gets wrong.
#[inline(always)]
fn take_bits<const BITS: u32>(bytes: &[u8], shift: u32, codes: &mut [u8]) {
    let mask = (1 << BITS) - 1;
    let (words, rest) = bytes.as_chunks::<8>();
    let (word_codes, rest_codes) = codes.as_chunks_mut::<8>();
    for (word, codes) in words.iter().zip(word_codes) {
        let shifted = u64::from_le_bytes(*word) >> shift;
        *codes = (shifted & (u64::MAX / 255 * mask)).to_le_bytes();
    }
    for (byte, code) in rest.iter().zip(rest_codes) {
        *code = (byte >> shift) & mask as u8;
    }
}

/// Packs 2-bit codes: of each 128 codes, those that are 32 apart share a byte, lowest bits first.
#[inline(always)]
pub(super) fn pack_crumbs(codes: &[u8; 256]) -> [u8; 64] {
    let [first, second]: &[[[[u8; 8]; 4]; 4]; 2] = bytemuck::cast_ref(codes);
    bytemuck::cast([
        gather_bits::<2, 4>(first, 0),
        gather_bits::<2, 4>(second, 0),
    ])
}

/// The `BITS` bits from `shift` on of every code: those that are 32 apart share a byte, lowest bits first.
/// Eight codes at a time: left to itself, a compiler may choose the other loop, and collect the bytes
/// one by one.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "iterators are not sure to be inlined"
)]
fn gather_bits<const BITS: u32, const N: usize>(codes: &[[[u8; 8]; 4]; N], shift: u32) -> [u64; 4] {
    let mask = u64::MAX / 255 * ((1 << BITS) - 1);
    let mut bytes = [0; 4];
    for i in 0..N {
        for j in 0..4 {
            let bits = (u64::from_le_bytes(codes[i][j]) >> shift) & mask;
            bytes[j] |= bits << (i as u32 * BITS);
        }
    }
    map(&bytes, |eight: u64| eight.to_le())
}

/// The inverse of [`pack_crumbs`].
#[inline(always)]
pub(super) fn unpack_crumbs<S: Sixteen>(s: S, bytes: &[u8; 64]) -> [u8; 256] {
    let (bytes, _) = bytes.as_chunks();
    let mut codes = [[0; 16]; 16];
    for (i, codes) in codes.iter_mut().enumerate() {
        let (half, place, part) = (i / 8, i / 2 % 4, i % 2);
        *codes = s.take_bits(&bytes[2 * half + part], 2 * place as u32, 3);
    }
    bytemuck::cast(codes)
}

/// Packs one bit of every code: those that are 32 apart share a byte, lowest bit first.
#[inline(always)]
pub(super) fn pack_bits(codes: &[u8; 256], bit: u32) -> [u8; 32] {
    bytemuck::cast(gather_bits::<1, 8>(bytemuck::cast_ref(codes), bit))
}

/// The inverse of [`pack_bits`], with the bits moved to where they were.
#[inline(always)]
pub(super) fn unpack_bits<S: Sixteen>(s: S, bytes: &[u8; 32], bit: u32) -> [u8; 256] {
    let (bytes, _) = bytes.as_chunks();
    let mut codes = [[0; 16]; 16];
    for (i, codes) in codes.iter_mut().enumerate() {
        *codes = s.take_bits(&bytes[i % 2], i as u32 / 2, 1);
        for eight in codes.as_chunks_mut::<8>().0 {
            *eight = (u64::from_le_bytes(*eight) << bit).to_le_bytes();
        }
    }
    bytemuck::cast(codes)
}

/// 256 codes that [`pack_nibbles`] packed in runs of `run`, a multiple of 32.
#[inline(always)]
pub(super) fn sixteen_sixteens<S: Sixteen>(s: S, bytes: &[u8; 128], run: usize) -> [u8; 256] {
    let (bytes, _) = bytes.as_chunks();
    let half = run / 32;
    let mut codes = [[0; 16]; 16];
    for (i, codes) in codes.iter_mut().enumerate() {
        let (run, high, part) = (i / (2 * half), i / half % 2, i % half);
        *codes = s.take_bits(&bytes[run * half + part], 4 * high as u32, 15);
    }
    bytemuck::cast(codes)
}

/// 32 codes that [`pack_nibbles`] packed.
#[inline(always)]
pub(super) fn two_sixteens<S: Sixteen>(s: S, bytes: &[u8; 16]) -> [u8; 32] {
    bytemuck::cast([s.take_bits(bytes, 0, 15), s.take_bits(bytes, 4, 15)])
}

/// 32 codes of 4 bits, as [`pack_nibbles`] packs them.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Nibbles([u8; 16]);

impl Codes for Nibbles {
    const BITS: u32 = 4;
    const SYMMETRIC: DType = DType::Q4_0;
    const AFFINE: DType = DType::Q4_1;

    #[inline(always)]
    fn pack<S: Narrow>(s: S, codes: &[u8; 32]) -> Self {
        let (low, high) = halves(codes);
        Self(s.nibbles(low, high))
    }

    #[inline(always)]
    fn unpack<S: Sixteen>(&self, s: S) -> [u8; 32] {
        two_sixteens(s, &self.0)
    }

    #[inline(always)]
    fn unpack_two<S: SixtyFour>(s: S, [first, second]: [Self; 2]) -> S::B {
        two_nibbles(s, [&first.0, &second.0])
    }
}

/// 32 codes of 5 bits: an integer of the fifth bits, the first lowest, and nibbles as
/// [`pack_nibbles`] packs them.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct FiveBits {
    high: [u8; 4],
    low: [u8; 16],
}

impl FiveBits {
    /// The fifth bits, the first lowest.
    #[inline(always)]
    pub(super) fn high(&self) -> u32 {
        u32::from_le_bytes(self.high)
    }

    /// The lower four bits.
    #[inline(always)]
    pub(super) fn low(&self) -> &[u8; 16] {
        &self.low
    }
}

impl Codes for FiveBits {
    const BITS: u32 = 5;
    const SYMMETRIC: DType = DType::Q5_0;
    const AFFINE: DType = DType::Q5_1;

    #[inline(always)]
    fn pack<S: Narrow>(s: S, codes: &[u8; 32]) -> Self {
        let (low, high) = halves(codes);
        let bits = [low, high].map(|half| s.bit_of_each(half, 4).to_le_bytes());
        Self {
            high: bytemuck::cast(bits),
            low: s.nibbles(low, high),
        }
    }

    #[inline(always)]
    fn unpack<S: Sixteen>(&self, s: S) -> [u8; 32] {
        let high: [[u8; 2]; 2] = bytemuck::cast(self.high);
        let mut codes = [[0; 16]; 2];
        for (i, codes) in codes.iter_mut().enumerate() {
            let low = s.take_bits(&self.low, 4 * i as u32, 15);
            *codes = s.with_bits(low, u16::from_le_bytes(high[i]), 16);
        }
        bytemuck::cast(codes)
    }

    #[inline(always)]
    fn unpack_two<S: SixtyFour>(s: S, [first, second]: [Self; 2]) -> S::B {
        two_five_bits(s, [&first, &second])
    }
}

#[inline(always)]
fn halves(codes: &[u8; 32]) -> (&[u8; 16], &[u8; 16]) {
    let (halves, _) = codes.as_chunks();
    (&halves[0], &halves[1])
}

/// Packs 8 scales and 8 minima of 6 bits: bytes 0–3 hold scales 0–3 and bytes 4–7 minima 0–3, with
/// the upper two bits of scales and minima 4–7 on top; bytes 8–11 hold the nibbles below.
///
/// A code above 63 would spill into those upper bits, as in the reference.
#[inline(always)]
pub(super) fn pack_scales_and_mins(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    fill(|i| match i {
        0..4 => scales[i] | (scales[i + 4] >> 4 << 6),
        4..8 => mins[i - 4] | (mins[i] >> 4 << 6),
        _ => (scales[i - 4] & 15) | (mins[i - 4] << 4),
    })
}

/// The inverse of [`pack_scales_and_mins`], four at a time.
#[inline(always)]
pub(super) fn unpack_scales_and_mins(bytes: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    // Four bytes at a time.
    let [scales, mins, nibbles] = words(bytes);
    let (six, four) = (0x3f3f_3f3f, 0x0f0f_0f0f);
    let upper = |word: u32| (word >> 2) & 0x3030_3030;
    (
        join(scales & six, (nibbles & four) | upper(scales)),
        join(mins & six, ((nibbles >> 4) & four) | upper(mins)),
    )
}

/// Little-endian words of four bytes.
#[inline(always)]
fn words(bytes: &[u8; 12]) -> [u32; 3] {
    let words: &[[u8; 4]; 3] = bytemuck::cast_ref(bytes);
    [
        u32::from_le_bytes(words[0]),
        u32::from_le_bytes(words[1]),
        u32::from_le_bytes(words[2]),
    ]
}

/// The bytes of both words.
#[inline(always)]
fn join(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) | (u64::from(second) << 32)).to_le_bytes()
}

/// Packs 16 scales of 6 bits: low nibbles as [`pack_nibbles`] does with all 16, then the upper two
/// bits of scales that are 4 apart in a byte.
#[inline(always)]
pub(super) fn pack_sixteen_scales(scales: &[u8; 16]) -> [u8; 12] {
    let low: [u8; 8] = pack_nibbles(scales, 16);
    fill(|i| match i {
        0..8 => low[i],
        _ => (0..4).fold(0, |byte, k| {
            byte | (((scales[i - 8 + 4 * k] >> 4) & 3) << (2 * k))
        }),
    })
}

/// The inverse of [`pack_sixteen_scales`].
#[inline(always)]
pub(super) fn unpack_sixteen_scales(bytes: &[u8; 12]) -> [u8; 16] {
    let [first, second, upper] = words(bytes);
    let (four, two) = (0x0f0f_0f0f, 0x3030_3030);
    let scales = [
        join(
            (first & four) | ((upper << 4) & two),
            (second & four) | ((upper << 2) & two),
        ),
        join(
            ((first >> 4) & four) | (upper & two),
            ((second >> 4) & four) | ((upper >> 2) & two),
        ),
    ];
    bytemuck::cast(scales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;
    use std::array;

    fn codes<const N: usize>(bits: u32) -> [u8; N] {
        array::from_fn(|i| ((i * 37 + i / 7) % (1 << bits)) as u8)
    }

    #[test]
    fn unpacking_inverts_packing() {
        for run in [32, 64, 128] {
            let bytes: [u8; 128] = pack_nibbles(&codes::<256>(4), run);
            assert_eq!(unpack_nibbles::<256, 128>(&bytes, run), codes(4));
        }
        assert_eq!(unpack_crumbs(Portable, &pack_crumbs(&codes(2))), codes(2));
        assert_eq!(
            unpack_bits(Portable, &pack_bits(&codes(3), 2), 2),
            codes(3).map(|c| c & 4)
        );
        assert_eq!(
            Nibbles::pack(Portable, &codes(4)).unpack(Portable),
            codes(4)
        );
        assert_eq!(
            FiveBits::pack(Portable, &codes(5)).unpack(Portable),
            codes(5)
        );
        assert_eq!(
            unpack_sixteen_scales(&pack_sixteen_scales(&codes(6))),
            codes(6)
        );
        let (scales, mins) = (codes(6), codes(6).map(|c: u8| 63 - c));
        assert_eq!(
            unpack_scales_and_mins(&pack_scales_and_mins(&scales, &mins)),
            (scales, mins)
        );
    }
}

//! From codes to bytes and back, for every layout.
//!
//! Every layout packs 8 codes of `b` bits into `b` bytes, in its own order.

use super::spec::{AffineSpec, Packing};
use crate::simd::{Isa, Kernel, Lanes};

/// How 8 codes lie in as many bytes as a code has bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One stream of bits, the lowest first.
    LowFirst,
    /// OpenVINO's u1: the highest bit first.
    HighBitFirst,
    /// OpenVINO's u3: two bytes of the lower 2 bits, then one of the upper bit, the first code highest.
    ThreeSplit,
    /// OpenVINO's u6, twice 4 codes: two bytes of lower nibbles, then one of the upper 2 bits, the
    /// first code highest.
    SixSplit,
    /// bitsandbytes: the first of two codes in the upper half of a byte.
    HighNibbleFirst,
}

impl Order {
    pub(super) fn of(spec: &AffineSpec) -> Self {
        match (spec.packing, spec.bits) {
            (Packing::OpenVino, 1) => Self::HighBitFirst,
            (Packing::OpenVino, 3) => Self::ThreeSplit,
            (Packing::OpenVino, 6) => Self::SixSplit,
            (Packing::Bnb4, _) => Self::HighNibbleFirst,
            _ => Self::LowFirst,
        }
    }
}

/// Packs codes of at most 8 bits; what is above those bits is ignored. The last byte is filled with
/// zeros.
pub(super) fn pack(isa: Isa, order: Order, bits: u8, codes: &[u8], out: &mut [u8]) {
    isa.run(Pack {
        order,
        bits,
        codes,
        out,
    });
}

/// The inverse of [`pack`].
pub(super) fn unpack(isa: Isa, order: Order, bits: u8, bytes: &[u8], codes: &mut [u8]) {
    isa.run(Unpack {
        order,
        bits,
        bytes,
        codes,
    });
}

struct Pack<'a> {
    order: Order,
    bits: u8,
    codes: &'a [u8],
    out: &'a mut [u8],
}

impl Kernel for Pack<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { codes, out, .. } = self;
        match (self.order, self.bits) {
            (_, 8) => out.copy_from_slice(codes),
            (Order::LowFirst, 1) => each::<1>(codes, out, low_first::<1>),
            (Order::LowFirst, 2) => each::<2>(codes, out, low_first::<2>),
            (Order::LowFirst, 3) => each::<3>(codes, out, low_first::<3>),
            (Order::LowFirst, 4) => each::<4>(codes, out, low_first::<4>),
            (Order::LowFirst, 5) => each::<5>(codes, out, low_first::<5>),
            (Order::LowFirst, 6) => each::<6>(codes, out, low_first::<6>),
            (Order::LowFirst, _) => each::<7>(codes, out, low_first::<7>),
            (Order::HighBitFirst, _) => each::<1>(codes, out, high_bit_first),
            (Order::ThreeSplit, _) => each::<3>(codes, out, three_split),
            (Order::SixSplit, _) => each::<6>(codes, out, six_split),
            (Order::HighNibbleFirst, _) => each::<4>(codes, out, high_nibble_first),
        }
    }
}

struct Unpack<'a> {
    order: Order,
    bits: u8,
    bytes: &'a [u8],
    codes: &'a mut [u8],
}

impl Kernel for Unpack<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { bytes, codes, .. } = self;
        match (self.order, self.bits) {
            (_, 8) => codes.copy_from_slice(bytes),
            (Order::LowFirst, 1) => each_back::<1>(bytes, codes, take_low_first::<1>),
            (Order::LowFirst, 2) => each_back::<2>(bytes, codes, take_low_first::<2>),
            (Order::LowFirst, 3) => each_back::<3>(bytes, codes, take_low_first::<3>),
            (Order::LowFirst, 4) => each_back::<4>(bytes, codes, take_low_first::<4>),
            (Order::LowFirst, 5) => each_back::<5>(bytes, codes, take_low_first::<5>),
            (Order::LowFirst, 6) => each_back::<6>(bytes, codes, take_low_first::<6>),
            (Order::LowFirst, _) => each_back::<7>(bytes, codes, take_low_first::<7>),
            (Order::HighBitFirst, _) => each_back::<1>(bytes, codes, take_high_bit_first),
            (Order::ThreeSplit, _) => each_back::<3>(bytes, codes, take_three_split),
            (Order::SixSplit, _) => each_back::<6>(bytes, codes, take_six_split),
            (Order::HighNibbleFirst, _) => each_back::<4>(bytes, codes, take_high_nibble_first),
        }
    }
}

#[inline(always)]
fn each<const BITS: usize>(codes: &[u8], out: &mut [u8], pack: impl Fn(u64) -> [u8; BITS] + Copy) {
    let (eights, rest) = codes.as_chunks::<8>();
    let (packed, last) = out.split_at_mut(eights.len() * BITS);
    for (codes, out) in eights.iter().zip(packed.as_chunks_mut::<BITS>().0) {
        *out = pack(u64::from_le_bytes(*codes));
    }
    if !rest.is_empty() {
        let mut codes = [0; 8];
        codes[..rest.len()].copy_from_slice(rest);
        let packed = pack(u64::from_le_bytes(codes));
        last.copy_from_slice(&packed[..last.len()]);
    }
}

#[inline(always)]
fn each_back<const BITS: usize>(
    bytes: &[u8],
    codes: &mut [u8],
    unpack: impl Fn([u8; BITS]) -> u64 + Copy,
) {
    let (eights, rest) = codes.as_chunks_mut::<8>();
    let (packed, last) = bytes.split_at(eights.len() * BITS);
    for (codes, bytes) in eights.iter_mut().zip(packed.as_chunks::<BITS>().0) {
        *codes = unpack(*bytes).to_le_bytes();
    }
    if !rest.is_empty() {
        let mut bytes = [0; BITS];
        bytes[..last.len()].copy_from_slice(last);
        rest.copy_from_slice(&unpack(bytes).to_le_bytes()[..rest.len()]);
    }
}

/// The codes, one in each byte of `codes`, moved together step by step: pairs, fours, all.
#[inline(always)]
fn low_first<const BITS: usize>(codes: u64) -> [u8; BITS] {
    let mask = |count: usize| (1u64 << (count * BITS)) - 1;
    let even = 0x0001_0001_0001_0001 * mask(1);
    let pairs = (codes & even) | ((codes >> 8) & even) << BITS;
    let even = 0x0000_0001_0000_0001 * mask(2);
    let fours = (pairs & even) | ((pairs >> 16) & even) << (2 * BITS);
    let all = (fours & mask(4)) | (fours >> 32) << (4 * BITS);
    let mut out = [0; BITS];
    out.copy_from_slice(&all.to_le_bytes()[..BITS]);
    out
}

#[inline(always)]
fn take_low_first<const BITS: usize>(bytes: [u8; BITS]) -> u64 {
    let mut all = [0; 8];
    all[..BITS].copy_from_slice(&bytes);
    let all = u64::from_le_bytes(all);
    let mask = |count: usize| (1u64 << (count * BITS)) - 1;
    let fours = (all & mask(4)) | (all >> (4 * BITS)) << 32;
    let pairs = (fours & (0x0000_0001_0000_0001 * mask(2)))
        | ((fours >> (2 * BITS)) & (0x0000_0001_0000_0001 * mask(2))) << 16;
    (pairs & (0x0001_0001_0001_0001 * mask(1)))
        | ((pairs >> BITS) & (0x0001_0001_0001_0001 * mask(1))) << 8
}

#[inline(always)]
fn high_bit_first(codes: u64) -> [u8; 1] {
    low_first::<1>(codes.swap_bytes())
}

#[inline(always)]
fn take_high_bit_first(byte: [u8; 1]) -> u64 {
    take_low_first::<1>(byte).swap_bytes()
}

/// Neighbouring bytes, swapped.
#[inline(always)]
fn swap_pairs(codes: u64) -> u64 {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    (codes & EVEN) << 8 | codes >> 8 & EVEN
}

#[inline(always)]
fn high_nibble_first(codes: u64) -> [u8; 4] {
    low_first::<4>(swap_pairs(codes))
}

#[inline(always)]
fn take_high_nibble_first(bytes: [u8; 4]) -> u64 {
    swap_pairs(take_low_first::<4>(bytes))
}

#[inline(always)]
fn three_split(codes: u64) -> [u8; 3] {
    let [second, first] = low_first::<2>(codes.swap_bytes());
    let [high] = low_first::<1>((codes >> 2).swap_bytes());
    [first, second, high]
}

#[inline(always)]
fn take_three_split([first, second, high]: [u8; 3]) -> u64 {
    let low = take_low_first::<2>([second, first]).swap_bytes();
    low | take_low_first::<1>([high]).swap_bytes() << 2
}

#[inline(always)]
fn six_split(codes: u64) -> [u8; 6] {
    let codes = codes.swap_bytes();
    let [d, c, b, a] = low_first::<4>(codes);
    let [second, first] = low_first::<2>(codes >> 4);
    [a, b, first, c, d, second]
}

#[inline(always)]
fn take_six_split([a, b, first, c, d, second]: [u8; 6]) -> u64 {
    let low = take_low_first::<4>([d, c, b, a]);
    let high = take_low_first::<2>([second, first]);
    (low | high << 4).swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(bits: u8, len: usize) -> Vec<u8> {
        let code = |i: usize| ((i * 37 + i / 5) & ((1 << bits) - 1)) as u8;
        (0..len).map(code).collect()
    }

    /// The stream of bits by definition.
    fn stream(bits: u8, codes: &[u8]) -> Vec<u8> {
        let mut out = vec![0u8; (codes.len() * usize::from(bits)).div_ceil(8)];
        for (i, code) in codes.iter().enumerate() {
            for bit in 0..usize::from(bits) {
                let at = i * usize::from(bits) + bit;
                out[at / 8] |= (code >> bit & 1) << (at % 8);
            }
        }
        out
    }

    #[test]
    fn low_first_is_a_stream_of_bits() {
        for bits in 1..=8 {
            for len in 0..40 {
                let codes = codes(bits, len);
                let expected = stream(bits, &codes);
                let mut out = vec![0xa5; expected.len()];
                pack(Isa::Portable, Order::LowFirst, bits, &codes, &mut out);
                assert_eq!(out, expected, "{bits} bits, {len} codes");
            }
        }
    }

    #[test]
    fn unpacking_inverts_packing() {
        use Order::*;
        let layouts = (1..=8).map(|bits| (LowFirst, bits));
        let layouts = layouts.chain([(HighBitFirst, 1), (ThreeSplit, 3), (SixSplit, 6)]);
        let layouts = layouts.chain([(HighNibbleFirst, 4)]);
        for (order, bits) in layouts {
            for isa in Isa::ALL.iter().copied().filter(|isa| isa.is_available()) {
                let codes = codes(bits, 200);
                let mut bytes = vec![0; 25 * usize::from(bits)];
                pack(isa, order, bits, &codes, &mut bytes);
                let mut back = vec![0; 200];
                unpack(isa, order, bits, &bytes, &mut back);
                assert_eq!(back, codes, "{order:?} of {bits} bits on {isa}");
            }
        }
    }

    /// Whatever their number, where the last unit is whole: 3 bytes of 8 or 4 codes in the split orders.
    #[test]
    fn any_number_of_codes_comes_back() {
        use Order::*;
        for (order, bits, unit) in [
            (LowFirst, 3, 1),
            (LowFirst, 6, 1),
            (HighBitFirst, 1, 1),
            (HighNibbleFirst, 4, 1),
            (ThreeSplit, 3, 3),
            (SixSplit, 6, 3),
        ] {
            for len in 0..40 {
                let codes = codes(bits, len);
                let bytes = (len * usize::from(bits)).div_ceil(8 * unit) * unit;
                let mut packed = vec![0xa5; bytes];
                pack(Isa::Portable, order, bits, &codes, &mut packed);
                let mut back = vec![0; len];
                unpack(Isa::Portable, order, bits, &packed, &mut back);
                assert_eq!(back, codes, "{order:?} of {bits} bits, {len} codes");
            }
        }
    }

    #[test]
    fn openvino_has_its_own_orders() {
        let single = |order, bits: u8, at: usize, code: u8| {
            let mut codes = [0; 8];
            codes[at] = code;
            let mut out = vec![0; usize::from(bits)];
            pack(Isa::Portable, order, bits, &codes, &mut out);
            out
        };
        assert_eq!(single(Order::HighBitFirst, 1, 0, 1), [0x80]);
        assert_eq!(single(Order::ThreeSplit, 3, 0, 0b111), [0xc0, 0, 0x80]);
        assert_eq!(single(Order::ThreeSplit, 3, 3, 0b111), [0x03, 0, 0x10]);
        assert_eq!(single(Order::ThreeSplit, 3, 4, 0b111), [0, 0xc0, 0x08]);
        let six = |at| single(Order::SixSplit, 6, at, 0b11_1111);
        assert_eq!(six(0), [0xf0, 0, 0xc0, 0, 0, 0]);
        assert_eq!(six(3), [0, 0x0f, 0x03, 0, 0, 0]);
        assert_eq!(six(4), [0, 0, 0, 0xf0, 0, 0xc0]);
    }
}

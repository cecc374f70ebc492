//! Codes, scales and zeros to the bytes of their planes.

use super::layout::AffineLayout;
use super::packing::{Order, pack};
use super::spec::{Element, Packing, Zero};
use super::store::store;
use crate::simd::Isa;
use std::ops::Range;

/// NF4's code of zero.
const NF4_ZERO: u8 = 7;

/// Writes parts of the planes of a tensor.
#[derive(Clone, Copy)]
pub(super) struct PlaneWriter<'l> {
    pub(super) layout: &'l AffineLayout,
    pub(super) isa: Isa,
}

impl PlaneWriter<'_> {
    /// Packs the codes of units, of at most 8 bits, where groups may be padded; the padding is filled
    /// in first.
    pub(super) fn codes(&self, units: Range<usize>, codes: &mut [u8], out: &mut [u8]) {
        self.pad(units, codes);
        let spec = self.layout.spec();
        pack(self.isa, Order::of(spec), spec.bits, codes, out);
        // onnxruntime fills the last byte up with the code of zero.
        if spec.element == Element::Nf4
            && spec.packing == Packing::Bnb4
            && codes.len() % 2 == 1
            && let Some(last) = out.last_mut()
        {
            *last |= NF4_ZERO;
        }
    }

    /// Fills up groups that are shorter than their place, as onnxruntime leaves them: zeros, but for the
    /// rest of the last code's byte. There stands what stood there in the byte before, unless that is
    /// another byte of zero points.
    fn pad(&self, units: Range<usize>, codes: &mut [u8]) {
        let (Some(n), per_byte) = (self.layout.padded_group(), self.layout.per_byte()) else {
            return;
        };
        for (i, unit) in units.enumerate() {
            let len = self.layout.steps(unit);
            if len == n {
                continue;
            }
            let group = i * n;
            let within = unit % self.layout.per_outer;
            let known = len >= per_byte || !within.is_multiple_of(per_byte);
            let byte_end = len.next_multiple_of(per_byte).min(n);
            for at in group + len..group + byte_end {
                codes[at] = match known {
                    true => at.checked_sub(per_byte).map_or(0, |before| codes[before]),
                    false => 0,
                };
            }
            codes[group + byte_end..group + n].fill(0);
        }
    }

    /// Stores scales and zeros in their own types; `points` is scratch.
    pub(super) fn scales(
        &self,
        scale: &[f32],
        zero: &[f32],
        scales: &mut [u8],
        zeros: &mut [u8],
        points: &mut Vec<u8>,
    ) {
        let spec = self.layout.spec();
        store(self.isa, spec.scale, scale, scales);
        match spec.zero {
            Zero::None => {}
            Zero::Bias => store(self.isa, spec.scale, zero, zeros),
            Zero::Point if spec.bits == 16 => {
                let zeros = zeros.as_chunks_mut().0;
                for (out, zero) in zeros.iter_mut().zip(zero) {
                    *out = (*zero as i32 as u16).to_le_bytes();
                }
            }
            Zero::Point => {
                self.points(zero, points);
                pack(self.isa, Order::of(spec), spec.bits, points, zeros);
            }
        }
    }

    /// Zero points as codes; where rows are padded to bytes, with the middle of the codes.
    fn points(&self, zeros: &[f32], points: &mut Vec<u8>) {
        let spec = self.layout.spec();
        let row = match spec.packing {
            Packing::MatMulNBits => self.layout.per_outer,
            _ => zeros.len(),
        };
        points.clear();
        for zeros in zeros.chunks(row.max(1)) {
            points.extend(zeros.iter().map(|zero| *zero as i32 as u8));
            if spec.packing == Packing::MatMulNBits {
                let whole = points.len().next_multiple_of(self.layout.per_byte());
                points.resize(whole, 1 << (spec.bits - 1));
            }
        }
    }
}

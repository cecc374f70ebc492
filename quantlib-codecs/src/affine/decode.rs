//! Decoding of tiles.

use super::AffinePlanes;
use super::layout::AffineLayout;
use super::packing::{Order, unpack};
use super::spec::{Element, Group, Packing, Zero};
use super::store::load;
use super::tables::{E2M1, FP4, NF4};
use crate::numeric::f8;
use crate::simd::{Isa, Kernel, Lanes};
use std::ops::Range;

/// Decodes a tensor tile by tile.
pub(crate) struct Decoder<'l> {
    layout: &'l AffineLayout,
    isa: Isa,
    /// Where they belong to no unit.
    shared: Params,
}

/// Scales and zeros of many groups: x = value(code) · scale + bias, or (code - zero) · scale.
#[derive(Default)]
pub(super) struct Params {
    pub(super) scale: Vec<f32>,
    pub(super) zero: Vec<f32>,
}

/// Buffers for one tile after the other.
#[derive(Default)]
pub(crate) struct DecodeScratch {
    codes: Vec<u8>,
    values: Vec<f32>,
    params: Params,
    points: Vec<u8>,
}

impl<'l> Decoder<'l> {
    /// `scales` and `zeros` are the whole planes.
    pub(crate) fn new(layout: &'l AffineLayout, isa: Isa, scales: &[u8], zeros: &[u8]) -> Self {
        let mut decoder = Self {
            layout,
            isa,
            shared: Params::default(),
        };
        if !layout.is_grouped() {
            let mut shared = Params::default();
            decoder.load(layout.groups(), scales, zeros, &mut shared, &mut Vec::new());
            decoder.shared = shared;
        }
        decoder
    }

    /// Decodes units to `out`. Panics if a length is not that of their
    /// [`place`](AffineLayout::place).
    pub(crate) fn decode(
        &self,
        units: Range<usize>,
        planes: AffinePlanes<'_>,
        out: &mut [f32],
        scratch: &mut DecodeScratch,
    ) {
        let DecodeScratch {
            codes,
            values,
            params,
            points,
        } = scratch;
        let len = match self.layout.padded_group() {
            Some(n) => units.len() * n,
            None => out.len(),
        };
        values.resize(len, 0.0);
        self.values(planes.codes, codes, values);
        if self.layout.is_grouped() {
            let groups = units.len() * self.layout.inner;
            self.load(groups, planes.scales, planes.zeros, params, points);
        }
        self.isa.run(Scale {
            decoder: self,
            params: if self.layout.is_grouped() {
                params
            } else {
                &self.shared
            },
            units,
            values,
            out,
        });
    }

    /// What the codes mean before they are scaled.
    fn values(&self, packed: &[u8], codes: &mut Vec<u8>, values: &mut [f32]) {
        let spec = self.layout.spec();
        let bits = spec.bits;
        if bits == 16 {
            return self.isa.run(Widen {
                signed: spec.element == Element::Signed,
                words: packed.as_chunks().0,
                values,
            });
        }
        codes.resize(values.len(), 0);
        unpack(self.isa, Order::of(spec), bits, packed, codes);
        self.isa.run(Meaning {
            element: spec.element,
            bits,
            codes,
            values,
        });
    }

    /// Reads the scales and zeros of so many groups.
    pub(super) fn load(
        &self,
        groups: usize,
        scales: &[u8],
        zeros: &[u8],
        params: &mut Params,
        points: &mut Vec<u8>,
    ) {
        let spec = self.layout.spec();
        params.scale.resize(groups, 0.0);
        params.zero.resize(groups, 0.0);
        load(self.isa, spec.scale, scales, &mut params.scale);
        if let Some(global) = spec.global_scale {
            let factor = global.decode();
            params.scale.iter_mut().for_each(|scale| *scale *= factor);
        }
        match (spec.zero, spec.packing) {
            (Zero::None, _) => params.zero.fill(self.layout.implied_zero()),
            (Zero::Bias, _) => load(self.isa, spec.scale, zeros, &mut params.zero),
            (Zero::Point, Packing::MatMulNBits) => {
                let row = self.layout.per_outer;
                let bytes = (row * usize::from(spec.bits)).div_ceil(8);
                for (zeros, out) in zeros.chunks(bytes).zip(params.zero.chunks_mut(row)) {
                    self.values(zeros, points, out);
                }
            }
            (Zero::Point, _) => self.values(zeros, points, &mut params.zero),
        }
    }
}

/// 16-bit integers as floats.
struct Widen<'a> {
    signed: bool,
    words: &'a [[u8; 2]],
    values: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (word, value) in self.words.iter().zip(self.values) {
            *value = match self.signed {
                true => f32::from(i16::from_le_bytes(*word)),
                false => f32::from(u16::from_le_bytes(*word)),
            };
        }
    }
}

/// Codes of at most 8 bits as floats.
struct Meaning<'a> {
    element: Element,
    bits: u8,
    codes: &'a [u8],
    values: &'a mut [f32],
}

impl Kernel for Meaning<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let pairs = self.codes.iter().zip(self.values);
        match self.element {
            Element::Unsigned => pairs.for_each(|(code, value)| *value = f32::from(*code)),
            Element::Signed => {
                let shift = 8 - self.bits;
                pairs.for_each(|(code, value)| *value = f32::from((code << shift) as i8 >> shift));
            }
            Element::E2M1 => {
                pairs.for_each(|(code, value)| *value = E2M1[usize::from(code & 15)]);
            }
            Element::Nf4 => {
                pairs.for_each(|(code, value)| *value = NF4[usize::from(code & 15)]);
            }
            Element::Fp4 => {
                pairs.for_each(|(code, value)| *value = FP4[usize::from(code & 15)]);
            }
            Element::E5M2 => pairs.for_each(|(code, value)| *value = f8::e5m2(*code)),
            Element::E4M3 => pairs.for_each(|(code, value)| *value = f8::e4m3(*code)),
        }
    }
}

struct Scale<'a> {
    decoder: &'a Decoder<'a>,
    params: &'a Params,
    units: Range<usize>,
    values: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        match self.decoder.layout.spec().zero {
            Zero::Bias => self.with(|value, scale, bias| value * scale + bias),
            _ => self.with(|value, scale, zero| (value - zero) * scale),
        }
    }
}

impl Scale<'_> {
    #[inline(always)]
    fn with(self, meaning: impl Fn(f32, f32, f32) -> f32 + Copy) {
        let Self {
            decoder,
            params: Params { scale, zero },
            units,
            mut values,
            mut out,
        } = self;
        let layout = decoder.layout;
        match (layout.spec().group, layout.inner) {
            (Group::Tensor, _) => run(values, scale[0], zero[0], out, meaning),
            (Group::Axis, 1) => {
                let mut column = units.start % layout.len.max(1);
                while !out.is_empty() {
                    let len = (layout.len - column).min(out.len());
                    let (row, rest_out) = out.split_at_mut(len);
                    across(values, &scale[column..], &zero[column..], row, meaning);
                    (values, out, column) = (&values[len..], rest_out, 0);
                }
            }
            (Group::Axis, inner) => {
                let runs = values.chunks_exact(inner).zip(out.chunks_exact_mut(inner));
                for (unit, (values, out)) in units.zip(runs) {
                    let i = unit % layout.len;
                    run(values, scale[i], zero[i], out, meaning);
                }
            }
            (Group::Blocks(_), 1) => {
                for (i, unit) in units.enumerate() {
                    let len = layout.steps(unit);
                    let (group, rest_out) = out.split_at_mut(len);
                    run(values, scale[i], zero[i], group, meaning);
                    let stride = layout.padded_group().unwrap_or(len);
                    (values, out) = (&values[stride..], rest_out);
                }
            }
            (Group::Blocks(_), inner) => {
                for (i, unit) in units.enumerate() {
                    for _ in 0..layout.steps(unit) {
                        let (row, rest_out) = out.split_at_mut(inner);
                        let (scale, zero) = (&scale[i * inner..], &zero[i * inner..]);
                        across(values, scale, zero, row, meaning);
                        (values, out) = (&values[inner..], rest_out);
                    }
                }
            }
        }
    }
}

/// Elements that share a scale.
#[inline(always)]
fn run(
    values: &[f32],
    scale: f32,
    zero: f32,
    out: &mut [f32],
    meaning: impl Fn(f32, f32, f32) -> f32,
) {
    for (value, out) in values.iter().zip(out) {
        *out = meaning(*value, scale, zero);
    }
}

/// Elements that each have a scale of their own.
#[inline(always)]
fn across(
    values: &[f32],
    scale: &[f32],
    zero: &[f32],
    out: &mut [f32],
    meaning: impl Fn(f32, f32, f32) -> f32,
) {
    let params = scale.iter().zip(zero);
    for ((value, out), (scale, zero)) in values.iter().zip(out).zip(params) {
        *out = meaning(*value, *scale, *zero);
    }
}

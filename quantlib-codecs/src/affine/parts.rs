//! Planes taken apart and put together: codes one a byte, scales and zeros one a group.

use super::AffinePlanes;
use super::decode::{Decoder, Params};
use super::encode::PlanesMut;
use super::layout::AffineLayout;
use super::packing::{Order, unpack};
use super::spec::{AffineSpec, Element, Packing, Zero};
use super::store;
use super::write::PlaneWriter;
use crate::dtype::DType;
use crate::parts::{Form, Origin, Parts};
use crate::simd::Isa;
use std::ops::Range;

/// What the parts of a planar tensor mean; `None` if it has scales for more than groups of a row, or codes
/// of more than 8 bits.
pub(crate) fn form(layout: &AffineLayout) -> Option<Form> {
    let spec = layout.spec();
    let middle = middle(spec);
    if !layout.is_grouped() || spec.bits > 8 || spec.packing == Packing::Bnb4 {
        return None;
    }
    Some(Form {
        element: match spec.element {
            Element::Signed => Element::Unsigned,
            element => element,
        },
        bits: spec.bits,
        group: layout.block,
        zero: match spec.zero {
            Zero::None => Origin::Code(layout.implied_zero() as u8 + middle),
            Zero::Point => Origin::Point,
            Zero::Bias => Origin::Bias,
        },
        scale: match spec.global_scale {
            Some(_) => DType::F32,
            None => spec.scale,
        },
        negative_scales: spec.scale != DType::F8E8M0,
    })
}

/// The code of zero among signed codes that were moved up to begin with 0.
fn middle(spec: &AffineSpec) -> u8 {
    match spec.element {
        Element::Signed => 1 << (spec.bits.min(8) - 1),
        _ => 0,
    }
}

/// Takes units apart. `planes` are theirs, of lengths that the caller checked.
pub(crate) fn take_apart(
    layout: &AffineLayout,
    isa: Isa,
    units: Range<usize>,
    planes: AffinePlanes<'_>,
    parts: &mut Parts,
) {
    let spec = layout.spec();
    let elements = layout.at(&units).elements.len();
    let padded = layout.padded_group();
    let codes = &mut parts.codes;
    codes.resize(padded.map_or(elements, |n| units.len() * n), 0);
    unpack(isa, Order::of(spec), spec.bits, planes.codes, codes);
    if let Some(n) = padded {
        remove_padding(layout, units.clone(), n, codes);
    }
    let groups = units.len() * layout.inner;
    let mut params = Params {
        scale: std::mem::take(&mut parts.scales),
        zero: std::mem::take(&mut parts.zeros),
    };
    // Only scales that belong to no unit are read when a decoder is made.
    let decoder = Decoder::new(layout, isa, &[], &[]);
    let points = &mut Vec::new();
    decoder.load(groups, planes.scales, planes.zeros, &mut params, points);
    (parts.scales, parts.zeros) = (params.scale, params.zero);
    move_middle(spec, codes, &mut parts.zeros, f32::from(middle(spec)));
}

/// Puts units together again. Panics if there are not as many codes and scales as they have.
pub(crate) fn put_together(
    layout: &AffineLayout,
    isa: Isa,
    units: Range<usize>,
    parts: &mut Parts,
    out: PlanesMut<'_>,
) {
    let spec = layout.spec();
    let Parts {
        codes,
        scales,
        zeros,
    } = parts;
    move_middle(spec, codes, zeros, -f32::from(middle(spec)));
    if let Some(n) = layout.padded_group() {
        add_padding(layout, units.clone(), n, codes);
    }
    let writer = PlaneWriter { layout, isa };
    writer.codes(units, codes, out.codes);
    writer.scales(scales, zeros, out.scales, out.zeros, &mut Vec::new());
}

/// From signed codes to unsigned ones or back.
fn move_middle(spec: &AffineSpec, codes: &mut [u8], zeros: &mut [f32], by: f32) {
    let middle = middle(spec);
    if middle == 0 {
        return;
    }
    codes.iter_mut().for_each(|code| *code ^= middle);
    if spec.zero != Zero::Bias {
        zeros.iter_mut().for_each(|zero| *zero += by);
    }
}

/// Closes the gaps after groups that are shorter than `n`.
fn remove_padding(layout: &AffineLayout, units: Range<usize>, n: usize, codes: &mut Vec<u8>) {
    let mut end = 0;
    for (i, unit) in units.enumerate() {
        let len = layout.steps(unit);
        if end != i * n {
            codes.copy_within(i * n..i * n + len, end);
        }
        end += len;
    }
    codes.truncate(end);
}

/// Makes room after groups that are shorter than `n`.
fn add_padding(layout: &AffineLayout, units: Range<usize>, n: usize, codes: &mut Vec<u8>) {
    if codes.len() == units.len() * n {
        return;
    }
    let mut padded = vec![0; units.len() * n];
    let mut rest = &codes[..];
    for (out, unit) in padded.chunks_exact_mut(n).zip(units) {
        let (group, after) = rest.split_at(layout.steps(unit));
        out[..group.len()].copy_from_slice(group);
        rest = after;
    }
    *codes = padded;
}

/// The first of these numbers that a type of scales does not hold exactly, or that is not finite.
pub(crate) fn first_inexact(isa: Isa, dtype: DType, numbers: &[f32]) -> Option<usize> {
    let mut bytes = vec![0; numbers.len() * dtype.block_bytes()];
    let mut back = vec![0.0; numbers.len()];
    store::store(isa, dtype, numbers, &mut bytes);
    store::load(isa, dtype, &bytes, &mut back);
    let exact = |(x, y): (&f32, &f32)| x == y && x.is_finite();
    numbers.iter().zip(&back).position(|pair| !exact(pair))
}

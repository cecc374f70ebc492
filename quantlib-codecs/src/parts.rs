//! What encodings have in common: codes, one a byte, with a scale and a zero for each group.
//!
//! Every block format of integers on an even grid or of 4-bit floats, and every planar one, can be taken
//! apart into these without loss; whoever can hold the same parts can be made of them.

use crate::affine::{self, AffineLayout, AffinePlanes, Element, PlanesMut};
use crate::block;
use crate::dtype::DType;
use crate::simd::Isa;
use std::ops::Range;

/// What the parts of an encoding mean: element = (code - zero) · scale, or code · scale + zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What a code stands for. Signed integers were moved up to begin with 0, and so was their zero.
    pub element: Element,
    /// Bits of a code.
    pub bits: u8,
    /// Elements that share a scale, along the axis.
    pub group: usize,
    /// What [`Parts::zeros`] are.
    pub zero: Origin,
    /// The narrowest type that holds every scale, and every bias.
    pub scale: DType,
    /// Whether scales may be negative.
    pub negative_scales: bool,
}

/// What places zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The same code everywhere.
    Code(u8),
    /// A code of each group.
    Point,
    /// A number of each group, which is added after scaling.
    Bias,
}

/// Codes, scales and zeros of a tensor or of a piece of it.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// One byte a code.
    pub codes: Vec<u8>,
    /// The scale of every group.
    pub scales: Vec<f32>,
    /// The code of zero of every group, or what is added.
    pub zeros: Vec<f32>,
}

/// What the blocks of a type are made of; `None` if it is no grid of integers or 4-bit floats.
pub fn block_form(dtype: DType) -> Option<Form> {
    block::take_apart_codec(dtype).map(|codec| codec.form)
}

/// Whether [`put_block_together`] knows the type: where scales are products, nobody can tell of what.
pub fn is_writable(dtype: DType) -> bool {
    block::take_apart_codec(dtype).is_some_and(|codec| codec.put_together.is_some())
}

/// What planes are made of; `None` if scales are for more than groups, or codes longer than 8 bits.
pub fn affine_form(layout: &AffineLayout) -> Option<Form> {
    affine::form(layout)
}

/// Takes whole blocks apart; does nothing for types without a [`block_form`].
pub fn take_block_apart(dtype: DType, blocks: &[u8], parts: &mut Parts) {
    let Some(codec) = block::take_apart_codec(dtype) else {
        return;
    };
    let elements = blocks.len() / dtype.block_bytes() * dtype.block_len();
    parts.codes.resize(elements, 0);
    parts.scales.resize(elements / codec.form.group, 0.0);
    parts.zeros.resize(elements / codec.form.group, 0.0);
    (codec.take_apart)(
        blocks,
        &mut parts.codes,
        &mut parts.scales,
        &mut parts.zeros,
    );
}

/// Puts whole blocks together of parts of the type's own form, of which nothing is rounded; does nothing
/// for types that are not writable.
pub fn put_block_together(dtype: DType, parts: &Parts, blocks: &mut [u8]) {
    let codec = block::take_apart_codec(dtype);
    if let Some(put_together) = codec.and_then(|codec| codec.put_together) {
        put_together(&parts.codes, &parts.scales, &parts.zeros, blocks);
    }
}

/// Takes units of a planar tensor apart. Panics if `planes` have not the lengths of their
/// [`place`](AffineLayout::place).
pub fn take_affine_apart(
    layout: &AffineLayout,
    isa: Isa,
    units: Range<usize>,
    planes: AffinePlanes<'_>,
    parts: &mut Parts,
) {
    affine::take_apart(layout, isa, units, planes, parts);
}

/// Puts units of a planar tensor together of parts of its own form, which are used up: codes, scales and
/// zeros. Panics if lengths are not those of the units.
pub fn put_affine_together(
    layout: &AffineLayout,
    isa: Isa,
    units: Range<usize>,
    parts: &mut Parts,
    [codes, scales, zeros]: [&mut [u8]; 3],
) {
    let planes = PlanesMut {
        codes,
        scales,
        zeros,
    };
    affine::put_together(layout, isa, units, parts, planes);
}

/// The first of these numbers that a type of scales does not hold exactly, or that is not finite.
pub fn first_inexact(isa: Isa, dtype: DType, numbers: &[f32]) -> Option<usize> {
    affine::first_inexact(isa, dtype, numbers)
}

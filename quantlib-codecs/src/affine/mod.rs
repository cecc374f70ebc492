//! Planar formats: codes in one plane, scales in another, zero points or biases in a third.
//!
//! [`AffineSpec`] says how a tensor is quantized, as plain data; [`AffineLayout`] joins it with a
//! shape and knows every size and the tiles that can be worked on apart from each other. Encoding a
//! tile has three stages, each on buffers that stay in the cache: a `formula` finds scales and
//! codes, `packing` lays the codes out, `store` writes scales and zeros in their own types.

mod decode;
mod encode;
mod formula;
mod global;
mod histogram;
mod layout;
mod packing;
mod parts;
mod spec;
mod statistics;
mod store;
mod tables;
mod write;

pub(crate) use decode::{DecodeScratch, Decoder};
pub(crate) use encode::{Encoder, PlanesMut, Scratch};
pub use global::GlobalScale;
pub use histogram::Histogram;
pub use layout::{AffineLayout, AffinePlane, Place};
pub(crate) use parts::{first_inexact, form, put_together, take_apart};
pub use spec::{AffineSpec, AffineWish, Clip, Element, Formula, Group, Packing, Zero};
pub(crate) use statistics::Statistics;

/// The planes of a tensor, or of a tile of it, as bytes.
#[derive(Clone, Copy, Debug)]
pub struct AffinePlanes<'a> {
    /// The packed codes.
    pub codes: &'a [u8],
    /// The scales, little-endian in their own type.
    pub scales: &'a [u8],
    /// Zero points or biases; empty if the spec has none.
    pub zeros: &'a [u8],
}

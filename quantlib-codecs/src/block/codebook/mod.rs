//! The codebooks of the IQ1, IQ2 and IQ3 formats: short vectors of small integers ("levels"), of
//! which a code names one.
//!
//! `points` holds the vectors, which are constants of the formats, [`Lattice`] finds the vectors
//! near others, [`Nearby`] too but 16 at a time, [`fit_magnitudes`] the scale and the codes of a group of elements.

mod fit;
mod groups;
mod lattice;
mod nearby;
mod neighbours;
mod points;
mod scales;
mod sets;
mod signs;

pub(super) use fit::{Aim, Fit, Method, Refit, look_up};
pub(super) use groups::Groups;
pub(super) use lattice::Lattice;
pub(super) use nearby::Nearby;
pub(super) use neighbours::{Codebook, Neighbours, Octet};
pub(super) use points::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS, magnitudes};
pub(super) use scales::quantize_scales;
pub(super) use signs::{
    Magnitudes, decode_pairs, even_signs, pack_signs_and_scale, unpack_signs_and_scale,
};

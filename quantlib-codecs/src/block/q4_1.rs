//! Q4_1: 32 elements of 4 bits with one scale and one minimum.
//!
//! ```text
//! scale: f16 | min: f16 | codes: [u8; 16]
//! element = scale · code + min
//! ```
//! Elements i and i + 16 share byte i, the first in the low nibble.

use super::packing::Nibbles;
use super::thirty_two::Affine;

pub(super) type Q4_1 = Affine<Nibbles>;

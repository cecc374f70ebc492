//! Q5_1: 32 elements of 5 bits with one scale and one minimum.
//!
//! ```text
//! scale: f16 | min: f16 | high: [u8; 4] | low: [u8; 16]
//! element = scale · code + min, code = 16 · high bit + low nibble
//! ```
//! Element i has bit i of `high`, a little-endian integer; elements i and i + 16 share byte i of
//! `low`, the first in the low nibble.

use super::packing::FiveBits;
use super::thirty_two::Affine;

pub(super) type Q5_1 = Affine<FiveBits>;

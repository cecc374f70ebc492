//! Q5_0: 32 elements of 5 bits with one scale.
//!
//! ```text
//! scale: f16 | high: [u8; 4] | low: [u8; 16]
//! element = scale · (code - 16), code = 16 · high bit + low nibble
//! ```
//! Element i has bit i of `high`, a little-endian integer; elements i and i + 16 share byte i of
//! `low`, the first in the low nibble.

use super::packing::FiveBits;
use super::thirty_two::Symmetric;

pub(super) type Q5_0 = Symmetric<FiveBits>;

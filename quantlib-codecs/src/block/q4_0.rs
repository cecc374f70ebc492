//! Q4_0: 32 elements of 4 bits with one scale.
//!
//! ```text
//! scale: f16 | codes: [u8; 16]
//! element = scale · (code - 8)
//! ```
//! Elements i and i + 16 share byte i, the first in the low nibble.

use super::packing::Nibbles;
use super::thirty_two::Symmetric;

pub(super) type Q4_0 = Symmetric<Nibbles>;

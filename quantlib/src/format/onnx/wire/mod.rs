//! Protobuf at wire level: messages as ordered lists of fields, whatever the fields mean.
//!
//! A generated reader knows its schema and drops or reorders what it does not know, and keeps every
//! weight in memory. Here a message is what the file says: all fields in their order, unknown ones
//! among them, and the long ones as ranges of the file. So a model that nobody edited is written
//! back byte for byte, and one of many gigabytes takes a few megabytes.

mod cursor;
mod message;
mod read;
mod write;

pub use message::{Bytes, Field, Message, Value};
pub(super) use read::read_model;
pub(super) use write::{Piece, encode};

pub(super) use cursor::varint;

/// The wire types of protobuf, the lower three bits of a tag.
mod wire_type {
    pub(super) const VARINT: u8 = 0;
    pub(super) const FIXED64: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const GROUP: u8 = 3;
    pub(super) const END_GROUP: u8 = 4;
    pub(super) const FIXED32: u8 = 5;
}

/// Longest encoding of a 64-bit number: seven bits a byte.
const MAX_VARINT: usize = 10;

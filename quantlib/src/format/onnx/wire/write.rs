//! Writes messages: all lengths first, then fields in order.

use super::message::{Bytes, Field, Message, Value};
use super::wire_type;

/// A part of an encoded message.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Piece {
    /// These bytes.
    Memory(Vec<u8>),
    /// Bytes that are not in memory.
    Elsewhere(Bytes),
}

impl Piece {
    pub(in super::super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Elsewhere(bytes) => bytes.len(),
        }
    }
}

/// The message in pieces, which follow each other.
pub(in super::super) fn encode(message: &Message) -> Vec<Piece> {
    let mut lengths = Vec::new();
    measure(message, &mut lengths);
    // The message's own length is told by no one: it is the file's.
    let mut writer = Writer {
        pieces: Vec::new(),
        buffer: Vec::new(),
        lengths: lengths.into_iter().skip(1),
    };
    writer.message(message);
    writer.flush();
    writer.pieces
}

/// The length of a message. Its own and those of all messages in it go to `lengths`, each before
/// those of what it holds.
fn measure(message: &Message, lengths: &mut Vec<u64>) -> u64 {
    let own = lengths.len();
    lengths.push(0);
    let mut total = 0u64;
    for field in message.fields() {
        let value = match &field.value {
            Value::Varint(number) => varint_len(*number, field.width) as u64,
            Value::Fixed64(_) => 8,
            Value::Fixed32(_) => 4,
            Value::Bytes(bytes) => delimited(bytes.len(), field.width),
            Value::Message(message) => delimited(measure(message, lengths), field.width),
            Value::Group(bytes) => {
                let end = varint_len(field.tag(wire_type::END_GROUP), field.width);
                bytes.len().saturating_add(end as u64)
            }
        };
        let tag = varint_len(field.tag(field.wire_type()), field.tag_width);
        total = total.saturating_add(tag as u64).saturating_add(value);
    }
    lengths[own] = total;
    total
}

fn delimited(len: u64, width: u8) -> u64 {
    len.saturating_add(varint_len(len, width) as u64)
}

/// Bytes of a number that takes at least `width`.
fn varint_len(number: u64, width: u8) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    (bits.div_ceil(7) as usize).max(usize::from(width))
}

impl Field {
    fn wire_type(&self) -> u8 {
        match &self.value {
            Value::Varint(_) => wire_type::VARINT,
            Value::Fixed64(_) => wire_type::FIXED64,
            Value::Fixed32(_) => wire_type::FIXED32,
            Value::Bytes(_) | Value::Message(_) => wire_type::BYTES,
            Value::Group(_) => wire_type::GROUP,
        }
    }

    fn tag(&self, wire_type: u8) -> u64 {
        u64::from(self.number) << 3 | u64::from(wire_type)
    }
}

struct Writer<I> {
    pieces: Vec<Piece>,
    /// The end of the message so far, if it is in memory.
    buffer: Vec<u8>,
    /// The lengths of the messages to come.
    lengths: I,
}

impl<I: Iterator<Item = u64>> Writer<I> {
    fn message(&mut self, message: &Message) {
        message.fields().iter().for_each(|field| self.field(field));
    }

    fn field(&mut self, field: &Field) {
        self.varint(field.tag(field.wire_type()), field.tag_width);
        match &field.value {
            Value::Varint(number) => self.varint(*number, field.width),
            Value::Fixed64(number) => self.buffer.extend(number.to_le_bytes()),
            Value::Fixed32(number) => self.buffer.extend(number.to_le_bytes()),
            Value::Bytes(bytes) => {
                self.varint(bytes.len(), field.width);
                self.bytes(bytes);
            }
            Value::Message(message) => {
                let len = self.lengths.next().unwrap_or_default();
                self.varint(len, field.width);
                self.message(message);
            }
            Value::Group(bytes) => {
                self.bytes(bytes);
                self.varint(field.tag(wire_type::END_GROUP), field.width);
            }
        }
    }

    fn bytes(&mut self, bytes: &Bytes) {
        match bytes {
            Bytes::Memory(bytes) => self.buffer.extend_from_slice(bytes),
            elsewhere => {
                self.flush();
                self.pieces.push(Piece::Elsewhere(elsewhere.clone()));
            }
        }
    }

    /// A number in at least `width` bytes: longer ones are filled up with zeros that say that more
    /// bytes follow.
    fn varint(&mut self, mut number: u64, width: u8) {
        for _ in 1..varint_len(number, width) {
            self.buffer.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.buffer.push(number as u8);
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            self.pieces.push(Piece::Memory(buffer));
        }
    }
}

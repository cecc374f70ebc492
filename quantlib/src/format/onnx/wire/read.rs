//! Reads the messages of a model, never further than the file and the limits allow.

use super::cursor::Cursor;
use super::message::{Bytes, Field, Message, Value};
use super::wire_type;
use crate::error::{Error, Result};
use crate::format::onnx::schema::{Holds, Kind};
use crate::io::{FileSource, Limits};

/// Tensor data up to this length are kept in memory: shapes, axes, scalars.
const SHORT: u64 = 1 << 10;

/// The whole model, with everything long left in the file.
///
/// # Errors
/// `malformed` with the path of the field that does not follow protobuf or the schema, `limit`, `io`.
pub(in super::super) fn read_model(source: &FileSource, limits: &Limits) -> Result<Message> {
    let mut parser = Parser {
        cursor: Cursor::new(source),
        limits,
        fields: 0,
        memory: 0,
        path: Vec::new(),
    };
    let model = parser.message(Kind::Model, source.len());
    model.map_err(|e| {
        let e = e.in_file(source.path());
        match parser.path.is_empty() {
            true => e,
            false => e.in_key(parser.place()),
        }
    })
}

struct Parser<'f> {
    cursor: Cursor<'f>,
    limits: &'f Limits,
    /// Fields read, and bytes kept in memory, so far.
    fields: u64,
    memory: u64,
    /// The way from the model to the message at hand.
    path: Vec<Step>,
}

/// A field of a message of this kind, and which of them if there may be several.
type Step = (Kind, u32, Option<u32>);

/// How often each field of the schema was seen in a message; their numbers are small.
type Seen = [u32; 32];

impl Parser<'_> {
    /// The fields up to `end`.
    fn message(&mut self, kind: Kind, end: u64) -> Result<Message> {
        let mut message = Message::default();
        let mut seen = Seen::default();
        while self.cursor.offset() < end {
            self.count_field()?;
            let (number, wire_type, tag_width) = self.tag(end)?;
            let (value, width) = self.value(kind, number, wire_type, end, &mut seen)?;
            message.fields_mut().push(Field {
                number,
                value,
                tag_width,
                width,
            });
        }
        message.fields_mut().shrink_to_fit();
        Ok(message)
    }

    /// The way to the message at hand, such as `graph.node[3].attribute[0].t`.
    fn place(&self) -> String {
        let steps = self.path.iter().map(|&(kind, number, index)| {
            let name = kind.field_name(number);
            index.map_or(name.clone(), |index| format!("{name}[{index}]"))
        });
        steps.collect::<Vec<_>>().join(".")
    }

    fn count_field(&mut self) -> Result<()> {
        self.fields += 1;
        if self.fields > self.limits.fields {
            return Err(Error::limit(format!(
                "has more fields than the limit of {}",
                self.limits.fields
            )));
        }
        Ok(())
    }

    fn tag(&mut self, end: u64) -> Result<(u32, u8, u8)> {
        let at = self.cursor.offset();
        let (tag, width) = self.cursor.varint(end)?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..0x2000_0000) => Ok((number, (tag & 7) as u8, width)),
            _ => Err(Error::malformed(format!(
                "the field at offset {at} has an impossible number; this is no ONNX model, or it is damaged"
            ))),
        }
    }

    /// A field's value, and the bytes that its number or length takes.
    fn value(
        &mut self,
        kind: Kind,
        number: u32,
        wire_type: u8,
        end: u64,
        seen: &mut Seen,
    ) -> Result<(Value, u8)> {
        match wire_type {
            wire_type::VARINT => {
                let (number, width) = self.cursor.varint(end)?;
                Ok((Value::Varint(number), width))
            }
            wire_type::FIXED64 => {
                let value = u64::from_le_bytes(self.cursor.array(end)?);
                Ok((Value::Fixed64(value), 0))
            }
            wire_type::FIXED32 => {
                let value = u32::from_le_bytes(self.cursor.array(end)?);
                Ok((Value::Fixed32(value), 0))
            }
            wire_type::BYTES => {
                let (len, width) = self.cursor.varint(end)?;
                let room = end - self.cursor.offset();
                if len > room {
                    return Err(Error::malformed(format!(
                        "field {} at offset {} says that it has {len} bytes, but only {room} follow; the file is damaged or incomplete",
                        kind.field_name(number),
                        self.cursor.offset()
                    )));
                }
                Ok((self.bytes(kind, number, len, seen)?, width))
            }
            wire_type::GROUP => {
                let (bytes, width) = self.group(number, end)?;
                Ok((Value::Group(bytes), width))
            }
            _ => Err(Error::malformed(format!(
                "field {} before offset {} has a wire type that does not exist; the file is damaged",
                kind.field_name(number),
                self.cursor.offset()
            ))),
        }
    }

    fn bytes(&mut self, kind: Kind, number: u32, len: u64, seen: &mut Seen) -> Result<Value> {
        let holds = kind.holds(number);
        let keep = match holds {
            Holds::One(child) => {
                let step = (kind, number, None);
                // Protobuf would merge a second one into the first, which no writer asks for.
                if count(seen, number) > 0 {
                    return Err(Error::malformed(format!(
                        "field {} is there twice",
                        kind.field_name(number)
                    )));
                }
                return self.child(step, child, len);
            }
            Holds::Many(child) => {
                return self.child((kind, number, Some(count(seen, number))), child, len);
            }
            Holds::Name => {
                self.check_name(kind, number, len)?;
                true
            }
            Holds::Text => len <= self.limits.name_bytes,
            Holds::Data => len <= SHORT,
        };
        if !keep {
            let offset = self.cursor.offset();
            self.cursor.skip(len);
            return Ok(Value::Bytes(Bytes::Stored {
                file: 0,
                offset,
                len,
            }));
        }
        let bytes = self.take(len)?;
        if matches!(holds, Holds::Name) && std::str::from_utf8(&bytes).is_err() {
            return Err(Error::malformed(format!(
                "field {} is not UTF-8: '{}'",
                kind.field_name(number),
                bytes.escape_ascii()
            )));
        }
        Ok(Value::Bytes(Bytes::Memory(bytes)))
    }

    fn check_name(&self, kind: Kind, number: u32, len: u64) -> Result<()> {
        let longest = self.limits.name_bytes;
        if len > longest {
            return Err(Error::limit(format!(
                "field {} has {len} bytes, more than the limit of {longest}",
                kind.field_name(number)
            )));
        }
        Ok(())
    }

    /// Bytes that stay in memory.
    fn take(&mut self, len: u64) -> Result<Box<[u8]>> {
        self.memory += len;
        if self.memory > self.limits.header_bytes {
            return Err(Error::limit(format!(
                "has more than {} bytes besides its tensors, which is the limit",
                self.limits.header_bytes
            )));
        }
        self.cursor.take(len)
    }

    fn child(&mut self, step: Step, kind: Kind, len: u64) -> Result<Value> {
        if self.path.len() >= self.limits.depth as usize {
            return Err(Error::limit(format!(
                "its messages are nested deeper than the limit of {}",
                self.limits.depth
            )));
        }
        let end = self.cursor.offset() + len;
        self.path.push(step);
        let message = self.message(kind, end)?;
        self.path.pop();
        Ok(Value::Message(message))
    }

    /// What lies between a group's tags, and the bytes that the tag at its end takes.
    fn group(&mut self, number: u32, end: u64) -> Result<(Bytes, u8)> {
        let offset = self.cursor.offset();
        let mut open = vec![number];
        loop {
            let before = self.cursor.offset();
            self.count_field()?;
            let (inner, wire_type, width) = self.tag(end)?;
            match wire_type {
                wire_type::GROUP => open.push(inner),
                wire_type::END_GROUP if open.last() == Some(&inner) => {
                    open.pop();
                }
                wire_type::END_GROUP => {
                    return Err(Error::malformed(format!(
                        "the group of field {number} ends as that of field {inner}; the file is damaged"
                    )));
                }
                // Nothing is known of what an unknown group holds: no message, no name.
                other => {
                    self.value(Kind::Unknown, inner, other, end, &mut Seen::default())?;
                }
            }
            if open.len() > self.limits.depth as usize {
                return Err(Error::limit("its groups are nested too deeply"));
            }
            if open.is_empty() {
                let len = before - offset;
                let file = 0;
                return Ok((Bytes::Stored { file, offset, len }, width));
            }
        }
    }
}

/// How often a field was seen before, now once more.
fn count(seen: &mut Seen, number: u32) -> u32 {
    let before = &mut seen[number as usize % seen.len()];
    *before += 1;
    *before - 1
}

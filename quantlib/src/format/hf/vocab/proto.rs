//! Reading protocol buffers: the wire format, no schema.

use crate::error::{Error, Result};

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in file order.
pub(super) struct Message<'a> {
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            other => {
                return Err(Error::malformed(format!(
                    "is no protocol buffer: there is no wire type {other}"
                )));
            }
        };
        match tag >> 3 {
            0 => Err(Error::malformed(
                "is no protocol buffer: it has a field number 0",
            )),
            number => Ok(Some((number, field))),
        }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::malformed(
            "is no protocol buffer: a number is too long",
        ))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

fn truncated() -> Error {
    Error::malformed("ends in the middle of a field, or is no protocol buffer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'a', b'b', 0x25, 1, 0, 0, 0,
        ];
        let mut message = Message::new(&bytes);
        assert_eq!(message.next().unwrap(), Some((1, Field::Varint(150))));
        assert_eq!(message.next().unwrap(), Some((2, Field::Fixed64(1))));
        assert_eq!(message.next().unwrap(), Some((3, Field::Bytes(b"ab"))));
        assert_eq!(message.next().unwrap(), Some((4, Field::Fixed32(1))));
        assert_eq!(message.next().unwrap(), None);
    }

    #[test]
    fn bad_bytes_are_errors() {
        let cases: [&[u8]; 7] = [
            &[0x80],
            &[0xff; 11],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x0a, 2, b'a'],
            &[0x25, 1, 0],
            &[0x0b],
            &[0x02, 0],
        ];
        for bytes in cases {
            assert!(Message::new(bytes).next().is_err(), "{bytes:?}");
        }
    }
}

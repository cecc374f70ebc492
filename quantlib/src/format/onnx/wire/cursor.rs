//! Reads a file front to back, through a buffer, and jumps over what is not looked at.

use super::MAX_VARINT;
use crate::error::{Error, Result};
use crate::io::FileSource;

/// Bytes fetched at once.
const CHUNK: u64 = 64 << 10;

/// A position in a file.
pub(super) struct Cursor<'f> {
    source: &'f FileSource,
    /// Bytes of the file from `start` on.
    buffer: Vec<u8>,
    start: u64,
    at: u64,
}

impl<'f> Cursor<'f> {
    pub(super) fn new(source: &'f FileSource) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            at: 0,
        }
    }

    /// The offset in the file of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// Jumps over bytes that are known to be there.
    pub(super) fn skip(&mut self, len: u64) {
        self.at += len;
    }

    /// The next `N` bytes of a message that ends at `end`.
    pub(super) fn array<const N: usize>(&mut self, end: u64) -> Result<[u8; N]> {
        match self.peek(end)?.first_chunk() {
            Some(bytes) => {
                let bytes = *bytes;
                self.skip(N as u64);
                Ok(bytes)
            }
            None => Err(cut_off()),
        }
    }

    /// The next number of a message that ends at `end`, and the bytes that it takes.
    pub(super) fn varint(&mut self, end: u64) -> Result<(u64, u8)> {
        let (number, width) = varint(self.peek(end)?)?;
        self.skip(width as u64);
        // At most MAX_VARINT.
        Ok((number, width as u8))
    }

    /// The next `len` bytes, which are known to be there.
    pub(super) fn take(&mut self, len: u64) -> Result<Box<[u8]>> {
        let len = usize::try_from(len).map_err(|_| Error::limit("does not fit into memory"))?;
        let mut bytes = vec![0; len].into_boxed_slice();
        match self.buffered().get(..len) {
            Some(buffered) => bytes.copy_from_slice(buffered),
            None => self.source.read_exact_at(&mut bytes, self.at)?,
        }
        self.skip(len as u64);
        Ok(bytes)
    }

    /// The bytes that come next, up to `end` but not more than the longest number.
    fn peek(&mut self, end: u64) -> Result<&[u8]> {
        let wanted = (end - self.at).min(MAX_VARINT as u64) as usize;
        if self.buffered().len() < wanted {
            let len = (self.source.len() - self.at).min(CHUNK);
            self.buffer.resize(len as usize, 0);
            self.source.read_exact_at(&mut self.buffer, self.at)?;
            self.start = self.at;
        }
        Ok(&self.buffered()[..wanted])
    }

    fn buffered(&self) -> &[u8] {
        let place = usize::try_from(self.at - self.start);
        let rest = place.ok().and_then(|place| self.buffer.get(place..));
        rest.unwrap_or_default()
    }
}

/// The number at the beginning of `bytes`, and the bytes that it takes.
pub(in super::super) fn varint(bytes: &[u8]) -> Result<(u64, usize)> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        // Of the tenth byte only one bit belongs to a number of 64.
        if i == MAX_VARINT - 1 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((number, i + 1));
        }
    }
    Err(match bytes.len() {
        MAX_VARINT.. => Error::malformed("has a number of more than 64 bits; the file is damaged"),
        _ => cut_off(),
    })
}

fn cut_off() -> Error {
    Error::malformed("ends inside a field; the file is damaged or incomplete")
}

//! Elements that are stored as numbers of variable length, read by position.

use super::document::Document;
use super::wire::{self, Bytes};
use crate::error::{Error, Result};

/// Elements between two marks.
const STRIDE: usize = 1 << 12;

/// Bytes read at a time.
const CHUNK: usize = 1 << 14;

/// Packed numbers, and where every few thousandth begins.
#[derive(Debug)]
pub(super) struct Varints {
    bytes: Bytes,
    /// Bytes of an element once it is decoded.
    size: usize,
    marks: Vec<u64>,
}

impl Varints {
    /// Finds the marks, which takes one look at every byte.
    ///
    /// # Errors
    /// `malformed` if there are not as many numbers as elements; `io`.
    pub(super) fn new(
        document: &Document,
        bytes: &Bytes,
        size: usize,
        elements: usize,
    ) -> Result<Self> {
        let mut buffer = vec![0; CHUNK];
        let (mut marks, mut found) = (Vec::new(), 0usize);
        let mut begins = true;
        let mut at = 0;
        while at < bytes.len() {
            let len = (bytes.len() - at).min(CHUNK as u64) as usize;
            document.read(bytes, at, &mut buffer[..len])?;
            for (i, byte) in buffer[..len].iter().enumerate() {
                if begins && found.is_multiple_of(STRIDE) {
                    marks.push(at + i as u64);
                }
                begins = byte & 0x80 == 0;
                found += usize::from(begins);
            }
            at += len as u64;
        }
        if found != elements || !begins {
            return Err(Error::malformed(format!(
                "has {found} numbers, but its shape has {elements} elements"
            )));
        }
        let bytes = bytes.clone();
        Ok(Self { bytes, size, marks })
    }

    /// Fills `buf` with bytes of the decoded elements, from byte `offset` on.
    pub(super) fn read_at(&self, document: &Document, offset: u64, buf: &mut [u8]) -> Result<()> {
        let size = self.size as u64;
        let first = (offset / size) as usize;
        let Some(&mark) = self.marks.get(first / STRIDE) else {
            return Ok(());
        };
        let mut numbers = Numbers::new(document, &self.bytes, mark);
        for _ in 0..first % STRIDE {
            numbers.next()?;
        }
        let mut within = (offset % size) as usize;
        let mut rest = buf;
        while !rest.is_empty() {
            let element = numbers.next()?.to_le_bytes();
            let len = (self.size - within).min(rest.len());
            let (piece, after) = rest.split_at_mut(len);
            piece.copy_from_slice(&element[within..][..len]);
            rest = after;
            within = 0;
        }
        Ok(())
    }
}

/// Numbers one after the other.
struct Numbers<'d> {
    document: &'d Document,
    bytes: &'d Bytes,
    buffer: Vec<u8>,
    start: usize,
    /// Where in the bytes the buffer ends.
    fetched: u64,
}

impl<'d> Numbers<'d> {
    fn new(document: &'d Document, bytes: &'d Bytes, at: u64) -> Self {
        Self {
            document,
            bytes,
            buffer: Vec::new(),
            start: 0,
            fetched: at,
        }
    }

    fn next(&mut self) -> Result<u64> {
        let rest = &self.buffer[self.start..];
        if let Ok((number, width)) = wire::varint(rest) {
            self.start += width;
            return Ok(number);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let kept = self.buffer.len();
        let len = (self.bytes.len() - self.fetched).min(CHUNK as u64) as usize;
        self.buffer.resize(kept + len, 0);
        self.document
            .read(self.bytes, self.fetched, &mut self.buffer[kept..])?;
        self.fetched += len as u64;
        let (number, width) = wire::varint(&self.buffer)?;
        self.start = width;
        Ok(number)
    }
}

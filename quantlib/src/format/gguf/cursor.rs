//! Reads a header front to back, in chunks, never further than the file and the limits allow.

use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};

/// Bytes fetched at once: a vocabulary of 150,000 tokens takes a dozen reads.
const CHUNK: u64 = 256 << 10;

/// A position in a file's header.
pub(super) struct Cursor<'f> {
    source: &'f FileSource,
    limits: &'f Limits,
    /// Bytes fetched and, from `start`, not yet taken.
    buffer: Vec<u8>,
    start: usize,
    /// Where in the file the buffer ends.
    fetched: u64,
    big_endian: bool,
}

impl<'f> Cursor<'f> {
    /// Starts at the beginning of the file, with numbers in little-endian order.
    pub(super) fn new(source: &'f FileSource, limits: &'f Limits) -> Self {
        Self {
            source,
            limits,
            buffer: Vec::new(),
            start: 0,
            fetched: 0,
            big_endian: false,
        }
    }

    pub(super) fn limits(&self) -> &'f Limits {
        self.limits
    }

    pub(super) fn set_big_endian(&mut self, big_endian: bool) {
        self.big_endian = big_endian;
    }

    /// The offset in the file of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.fetched - (self.buffer.len() - self.start) as u64
    }

    /// Bytes of the file after the position.
    pub(super) fn remaining(&self) -> u64 {
        self.source.len() - self.offset()
    }

    /// Fails unless `count` items of at least `min_bytes` each can lie in the rest of the file, and
    /// of the header that the limits allow. Whatever takes memory or time in proportion to a count
    /// from the file asks this first.
    pub(super) fn expect_room(&self, count: u64, min_bytes: u64, what: &str) -> Result<()> {
        let bytes = count.checked_mul(min_bytes);
        let Some(bytes) = bytes.filter(|&bytes| bytes <= self.remaining()) else {
            return Err(Error::malformed(format!(
                "says that it has {count} {what}, but only {} bytes follow; the file is damaged or incomplete",
                self.remaining()
            )));
        };
        self.expect_allowed(bytes)
    }

    /// Fails if the next `bytes` bytes lie beyond the longest header allowed.
    fn expect_allowed(&self, bytes: u64) -> Result<()> {
        if bytes <= self.allowed() {
            return Ok(());
        }
        Err(Error::limit(format!(
            "the header is longer than the limit of {} bytes",
            self.limits.header_bytes
        )))
    }

    /// Bytes that the header may have after the position.
    fn allowed(&self) -> u64 {
        self.limits.header_bytes.saturating_sub(self.offset())
    }

    /// The next `len` bytes.
    pub(super) fn bytes(&mut self, len: u64) -> Result<&[u8]> {
        let available = self.buffer.len() - self.start;
        if (available as u64) < len {
            self.fetch(len)?;
        }
        let start = self.start;
        // Now the buffer holds `len` bytes, so `len` is a valid usize.
        self.start += len as usize;
        Ok(&self.buffer[start..self.start])
    }

    /// The next `N` bytes in little-endian order: a number.
    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(self.bytes(N as u64)?);
        if self.big_endian {
            number.reverse();
        }
        Ok(number)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.number().map(u64::from_le_bytes)
    }

    /// A string of bytes behind its 64-bit length.
    pub(super) fn string(&mut self) -> Result<&[u8]> {
        let len = self.u64()?;
        self.expect_room(len, 1, "bytes of text")?;
        self.bytes(len)
    }

    /// A string that must be UTF-8 and of sane length: a key or a tensor's name.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        let at = self.offset();
        let len = self.u64()?;
        self.expect_room(len, 1, "bytes of text")?;
        let longest = self.limits.name_bytes;
        if len > longest {
            return Err(Error::limit(format!(
                "the {what} at offset {at} has {len} bytes, more than the limit of {longest}"
            )));
        }
        let bytes = self.bytes(len)?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(Error::malformed(format!(
                "the {what} at offset {at} is not UTF-8: '{}'",
                bytes.escape_ascii()
            ))),
        }
    }

    /// Makes the buffer hold the next `len` bytes and some more.
    fn fetch(&mut self, len: u64) -> Result<()> {
        let at = self.offset();
        if len > self.remaining() {
            return Err(Error::malformed(format!(
                "ends inside its header: {len} bytes are needed at offset {at}, {} are there; the file is incomplete",
                self.remaining()
            )));
        }
        self.expect_allowed(len)?;
        let wanted = len.max(CHUNK).min(self.allowed()).min(self.remaining());
        let wanted = usize::try_from(wanted)
            .map_err(|_| Error::limit("the header does not fit into memory"))?;
        self.buffer.drain(..self.start);
        self.start = 0;
        let kept = self.buffer.len();
        self.buffer.resize(wanted, 0);
        self.source
            .read_exact_at(&mut self.buffer[kept..], self.fetched)?;
        self.fetched += (wanted - kept) as u64;
        Ok(())
    }
}

//! The older form, `.dat`: entries of a name, a number of chunks, and mean squares times that number;
//! then the number of chunks in all, and one data set.

use super::reader::{About, floats};
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::Statistics;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Bytes of an entry at least: three numbers and one value.
const SMALLEST_ENTRY: u64 = 16;

/// Where the entries lie.
#[derive(Debug)]
pub(super) struct Index {
    source: FileSource,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    len: usize,
    /// What the mean squares were multiplied by; not at all unless it is positive.
    calls: i32,
}

impl Index {
    /// Goes from entry to entry, without reading values.
    pub(super) fn scan(source: FileSource, limits: &Limits) -> Result<(Self, About)> {
        let mut scan = Scan {
            source: &source,
            at: 0,
        };
        let count = scan.number("the number of entries")?;
        let possible = (source.len() / SMALLEST_ENTRY).min(limits.tensors);
        let count = u64::try_from(count).ok().filter(|&count| count > 0);
        let Some(count) = count.filter(|&count| count <= possible) else {
            return Err(Error::malformed(
                "is no importance matrix: it neither begins with GGUF nor with a number of entries that it could have",
            ));
        };
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            // Of two entries of one name llama.cpp takes the second.
            let (name, entry) = scan.entry(limits)?;
            entries.insert(name, entry);
        }
        let about = scan.about(limits)?;
        Ok((Self { source, entries }, about))
    }

    pub(super) fn entries(&self) -> BTreeMap<String, usize> {
        let lens = self.entries.iter();
        lens.map(|(name, entry)| (name.clone(), entry.len))
            .collect()
    }

    /// The mean squares: llama-quantize divides by the number of chunks.
    pub(super) fn weights(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some((mut weights, calls)) = self.read(name)? else {
            return Ok(None);
        };
        if calls > 0 {
            weights
                .iter_mut()
                .for_each(|weight| *weight /= float(calls));
        }
        Ok(Some(weights))
    }

    /// Sums and counts as llama-imatrix restores them, with so many tokens a chunk.
    pub(super) fn statistics(&self, name: &str, chunk: NonZeroU32) -> Result<Option<Statistics>> {
        let Some((mut sums, calls)) = self.read(name)? else {
            return Ok(None);
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "llama-imatrix multiplies in f32"
        )]
        sums.iter_mut().for_each(|sum| *sum *= chunk.get() as f32);
        let calls = u64::try_from(calls).map_err(|_| {
            Error::malformed(format!(
                "a number of chunks is {calls}; the importance matrix is damaged"
            ))
        })?;
        Statistics::new(sums, vec![calls * u64::from(chunk.get())]).map(Some)
    }

    fn read(&self, name: &str) -> Result<Option<(Vec<f32>, i32)>> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        let read = |bytes: &mut [u8]| self.source.read_exact_at(bytes, entry.offset);
        let values = floats(entry.len, read)?;
        // Checked as sums of squares are, whatever they were multiplied by.
        let checked = Statistics::new(values, vec![1])?;
        Ok(Some((checked.into_weights()?, entry.calls)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "llama-quantize divides in f32")]
fn float(calls: i32) -> f32 {
    calls as f32
}

/// A position in the file.
struct Scan<'f> {
    source: &'f FileSource,
    at: u64,
}

impl Scan<'_> {
    fn entry(&mut self, limits: &Limits) -> Result<(String, Entry)> {
        let len = self.number("the length of a tensor's name")?;
        let name = self.text("a tensor's name", len, limits.name_bytes)?;
        let name = String::from_utf8(name).map_err(|e| {
            let name = e.as_bytes().escape_ascii();
            Error::malformed(format!("a tensor's name is not UTF-8: '{name}'"))
        })?;
        let entry = self.values();
        Ok((name.clone(), entry.map_err(|e| e.in_tensor(name))?))
    }

    fn values(&mut self) -> Result<Entry> {
        let calls = self.number("a number of chunks")?;
        let count = self.number("a number of values")?;
        let len = usize::try_from(count).ok().filter(|&len| len > 0);
        let bytes = len.and_then(|len| (len as u64).checked_mul(4));
        let (Some(len), Some(bytes)) = (len, bytes.filter(|&bytes| bytes <= self.left())) else {
            return Err(Error::malformed(format!(
                "says that it has {count} values, but {} bytes follow; the importance matrix is damaged or incomplete",
                self.left()
            )));
        };
        let offset = self.at;
        self.at += bytes;
        Ok(Entry { offset, len, calls })
    }

    /// What follows the entries; the first files had nothing there.
    fn about(&mut self, limits: &Limits) -> Result<About> {
        let mut about = About::default();
        if self.left() == 0 {
            return Ok(about);
        }
        about.chunks = self.number("the number of chunks")?;
        if self.left() == 0 {
            return Ok(about);
        }
        let len = self.number("the length of the data set's name")?;
        // llama.cpp reads no name of a negative length, and minds it no more than an empty one.
        let dataset = self.text("the data set's name", len.max(0), limits.name_bytes)?;
        if !dataset.is_empty() {
            about.datasets.push(dataset.into());
        }
        Ok(about)
    }

    /// A string of a length from the file. llama.cpp takes it for one of C, which ends with a NUL.
    fn text(&mut self, what: &str, stated: i32, longest: u64) -> Result<Vec<u8>> {
        let len = u64::try_from(stated).ok();
        let Some(len) = len.filter(|&len| len <= self.left()) else {
            return Err(Error::malformed(format!(
                "{what} should have {stated} bytes, but {} follow; the importance matrix is damaged or incomplete",
                self.left()
            )));
        };
        if len > longest {
            return Err(Error::limit(format!(
                "{what} has {len} bytes, more than the limit of {longest}"
            )));
        }
        // Within the limit, so a valid usize.
        let mut text = vec![0; len as usize];
        self.read(&mut text)?;
        if let Some(end) = text.iter().position(|byte| *byte == 0) {
            text.truncate(end);
        }
        Ok(text)
    }

    fn number(&mut self, what: &str) -> Result<i32> {
        let mut number = [0; 4];
        if self.left() < number.len() as u64 {
            return Err(Error::malformed(format!(
                "ends before {what}; the importance matrix is incomplete"
            )));
        }
        self.read(&mut number)?;
        Ok(i32::from_le_bytes(number))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source.read_exact_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn left(&self) -> u64 {
        self.source.len() - self.at
    }
}

//! The header of one file: a JSON object of tensors and strings.

use super::unique::Entries;
use super::{LENGTH_BYTES, MAX_HEADER, METADATA_KEY, TYPES};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::{Metadata, TensorInfo};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What one file says, checked against the file's length.
pub(super) struct Header {
    pub(super) metadata: Metadata,
    /// The tensors by name, as the safetensors library lists them.
    pub(super) tensors: Vec<TensorInfo>,
    /// The offset in the file of every tensor's first byte.
    pub(super) offsets: Vec<u64>,
}

/// A tensor as the header describes it; its offsets count from the end of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

struct Stored {
    info: TensorInfo,
    start: u64,
    end: u64,
}

impl Header {
    /// Parses and checks the header of `source`.
    pub(super) fn parse(source: &FileSource, limits: &Limits) -> Result<Self> {
        Self::parse_unnamed(source, limits).map_err(|e| e.in_file(source.path()))
    }

    fn parse_unnamed(source: &FileSource, limits: &Limits) -> Result<Self> {
        let text = read_json(source, limits)?;
        let data = LENGTH_BYTES + text.len() as u64;
        let Entries(entries) = serde_json::from_str::<Entries<&RawValue>>(&text)
            .map_err(|e| Error::malformed(format!("its header is no valid JSON object: {e}")))?;
        if entries.len() as u64 > limits.tensors {
            return Err(Error::limit(format!(
                "has {} tensors, more than the limit of {}",
                entries.len(),
                limits.tensors
            )));
        }
        let mut metadata = Metadata::new();
        let mut tensors = Vec::new();
        for (name, raw) in entries {
            if name == METADATA_KEY {
                metadata = parse_metadata(raw)?;
            } else {
                let stored = parse_tensor(&name, raw, limits).map_err(|e| e.in_tensor(name))?;
                tensors.push(stored);
            }
        }
        check_cover(&mut tensors, source.len() - data)?;
        tensors.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let offsets = tensors.iter().map(|tensor| data + tensor.start).collect();
        Ok(Self {
            metadata,
            tensors: tensors.into_iter().map(|tensor| tensor.info).collect(),
            offsets,
        })
    }
}

/// Reads the header's text behind its length.
fn read_json(source: &FileSource, limits: &Limits) -> Result<String> {
    let mut len = [0; LENGTH_BYTES as usize];
    source.read_exact_at(&mut len, 0)?;
    let len = u64::from_le_bytes(len);
    let rest = source.len().saturating_sub(LENGTH_BYTES);
    if len > rest {
        return Err(Error::malformed(format!(
            "says that its header has {len} bytes, but only {rest} follow; it is no safetensors file, or incomplete"
        )));
    }
    let limit = limits.header_bytes.min(MAX_HEADER);
    if len > limit {
        return Err(Error::limit(format!(
            "its header has {len} bytes, more than the limit of {limit}"
        )));
    }
    // One byte tells text from something else before much of that is read.
    let mut first = [0];
    if len > 0 {
        source.read_exact_at(&mut first, LENGTH_BYTES)?;
    }
    if first != *b"{" {
        return Err(Error::malformed("its header does not begin with '{'"));
    }
    let mut text = vec![0; len as usize];
    source.read_exact_at(&mut text, LENGTH_BYTES)?;
    String::from_utf8(text).map_err(|e| Error::malformed(format!("its header is not UTF-8: {e}")))
}

fn parse_metadata(raw: &RawValue) -> Result<Metadata> {
    let entries = serde_json::from_str::<Option<Entries<String>>>(raw.get()).map_err(|e| {
        Error::malformed(format!("must be an object of strings: {e}")).in_key(METADATA_KEY)
    })?;
    let entries = entries.map_or_else(Vec::new, |Entries(entries)| entries);
    Ok(entries.into_iter().map(|(k, v)| (k, v.into())).collect())
}

fn parse_tensor(name: &str, raw: &RawValue, limits: &Limits) -> Result<Stored> {
    if name.len() as u64 > limits.name_bytes {
        return Err(Error::limit(format!(
            "the name has {} bytes, more than the limit of {}",
            name.len(),
            limits.name_bytes
        )));
    }
    let entry: Entry = serde_json::from_str(raw.get())
        .map_err(|e| Error::malformed(format!("its entry in the header is wrong: {e}")))?;
    if entry.shape.len() as u64 > u64::from(limits.dimensions) {
        return Err(Error::limit(format!(
            "has {} dimensions, more than the limit of {}",
            entry.shape.len(),
            limits.dimensions
        )));
    }
    let dtype = element_type(&entry.dtype)?;
    // A shape that overflows is the file's fault, not the caller's.
    let bytes = dtype
        .tensor_bytes(&entry.shape)
        .map_err(|e| Error::malformed(format!("has an impossible shape: {e}")))?;
    let (start, end) = entry.data_offsets;
    if end.checked_sub(start) != Some(bytes as u64) {
        return Err(Error::malformed(format!(
            "its offsets {start} to {end} do not hold the {bytes} bytes of {dtype} {:?}",
            entry.shape
        )));
    }
    let info = TensorInfo {
        name: name.to_owned(),
        dtype,
        shape: entry.shape,
    };
    Ok(Stored { info, start, end })
}

fn element_type(name: &str) -> Result<DType> {
    let known = TYPES.iter().find(|(known, _)| *known == name);
    known.map(|&(_, dtype)| dtype).ok_or_else(|| {
        let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
        Error::unsupported(format!(
            "its element type '{name}' cannot be read; the types are {}",
            names.join(", ")
        ))
    })
}

/// Fails unless the tensors follow each other without gaps and fill the file. The safetensors
/// library asks for the same: nothing can hide between tensors.
fn check_cover(tensors: &mut [Stored], data_len: u64) -> Result<()> {
    tensors.sort_by_key(|tensor| (tensor.start, tensor.end));
    let mut expected = 0;
    for tensor in tensors.iter() {
        let fault = if tensor.end > data_len {
            format!("ends behind the file's {data_len} bytes of data; the file is incomplete")
        } else if tensor.start < expected {
            format!("begins at {}, inside another tensor", tensor.start)
        } else if tensor.start > expected {
            format!(
                "begins at {}, but the one before ends at {expected}",
                tensor.start
            )
        } else {
            expected = tensor.end;
            continue;
        };
        return Err(Error::malformed(fault).in_tensor(&tensor.info.name));
    }
    if expected == data_len {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "has {} bytes that belong to no tensor",
        data_len - expected
    )))
}

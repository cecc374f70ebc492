//! What a file to be written looks like.

use super::{LENGTH_BYTES, MAX_HEADER, METADATA_KEY, TYPES};
use crate::error::{Error, Result};
use crate::format::Layout;
use crate::model::{Metadata, TensorInfo};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::HashSet;

/// Lays out a file as the safetensors library does: tensors sorted by type (wide ones first, which
/// aligns them), then by name; the header padded with spaces to whole 8 bytes. The offsets of the
/// [`Layout`] are in the order of `tensors`; empty metadata are left out.
///
/// # Errors
/// `misuse` for types that safetensors lack, two tensors of one name, a tensor called
/// `__metadata__` and metadata that are no strings; `limit` for sizes that overflow and headers
/// that are longer than the library reads.
pub fn layout(tensors: &[TensorInfo], metadata: &Metadata) -> Result<Layout> {
    let mut names = HashSet::with_capacity(tensors.len());
    let mut ranked = Vec::with_capacity(tensors.len());
    for (index, info) in tensors.iter().enumerate() {
        if !names.insert(&info.name) || info.name == METADATA_KEY {
            return Err(Error::misuse("this name is taken").in_tensor(&info.name));
        }
        ranked.push((rank(info)?, info, index));
    }
    ranked.sort_by(|(left, a, _), (right, b, _)| right.cmp(left).then_with(|| a.name.cmp(&b.name)));
    let mut offsets = vec![0; tensors.len()];
    let mut entries = Vec::with_capacity(tensors.len());
    let mut data_len = 0u64;
    for (rank, info, index) in ranked {
        offsets[index] = data_len;
        let end = end(info, data_len)?;
        entries.push(Entry {
            info,
            dtype: TYPES[rank].0,
            offsets: [data_len, end],
        });
        data_len = end;
    }
    let head = head(&entries, &strings(metadata)?)?;
    let data = head.len() as u64;
    offsets.iter_mut().for_each(|offset| *offset += data);
    let file_len = data.checked_add(data_len).ok_or_else(too_large)?;
    Ok(Layout {
        head,
        offsets,
        file_len,
    })
}

/// The place of the tensor's type in the library's order.
fn rank(info: &TensorInfo) -> Result<usize> {
    TYPES
        .iter()
        .position(|&(_, dtype)| dtype == info.dtype)
        .ok_or_else(|| {
            Error::misuse(format!(
                "safetensors have no type for {}; convert it",
                info.dtype
            ))
            .in_tensor(&info.name)
        })
}

fn end(info: &TensorInfo, start: u64) -> Result<u64> {
    let bytes = info.dtype.tensor_bytes(&info.shape);
    let bytes = bytes.map_err(|e| e.in_tensor(&info.name))?;
    start
        .checked_add(bytes as u64)
        .ok_or_else(|| too_large().in_tensor(&info.name))
}

fn too_large() -> Error {
    Error::limit("the file would have more than 2^64 bytes")
}

fn strings(metadata: &Metadata) -> Result<Vec<(&str, &str)>> {
    let strings = metadata.iter().map(|(key, value)| {
        let text = value.as_str().ok_or_else(|| {
            Error::misuse("safetensors hold only UTF-8 strings as metadata").in_key(key)
        });
        text.map(|text| (key.as_str(), text))
    });
    strings.collect()
}

fn head(entries: &[Entry], metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut head = vec![0; LENGTH_BYTES as usize];
    serde_json::to_writer(&mut head, &HeaderJson { entries, metadata })
        .map_err(|e| Error::misuse(format!("the header cannot be written: {e}")))?;
    head.resize(head.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    let len = head.len() as u64 - LENGTH_BYTES;
    if len > MAX_HEADER {
        return Err(Error::limit(format!(
            "the header would have {len} bytes, but the safetensors library reads {MAX_HEADER}"
        )));
    }
    head[..LENGTH_BYTES as usize].copy_from_slice(&len.to_le_bytes());
    Ok(head)
}

struct HeaderJson<'a> {
    entries: &'a [Entry<'a>],
    metadata: &'a [(&'a str, &'a str)],
}

impl Serialize for HeaderJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA_KEY, &Strings(self.metadata))?;
        }
        for entry in self.entries {
            map.serialize_entry(&entry.info.name, entry)?;
        }
        map.end()
    }
}

struct Strings<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Strings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

struct Entry<'a> {
    info: &'a TensorInfo,
    dtype: &'static str,
    offsets: [u64; 2],
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("dtype", self.dtype)?;
        map.serialize_entry("shape", &self.info.shape)?;
        map.serialize_entry("data_offsets", &self.offsets)?;
        map.end()
    }
}

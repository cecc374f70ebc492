//! What a file to be written looks like: its header's bytes and every tensor's place.

use super::header::alignment;
use super::values::{write_string, write_value};
use super::{ALIGNMENT_KEY, MAGIC, MAX_DIMS, MAX_NAME, VERSION};
use crate::error::{Error, Result};
use crate::format::Layout;
use crate::model::{Metadata, TensorInfo, Value};
use std::collections::HashSet;

/// The largest alignment written: more would only make holes.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// Whose habits a file follows, where the two programs that write GGUF differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// llama.cpp's (`gguf_write_to_file`, llama-quantize): outer dimensions of 1 are not stored; a
    /// file without tensors is padded to the alignment.
    #[default]
    Ggml,
    /// gguf-py's (`GGUFWriter`, convert_hf_to_gguf.py): every dimension is stored; a file without
    /// tensors ends with its last key.
    GgufPy,
}

/// Lays out a GGUF file of version 3, little-endian, aligned as the key `general.alignment` says
/// (by 32 without it). Tensors lie in the given order; every one is padded, the last too.
///
/// # Errors
/// `misuse` for types that ggml lacks, names of 64 bytes or more, more than 4 dimensions, two
/// tensors of one name, and an alignment that is no power of two; `limit` for sizes that overflow.
pub fn layout(tensors: &[TensorInfo], metadata: &Metadata, dialect: Dialect) -> Result<Layout> {
    let mut names = HashSet::with_capacity(tensors.len());
    let mut head = Vec::new();
    head.extend(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        check_key(key, value)?;
        write_string(&mut head, key.as_bytes());
        write_value(&mut head, value);
    }
    let alignment = alignment(metadata, Error::misuse)?;
    let mut offsets = Vec::with_capacity(tensors.len());
    let mut data_len = 0;
    for info in tensors {
        let next = check_tensor(info)
            .and_then(|bytes| padded_end(data_len, bytes, alignment))
            .map_err(|e| e.in_tensor(&info.name))?;
        if !names.insert(&info.name) {
            let error = Error::misuse("there are two tensors of this name");
            return Err(error.in_tensor(&info.name));
        }
        write_info(&mut head, info, data_len, dialect);
        offsets.push(data_len);
        data_len = next;
    }
    let head_len = head.len() as u64;
    let data = match (dialect, tensors) {
        (Dialect::GgufPy, []) => head_len,
        _ => head_len.next_multiple_of(alignment),
    };
    let file_len = data.checked_add(data_len).ok_or_else(too_large)?;
    offsets.iter_mut().for_each(|offset| *offset += data);
    Ok(Layout {
        head,
        offsets,
        file_len,
    })
}

/// Fails for what cannot be a key, and for alignments that cannot be.
pub(super) fn check_key(key: &str, value: &Value) -> Result<()> {
    if key.is_empty() {
        return Err(Error::misuse("a metadata key must have a name"));
    }
    if key != ALIGNMENT_KEY {
        return Ok(());
    }
    let only = Metadata::from_iter([(key.to_owned(), value.clone())]);
    let alignment = alignment(&only, Error::misuse)?;
    if alignment > MAX_ALIGNMENT {
        return Err(Error::limit(format!(
            "an alignment of {alignment} is more than the limit of {MAX_ALIGNMENT}"
        ))
        .in_key(key));
    }
    Ok(())
}

/// The number of bytes of a tensor, if GGUF can hold it.
pub(super) fn check_tensor(info: &TensorInfo) -> Result<u64> {
    if info.name.len() >= MAX_NAME {
        return Err(Error::misuse(format!(
            "the name has {} bytes, but llama.cpp reads names of less than {MAX_NAME}",
            info.name.len()
        )));
    }
    if info.shape.len() > MAX_DIMS {
        return Err(Error::misuse(format!(
            "has {} dimensions, but GGUF tensors have at most {MAX_DIMS}",
            info.shape.len()
        )));
    }
    if info.dtype.ggml_id().is_none() {
        return Err(Error::misuse(format!(
            "GGUF has no type for {}; convert it",
            info.dtype
        )));
    }
    info.dtype
        .tensor_bytes(&info.shape)
        .map(|bytes| bytes as u64)
}

fn write_info(head: &mut Vec<u8>, info: &TensorInfo, offset: u64, dialect: Dialect) {
    write_string(head, info.name.as_bytes());
    let dims = stored_dims(&info.shape, dialect);
    head.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|dim| head.extend(dim.to_le_bytes()));
    head.extend(info.dtype.id().to_le_bytes());
    head.extend(offset.to_le_bytes());
}

/// The dimensions in ggml's order, the contiguous one first.
fn stored_dims(shape: &[usize], dialect: Dialect) -> Vec<u64> {
    let mut dims: Vec<u64> = shape.iter().rev().map(|&dim| dim as u64).collect();
    if dialect == Dialect::Ggml {
        let used = dims.iter().rposition(|&dim| dim != 1).map_or(1, |i| i + 1);
        dims.resize(used, 1);
    }
    dims
}

fn padded_end(offset: u64, bytes: u64, alignment: u64) -> Result<u64> {
    bytes
        .checked_next_multiple_of(alignment)
        .and_then(|padded| offset.checked_add(padded))
        .ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::limit("the file would have more than 2^64 bytes")
}

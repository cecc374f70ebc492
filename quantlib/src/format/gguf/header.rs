//! The header of one file: magic, version, metadata, and where the tensors lie.

use super::cursor::Cursor;
use super::values::read_value;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAX_DIMS, endian};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::{Metadata, TensorInfo, Value};

/// What one file says, checked against the file's length.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) big_endian: bool,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
    /// The offset in the file of every tensor's first byte.
    pub(super) offsets: Vec<u64>,
}

impl Header {
    /// Parses and checks the header of `source`.
    pub(super) fn parse(source: &FileSource, limits: &Limits) -> Result<Self> {
        Self::parse_unnamed(source, limits).map_err(|e| e.in_file(source.path()))
    }

    fn parse_unnamed(source: &FileSource, limits: &Limits) -> Result<Self> {
        let mut cursor = Cursor::new(source, limits);
        let big_endian = read_start(&mut cursor)?;
        // The shortest tensor has an empty name and no dimensions, the shortest key one byte.
        let tensor_count = read_count(&mut cursor, 24, limits.tensors, "tensors")?;
        let key_count = read_count(&mut cursor, 14, limits.metadata_keys, "metadata keys")?;
        let metadata = read_metadata(&mut cursor, key_count)?;
        let alignment = alignment(&metadata, Error::malformed)?;
        let mut tensors = Vec::new();
        let mut offsets = Vec::new();
        for _ in 0..tensor_count {
            let (info, offset) = read_tensor(&mut cursor)?;
            if big_endian {
                endian::check(info.dtype).map_err(|e| e.in_tensor(&info.name))?;
            }
            check_alignment(offset, alignment).map_err(|e| e.in_tensor(&info.name))?;
            tensors.push(info);
            offsets.push(offset);
        }
        let data = cursor.offset().next_multiple_of(alignment);
        for (info, offset) in tensors.iter().zip(&mut offsets) {
            *offset =
                place(info, data, *offset, source.len()).map_err(|e| e.in_tensor(&info.name))?;
        }
        check_overlap(&tensors, &offsets)?;
        Ok(Self {
            big_endian,
            metadata,
            tensors,
            offsets,
        })
    }
}

/// Reads magic and version; the version tells the byte order, which is returned.
fn read_start(cursor: &mut Cursor) -> Result<bool> {
    let magic: [u8; 4] = cursor.number()?;
    if &magic != super::MAGIC {
        return Err(Error::malformed(format!(
            "does not begin with 'GGUF' but with '{}'; it is no GGUF file",
            magic.escape_ascii()
        )));
    }
    let little: [u8; 4] = cursor.number()?;
    let stored = u32::from_le_bytes(little);
    // Versions are small, so a file of the other byte order has zeros where their low half should be.
    let big_endian = stored & 0xFFFF == 0 && stored != 0;
    cursor.set_big_endian(big_endian);
    match if big_endian {
        stored.swap_bytes()
    } else {
        stored
    } {
        0 => Err(Error::malformed("says that its GGUF version is 0")),
        1 => Err(Error::unsupported(
            "is GGUF version 1, which nothing has written since 2023; convert the original model again",
        )),
        2 | 3 => Ok(big_endian),
        newer => Err(Error::unsupported(format!(
            "is GGUF version {newer}; this version of quantlib knows 2 and 3"
        ))),
    }
}

fn read_count(cursor: &mut Cursor, min_bytes: u64, limit: u64, what: &str) -> Result<u64> {
    let count = cursor.u64()?;
    cursor.expect_room(count, min_bytes, what)?;
    if count > limit {
        return Err(Error::limit(format!(
            "has {count} {what}, more than the limit of {limit}"
        )));
    }
    Ok(count)
}

fn read_metadata(cursor: &mut Cursor, count: u64) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for _ in 0..count {
        let key = cursor.name("metadata key")?;
        if key.is_empty() {
            return Err(Error::malformed("has a metadata key without a name"));
        }
        if metadata.contains_key(&key) {
            return Err(Error::malformed("there are two values for this key").in_key(key));
        }
        let value = read_value(cursor).map_err(|e| e.in_key(&key))?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// The alignment that `metadata` asks for: a power of two, 32 unless it says otherwise. `fault`
/// makes the error of a wrong one.
pub(super) fn alignment(metadata: &Metadata, fault: fn(String) -> Error) -> Result<u64> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(value)) if value.is_power_of_two() => Ok((*value).into()),
        Some(Value::U32(value)) => Err(fault(format!(
            "the alignment must be a power of two, but is {value}"
        ))
        .in_key(ALIGNMENT_KEY)),
        Some(_) => Err(fault("the alignment must be of type u32".to_owned()).in_key(ALIGNMENT_KEY)),
    }
}

/// Reads the description of one tensor; its offset counts from the start of the data.
fn read_tensor(cursor: &mut Cursor) -> Result<(TensorInfo, u64)> {
    let name = cursor.name("tensor name")?;
    let fields = read_tensor_fields(cursor).map_err(|e| e.in_tensor(&name))?;
    let (dtype, shape, offset) = fields;
    Ok((TensorInfo { name, dtype, shape }, offset))
}

fn read_tensor_fields(cursor: &mut Cursor) -> Result<(DType, Vec<usize>, u64)> {
    let dims = cursor.u32()?;
    if dims as usize > MAX_DIMS {
        return Err(Error::malformed(format!(
            "has {dims} dimensions, but GGUF tensors have at most {MAX_DIMS}"
        )));
    }
    let mut shape = Vec::with_capacity(MAX_DIMS);
    for _ in 0..dims {
        let dim = cursor.u64()?;
        // ggml counts in signed 64-bit numbers.
        let dim = usize::try_from(dim)
            .ok()
            .filter(|&d| d <= i64::MAX as usize);
        shape.push(dim.ok_or_else(|| Error::malformed("has a dimension beyond 2^63"))?);
    }
    // ggml's first dimension is the contiguous one.
    shape.reverse();
    let id = cursor.u32()?;
    let dtype = DType::from_id(id)
        .filter(|dtype| dtype.ggml_id().is_some())
        .ok_or_else(|| {
            Error::unsupported(format!(
                "has type number {id}, which is none of ggml {}'s types",
                crate::GGML_VERSION
            ))
        })?;
    // A shape that overflows or has partial blocks is the file's fault, not the caller's.
    dtype
        .tensor_bytes(&shape)
        .map_err(|e| Error::malformed(format!("has an impossible shape: {e}")))?;
    Ok((dtype, shape, cursor.u64()?))
}

fn check_alignment(offset: u64, alignment: u64) -> Result<()> {
    if offset.is_multiple_of(alignment) {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "its offset {offset} is no multiple of the alignment {alignment}"
    )))
}

/// Where in the file the tensor's bytes begin, if they end before the file does.
fn place(info: &TensorInfo, data: u64, offset: u64, file_len: u64) -> Result<u64> {
    let start = data.checked_add(offset);
    let end = start.and_then(|start| start.checked_add(info.nbytes() as u64));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_len => Ok(start),
        _ => Err(Error::malformed(format!(
            "its {} bytes at offset {offset} of the data end behind the file's {file_len} bytes; the file is incomplete",
            info.nbytes()
        ))),
    }
}

/// Fails if two tensors share bytes.
fn check_overlap(tensors: &[TensorInfo], offsets: &[u64]) -> Result<()> {
    let mut ranges: Vec<_> = tensors
        .iter()
        .zip(offsets)
        .filter(|(info, _)| info.nbytes() > 0)
        .map(|(info, &start)| (start, start + info.nbytes() as u64, &info.name))
        .collect();
    ranges.sort_unstable_by_key(|&(start, ..)| start);
    for pair in ranges.windows(2) {
        let [(_, end, first), (start, _, second)] = pair else {
            continue;
        };
        if start < end {
            return Err(
                Error::malformed(format!("its bytes overlap those of tensor '{first}'"))
                    .in_tensor(*second),
            );
        }
    }
    Ok(())
}

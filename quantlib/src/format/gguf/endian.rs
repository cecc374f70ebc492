//! Big-endian files: which bytes of a tensor's blocks are numbers to be turned around.
//!
//! gguf-py defines the layout of quantized blocks in such files (`gguf_convert_endian.py`): only
//! numbers of several bytes are swapped, the packed codes stay.

use crate::dtype::DType;
use crate::error::{Error, Result};

/// The offsets of the half-precision scales in a block, or `None` for a type that is one number.
fn scales(dtype: DType) -> Result<Option<&'static [usize]>> {
    match dtype {
        DType::Q8_0 => Ok(Some(&[0])),
        DType::Q4K => Ok(Some(&[0, 2])),
        DType::Q6K => Ok(Some(&[208])),
        DType::Mxfp4 => Ok(Some(&[])),
        _ if !dtype.is_quantized() => Ok(None),
        _ => Err(Error::unsupported(format!(
            "{dtype} in a big-endian file cannot be read; convert the original model again, or use a little-endian file"
        ))),
    }
}

/// Fails for types whose big-endian layout is not defined.
pub(super) fn check(dtype: DType) -> Result<()> {
    scales(dtype).map(|_| ())
}

/// Turns whole blocks around, in place.
fn swap(dtype: DType, blocks: &mut [u8]) -> Result<()> {
    let scales = scales(dtype)?;
    for block in blocks.chunks_exact_mut(dtype.block_bytes()) {
        match scales {
            None => block.reverse(),
            Some(scales) => scales.iter().for_each(|&at| block.swap(at, at + 1)),
        }
    }
    Ok(())
}

/// Fills `buf` with the tensor's little-endian bytes from `offset` on. `read` reads stored bytes.
pub(super) fn read(
    dtype: DType,
    offset: u64,
    buf: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let block = dtype.block_bytes();
    let partial = |at: u64, out: &mut [u8]| -> Result<()> {
        let inside = (at % block as u64) as usize;
        let mut whole = vec![0; block];
        read(at - inside as u64, &mut whole)?;
        swap(dtype, &mut whole)?;
        out.copy_from_slice(&whole[inside..inside + out.len()]);
        Ok(())
    };
    let before = (offset.next_multiple_of(block as u64) - offset) as usize;
    let (first, rest) = buf.split_at_mut(before.min(buf.len()));
    if !first.is_empty() {
        partial(offset, first)?;
    }
    let aligned = offset + first.len() as u64;
    let whole = rest.len() - rest.len() % block;
    let (middle, last) = rest.split_at_mut(whole);
    if !middle.is_empty() {
        read(aligned, middle)?;
        swap(dtype, middle)?;
    }
    if !last.is_empty() {
        partial(aligned + whole as u64, last)?;
    }
    Ok(())
}

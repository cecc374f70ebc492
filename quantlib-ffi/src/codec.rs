//! Encoding and decoding of tensors in memory.

use crate::dtype::{known, ql_dtype};
use crate::memory::{input, output};
use crate::options::ql_options;
use crate::status::{guard, misuse, ql_status};
use quantlib::{DType, Error, Floats, dequantize_into, quantize_into};
use std::ffi::c_void;

/// Encodes `rows` rows of `cols` floats, as ggml's reference quantizer does, bit for bit.
///
/// `importance` is null or has one weight for each column. `dst_len` must be
/// `rows * ql_row_size(dtype, cols)`.
///
/// # Safety
/// `src` is valid for reads of `rows * cols` floats, `importance` of `cols`, `dst` for writes of
/// `dst_len` bytes that nothing else touches meanwhile; `options` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_quantize(
    dtype: ql_dtype,
    src: *const f32,
    rows: usize,
    cols: usize,
    importance: *const f32,
    dst: *mut c_void,
    dst_len: usize,
    options: *const ql_options,
) -> ql_status {
    let f32_id = DType::F32.id();
    // SAFETY: the caller's promises are those of `ql_quantize_from` for f32.
    unsafe {
        ql_quantize_from(
            dtype,
            f32_id,
            src.cast(),
            rows,
            cols,
            importance,
            dst,
            dst_len,
            options,
        )
    }
}

/// `ql_quantize` from another float type: `src_type` is f32, f16 or bf16.
///
/// # Safety
/// As for `ql_quantize`, with `rows * cols` elements of `src_type` at `src`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_quantize_from(
    dtype: ql_dtype,
    src_type: ql_dtype,
    src: *const c_void,
    rows: usize,
    cols: usize,
    importance: *const f32,
    dst: *mut c_void,
    dst_len: usize,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        let dtype = known(dtype)?;
        let len = rows
            .checked_mul(cols)
            .ok_or_else(|| misuse("rows * cols overflows"))?;
        // SAFETY: the caller promises `len` elements of `src_type`.
        let src = unsafe { floats(known(src_type)?, src, len, "src") }?;
        let weights = match importance.is_null() {
            true => None,
            // SAFETY: not null, so `cols` floats by the caller's promise.
            false => Some(unsafe { input(importance, cols, "importance") }?),
        };
        // SAFETY: the caller promises `dst_len` writable bytes.
        let dst = unsafe { output(dst.cast::<u8>(), dst_len, "dst") }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        quantize_into(src, cols, dtype, weights, &options.codec()?, dst)
    })
}

/// # Safety
/// `src` is valid for reads of `len` elements of `dtype` while `'a` lasts.
pub(crate) unsafe fn floats<'a>(
    dtype: DType,
    src: *const c_void,
    len: usize,
    what: &str,
) -> Result<Floats<'a>, Error> {
    Ok(match dtype {
        // SAFETY: the caller promises `len` elements of this type.
        DType::F32 => Floats::F32(unsafe { input(src.cast(), len, what) }?),
        // SAFETY: the caller promises `len` elements of this type.
        DType::F16 => Floats::F16(unsafe { input(src.cast::<half::f16>(), len, what) }?),
        // SAFETY: the caller promises `len` elements of this type.
        DType::BF16 => Floats::BF16(unsafe { input(src.cast::<half::bf16>(), len, what) }?),
        _ => {
            return Err(misuse(&format!(
                "the type of {what} is not f32, f16 or bf16"
            )));
        }
    })
}

/// Decodes `src_len` bytes of blocks to `len` floats.
///
/// # Safety
/// `src` is valid for reads of `src_len` bytes, `dst` for writes of `len` floats that nothing else
/// touches meanwhile; `options` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_dequantize(
    dtype: ql_dtype,
    src: *const c_void,
    src_len: usize,
    dst: *mut f32,
    len: usize,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        let dtype = known(dtype)?;
        // SAFETY: the caller promises `src_len` readable bytes.
        let src = unsafe { input(src.cast::<u8>(), src_len, "src") }?;
        // SAFETY: the caller promises `len` writable floats.
        let dst = unsafe { output(dst, len, "dst") }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        dequantize_into(src, dtype, &options.codec()?, dst)
    })
}

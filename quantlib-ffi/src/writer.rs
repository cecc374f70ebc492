//! GGUF files from scratch.

use crate::dtype::{known, ql_dtype};
use crate::memory::{give, input, text};
use crate::status::{guard, misuse, ql_status};
use crate::value::{ql_value, to_value};
use quantlib::Error;
use quantlib::format::gguf::Writer;
use quantlib::model::{Array, StringArray, Value};
use std::ffi::{CStr, c_char, c_void};

/// A GGUF file that is being written. It appears, whole, when it is finished.
pub struct ql_gguf_writer {
    writer: Writer,
}

/// Starts a GGUF file at `path`. An existing file is replaced when the new one is finished.
///
/// # Safety
/// `path` is a NUL-terminated string (UTF-8), `out` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_create(
    path: *const c_char,
    out: *mut *mut ql_gguf_writer,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises a NUL-terminated string.
        let writer = Writer::create(unsafe { text(path, "path") }?)?;
        // SAFETY: the caller promises writable memory.
        unsafe { give(out, ql_gguf_writer { writer }) }
    })
}

/// Sets a key to a value: a scalar, a string, or an array of numbers or booleans (`type` is
/// `QL_VALUE_ARRAY`, `element_type` says of what).
///
/// # Safety
/// `writer` is from `ql_gguf_writer_create` and not ended, `key` is a NUL-terminated string, `value`
/// points to a value whose `data` has `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    value: *const ql_value,
) -> ql_status {
    guard(|| {
        // SAFETY: null, or valid by the caller's promise.
        let value = unsafe { value.as_ref() }.ok_or_else(|| misuse("value is a null pointer"))?;
        // SAFETY: the caller promises that the data are there.
        let value = unsafe { to_value(value) }?;
        // SAFETY: the caller promises a live writer and a NUL-terminated key.
        unsafe { set(writer, key, value) }
    })
}

/// Sets a key to a string.
///
/// # Safety
/// `writer` is not ended, `key` and `value` are NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set_string(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    value: *const c_char,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises a NUL-terminated string.
        let value = unsafe { text(value, "value") }?;
        // SAFETY: the caller promises a live writer and a NUL-terminated key.
        unsafe { set(writer, key, value.into()) }
    })
}

/// Sets a key to a 32-bit number, the type of most of GGUF's hyper-parameters.
///
/// # Safety
/// `writer` is not ended, `key` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set_u32(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    value: u32,
) -> ql_status {
    // SAFETY: the caller promises a live writer and a NUL-terminated key.
    guard(|| unsafe { set(writer, key, value.into()) })
}

/// Sets a key to a single-precision number.
///
/// # Safety
/// `writer` is not ended, `key` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set_f32(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    value: f32,
) -> ql_status {
    // SAFETY: the caller promises a live writer and a NUL-terminated key.
    guard(|| unsafe { set(writer, key, value.into()) })
}

/// Sets a key to true (not 0) or false.
///
/// # Safety
/// `writer` is not ended, `key` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set_bool(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    value: u8,
) -> ql_status {
    // SAFETY: the caller promises a live writer and a NUL-terminated key.
    guard(|| unsafe { set(writer, key, (value != 0).into()) })
}

/// Sets a key to an array of `count` strings.
///
/// # Safety
/// `writer` is not ended, `key` and the strings are NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_set_strings(
    writer: *mut ql_gguf_writer,
    key: *const c_char,
    strings: *const *const c_char,
    count: usize,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises `count` pointers.
        let strings = unsafe { input(strings, count, "strings") }?;
        let mut array = StringArray::default();
        for &string in strings {
            if string.is_null() {
                return Err(misuse("one of the strings is a null pointer"));
            }
            // SAFETY: not null, so NUL-terminated by the caller's promise.
            array.push(unsafe { CStr::from_ptr(string) }.to_bytes());
        }
        let value = Value::Array(Array::String(array));
        // SAFETY: the caller promises a live writer and a NUL-terminated key.
        unsafe { set(writer, key, value) }
    })
}

/// Begins a tensor of this row-major shape; `ql_gguf_writer_write` adds its bytes.
///
/// # Safety
/// `writer` is not ended, `name` is a NUL-terminated string, `shape` has `n_dims` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_start_tensor(
    writer: *mut ql_gguf_writer,
    name: *const c_char,
    dtype: ql_dtype,
    shape: *const u64,
    n_dims: u32,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises a NUL-terminated string.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller promises `n_dims` elements.
        let dims = unsafe { input(shape, n_dims as usize, "shape") }?;
        let shape: Result<Vec<usize>, _> = dims.iter().map(|&dim| dim.try_into()).collect();
        let shape = shape.map_err(|_| misuse("a dimension is larger than the address space"))?;
        // SAFETY: the caller promises a live writer.
        let writer = unsafe { live(writer) }?;
        writer.start_tensor(name, known(dtype)?, &shape)
    })
}

/// Adds `len` bytes to the tensor that was begun last.
///
/// # Safety
/// `writer` is not ended, `data` is valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_write(
    writer: *mut ql_gguf_writer,
    data: *const c_void,
    len: usize,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises `len` readable bytes.
        let data = unsafe { input(data.cast::<u8>(), len, "data") }?;
        // SAFETY: the caller promises a live writer.
        unsafe { live(writer) }?.write(data)
    })
}

/// Adds a whole tensor.
///
/// # Safety
/// As for `ql_gguf_writer_start_tensor` and `ql_gguf_writer_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_add_tensor(
    writer: *mut ql_gguf_writer,
    name: *const c_char,
    dtype: ql_dtype,
    shape: *const u64,
    n_dims: u32,
    data: *const c_void,
    len: usize,
) -> ql_status {
    // SAFETY: the caller's promises are those of the two calls.
    match unsafe { ql_gguf_writer_start_tensor(writer, name, dtype, shape, n_dims) } {
        // SAFETY: as above.
        ql_status::QL_OK => unsafe { ql_gguf_writer_write(writer, data, len) },
        failed => failed,
    }
}

/// Completes the file and ends the writer, whatever is returned.
///
/// # Safety
/// `writer` is from `ql_gguf_writer_create` and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_finish(writer: *mut ql_gguf_writer) -> ql_status {
    guard(|| {
        if writer.is_null() {
            return Err(misuse("writer is a null pointer"));
        }
        // SAFETY: from `Box::into_raw` in `ql_gguf_writer_create`, and ended only once.
        unsafe { Box::from_raw(writer) }.writer.finish()
    })
}

/// Ends the writer without a file; what was written is removed. Null is allowed.
///
/// # Safety
/// `writer` is null, or from `ql_gguf_writer_create` and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_gguf_writer_close(writer: *mut ql_gguf_writer) {
    if !writer.is_null() {
        // SAFETY: from `Box::into_raw` in `ql_gguf_writer_create`, and ended only once.
        drop(unsafe { Box::from_raw(writer) });
    }
}

/// # Safety
/// `writer` is live or null, `key` is a NUL-terminated string.
unsafe fn set(writer: *mut ql_gguf_writer, key: *const c_char, value: Value) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let key = unsafe { text(key, "key") }?;
    // SAFETY: the caller's promise.
    unsafe { live(writer) }?.set(key, value)
}

/// # Safety
/// `writer` is null, or not ended while `'a` lasts and used by no other thread.
unsafe fn live<'a>(writer: *mut ql_gguf_writer) -> Result<&'a mut Writer, Error> {
    // SAFETY: null, or live by the caller's promise.
    let writer = unsafe { writer.as_mut() }.ok_or_else(|| misuse("writer is a null pointer"))?;
    Ok(&mut writer.writer)
}

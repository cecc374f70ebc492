//! Views of the caller's memory: the one place where raw pointers become references.

use crate::status::misuse;
use quantlib::Error;
use std::ffi::{CStr, c_char};
use std::slice;

/// Views `len` elements at `data`; an empty slice may have any pointer.
///
/// # Safety
/// Unless `len` is 0, `data` is null or valid for reads of `len` elements while `'a` lasts.
pub(crate) unsafe fn input<'a, T>(
    data: *const T,
    len: usize,
    what: &str,
) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, len, what)?;
    // SAFETY: not null, aligned, not longer than the address space; valid by the caller's promise.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// The same for writing.
///
/// # Safety
/// As for [`input`], for reads and writes, and nothing else touches the elements while `'a` lasts.
pub(crate) unsafe fn output<'a, T>(
    data: *mut T,
    len: usize,
    what: &str,
) -> Result<&'a mut [T], Error> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(data, len, what)?;
    // SAFETY: not null, aligned, not longer than the address space; valid and unshared by the
    // caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(data, len) })
}

fn check<T>(data: *const T, len: usize, what: &str) -> Result<(), Error> {
    if data.is_null() {
        return Err(misuse(&format!("{what} is a null pointer")));
    }
    if !data.is_aligned() {
        return Err(misuse(&format!(
            "{what} is not aligned to {} bytes",
            align_of::<T>()
        )));
    }
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(misuse(&format!("{what} is longer than the address space"))),
    }
}

/// Stores a result where the caller wants it.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
pub(crate) unsafe fn store<T>(out: *mut T, value: T) -> Result<(), Error> {
    if out.is_null() {
        return Err(misuse("the pointer for the result is null"));
    }
    // SAFETY: not null, so valid for a write by the caller's promise.
    unsafe { out.write(value) };
    Ok(())
}

/// Gives the caller a handle, which it must end with the matching call.
///
/// # Safety
/// `out` is null or valid for a write of a pointer.
pub(crate) unsafe fn give<T>(out: *mut *mut T, handle: T) -> Result<(), Error> {
    if out.is_null() {
        return Err(misuse("the pointer for the result is null"));
    }
    // SAFETY: not null, so valid for a write by the caller's promise.
    unsafe { out.write(Box::into_raw(Box::new(handle))) };
    Ok(())
}

/// Reads a C string as UTF-8.
///
/// # Safety
/// `text` is null or a NUL-terminated string that outlives the result.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Error> {
    if text.is_null() {
        return Err(misuse(&format!("{what} is a null pointer")));
    }
    // SAFETY: not null, so NUL-terminated by the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| misuse(&format!("{what} is not UTF-8")))
}

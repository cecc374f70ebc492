//! Look-ups in the table of types.

use crate::memory::{store, text};
use crate::status::{guard, misuse, ql_status};
use quantlib::{DType, Error};
use std::ffi::{CString, c_char};
use std::sync::LazyLock;

/// The number of a tensor type: ggml's own numbers below 1000.
pub type ql_dtype = u32;

pub(crate) fn known(dtype: ql_dtype) -> Result<DType, Error> {
    DType::from_id(dtype).ok_or_else(|| misuse(&format!("there is no tensor type {dtype}")))
}

/// Finds a tensor type by name, in either case: "q4_k", "Q8_0".
///
/// # Safety
/// `name` is a NUL-terminated string, `out` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_dtype_from_name(name: *const c_char, out: *mut ql_dtype) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises a NUL-terminated string.
        let dtype: DType = unsafe { text(name, "name") }?.parse()?;
        // SAFETY: the caller promises writable memory.
        unsafe { store(out, dtype.id()) }
    })
}

/// The name of a tensor type, such as "q4_k"; null for an unknown number. Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn ql_dtype_name(dtype: ql_dtype) -> *const c_char {
    static NAMES: LazyLock<Vec<(u32, CString)>> = LazyLock::new(|| {
        let named = |t: &DType| (t.id(), CString::new(t.name()).unwrap_or_default());
        DType::ALL.iter().map(named).collect()
    });
    let found = NAMES.iter().find(|(id, _)| *id == dtype);
    found.map_or(std::ptr::null(), |(_, name)| name.as_ptr())
}

/// Bytes of a row of `cols` elements; 0 for an unknown type or a row that is no whole number of
/// blocks.
#[unsafe(no_mangle)]
pub extern "C" fn ql_row_size(dtype: ql_dtype, cols: usize) -> usize {
    DType::from_id(dtype)
        .and_then(|dtype| dtype.row_bytes(cols).ok())
        .unwrap_or(0)
}

/// Elements of one block: a row is a whole number of blocks; 0 for an unknown type.
#[unsafe(no_mangle)]
pub extern "C" fn ql_block_len(dtype: ql_dtype) -> usize {
    DType::from_id(dtype).map_or(0, DType::block_len)
}

//! Metadata values as C sees them.

use crate::memory::{input, store};
use crate::status::{guard, misuse, ql_status};
use quantlib::Error;
use quantlib::model::{Array, Value};
use std::ffi::c_void;
use std::ptr;

/// The type of a metadata value; the numbers are GGUF's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ql_value_type {
    /// `uint8_t`
    QL_VALUE_U8 = 0,
    /// `int8_t`
    QL_VALUE_I8 = 1,
    /// `uint16_t`
    QL_VALUE_U16 = 2,
    /// `int16_t`
    QL_VALUE_I16 = 3,
    /// `uint32_t`
    QL_VALUE_U32 = 4,
    /// `int32_t`
    QL_VALUE_I32 = 5,
    /// `float`
    QL_VALUE_F32 = 6,
    /// One byte, 0 or 1.
    QL_VALUE_BOOL = 7,
    /// Bytes, usually UTF-8, without a NUL at the end.
    QL_VALUE_STRING = 8,
    /// Elements of one type.
    QL_VALUE_ARRAY = 9,
    /// `uint64_t`
    QL_VALUE_U64 = 10,
    /// `int64_t`
    QL_VALUE_I64 = 11,
    /// `double`
    QL_VALUE_F64 = 12,
}

use ql_value_type::*;

/// A borrowed metadata value; it lives until the model is closed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ql_value {
    /// What it is: a `ql_value_type`.
    pub r#type: u32,
    /// What an array's elements are; otherwise the same as `type`.
    pub element_type: u32,
    /// Elements of an array, bytes of a string, otherwise 1.
    pub count: usize,
    /// `count` elements of `element_type`; null for arrays of strings or arrays, whose elements
    /// `ql_value_item` gives.
    pub data: *const c_void,
    /// Private.
    pub array: *const c_void,
}

pub(crate) fn borrow(value: &Value) -> ql_value {
    match value {
        Value::U8(v) => scalar(QL_VALUE_U8, v),
        Value::I8(v) => scalar(QL_VALUE_I8, v),
        Value::U16(v) => scalar(QL_VALUE_U16, v),
        Value::I16(v) => scalar(QL_VALUE_I16, v),
        Value::U32(v) => scalar(QL_VALUE_U32, v),
        Value::I32(v) => scalar(QL_VALUE_I32, v),
        Value::F32(v) => scalar(QL_VALUE_F32, v),
        Value::Bool(v) => scalar(QL_VALUE_BOOL, v),
        Value::U64(v) => scalar(QL_VALUE_U64, v),
        Value::I64(v) => scalar(QL_VALUE_I64, v),
        Value::F64(v) => scalar(QL_VALUE_F64, v),
        Value::String(v) => string(v),
        Value::Array(v) => array(v),
    }
}

fn scalar<T>(kind: ql_value_type, value: &T) -> ql_value {
    let kind = kind as u32;
    let data = ptr::from_ref(value).cast();
    ql_value {
        r#type: kind,
        element_type: kind,
        count: 1,
        data,
        array: ptr::null(),
    }
}

fn string(bytes: &[u8]) -> ql_value {
    let kind = QL_VALUE_STRING as u32;
    let data = bytes.as_ptr().cast();
    ql_value {
        r#type: kind,
        element_type: kind,
        count: bytes.len(),
        data,
        array: ptr::null(),
    }
}

fn array(array: &Array) -> ql_value {
    let (element_type, data): (_, *const c_void) = match array {
        Array::U8(v) => (QL_VALUE_U8, v.as_ptr().cast()),
        Array::I8(v) => (QL_VALUE_I8, v.as_ptr().cast()),
        Array::U16(v) => (QL_VALUE_U16, v.as_ptr().cast()),
        Array::I16(v) => (QL_VALUE_I16, v.as_ptr().cast()),
        Array::U32(v) => (QL_VALUE_U32, v.as_ptr().cast()),
        Array::I32(v) => (QL_VALUE_I32, v.as_ptr().cast()),
        Array::F32(v) => (QL_VALUE_F32, v.as_ptr().cast()),
        Array::Bool(v) => (QL_VALUE_BOOL, v.as_ptr().cast()),
        Array::U64(v) => (QL_VALUE_U64, v.as_ptr().cast()),
        Array::I64(v) => (QL_VALUE_I64, v.as_ptr().cast()),
        Array::F64(v) => (QL_VALUE_F64, v.as_ptr().cast()),
        Array::String(_) => (QL_VALUE_STRING, ptr::null()),
        Array::Array(_) => (QL_VALUE_ARRAY, ptr::null()),
    };
    let array_ptr = ptr::from_ref(array).cast();
    ql_value {
        r#type: QL_VALUE_ARRAY as u32,
        element_type: element_type as u32,
        count: array.len(),
        data,
        array: array_ptr,
    }
}

/// The type of this number: C may pass any.
fn known(kind: u32) -> Result<ql_value_type, Error> {
    const ALL: [ql_value_type; 13] = [
        QL_VALUE_U8,
        QL_VALUE_I8,
        QL_VALUE_U16,
        QL_VALUE_I16,
        QL_VALUE_U32,
        QL_VALUE_I32,
        QL_VALUE_F32,
        QL_VALUE_BOOL,
        QL_VALUE_STRING,
        QL_VALUE_ARRAY,
        QL_VALUE_U64,
        QL_VALUE_I64,
        QL_VALUE_F64,
    ];
    let found = ALL.into_iter().find(|known| *known as u32 == kind);
    found.ok_or_else(|| misuse(&format!("there is no value type {kind}")))
}

/// Copies a value of the caller's.
///
/// # Safety
/// `data` is null or valid for reads of `count` elements of the type that the value names.
pub(crate) unsafe fn to_value(value: &ql_value) -> Result<Value, Error> {
    macro_rules! elements {
        ($type:ty) => {
            // SAFETY: the caller promises `count` elements of this type.
            unsafe { input(value.data.cast::<$type>(), value.count, "data") }?
        };
    }
    macro_rules! either {
        ($($kind:ident $type:ty => $variant:ident;)*) => {
            match (known(value.r#type)?, value.element_type) {
                $((QL_VALUE_ARRAY, element) if element == $kind as u32 => Value::Array(Array::$variant(elements!($type).to_vec())),
                ($kind, _) => match elements!($type) {
                    [number] => Value::$variant(*number),
                    _ => return Err(misuse("a number has the count 1")),
                },)*
                (QL_VALUE_STRING, _) => Value::String(elements!(u8).into()),
                (QL_VALUE_BOOL, _) => Value::Bool(elements!(u8) == [1]),
                (QL_VALUE_ARRAY, element) if element == QL_VALUE_BOOL as u32 => {
                    Value::Array(Array::Bool(elements!(u8).iter().map(|b| *b != 0).collect()))
                }
                (QL_VALUE_ARRAY, _) => {
                    return Err(misuse("for an array of strings use ql_gguf_writer_set_strings"));
                }
            }
        };
    }
    Ok(either! {
        QL_VALUE_U8 u8 => U8;
        QL_VALUE_I8 i8 => I8;
        QL_VALUE_U16 u16 => U16;
        QL_VALUE_I16 i16 => I16;
        QL_VALUE_U32 u32 => U32;
        QL_VALUE_I32 i32 => I32;
        QL_VALUE_F32 f32 => F32;
        QL_VALUE_U64 u64 => U64;
        QL_VALUE_I64 i64 => I64;
        QL_VALUE_F64 f64 => F64;
    })
}

/// One element of an array of strings or of arrays.
///
/// # Safety
/// `array` points to a value that this library gave and whose model is still open; `out` points to
/// writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_value_item(
    array: *const ql_value,
    index: usize,
    out: *mut ql_value,
) -> ql_status {
    guard(|| {
        // SAFETY: null, or valid by the caller's promise.
        let value = unsafe { array.as_ref() }.ok_or_else(|| misuse("array is a null pointer"))?;
        // SAFETY: null, or an `Array` of an open model, whose metadata never changes.
        let array = unsafe { value.array.cast::<Array>().as_ref() };
        let item = item(array, index)?;
        // SAFETY: the caller promises writable memory.
        unsafe { store(out, item) }
    })
}

fn item(array_of: Option<&Array>, index: usize) -> Result<ql_value, Error> {
    let found = match array_of {
        Some(Array::String(strings)) => strings.get(index).map(|s| string(s)),
        Some(Array::Array(arrays)) => arrays.get(index).map(array),
        _ => {
            return Err(misuse(
                "the value is no array of strings or arrays; read its data",
            ));
        }
    };
    found.ok_or_else(|| misuse("index is outside the array"))
}

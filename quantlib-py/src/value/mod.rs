//! Metadata values from and to Python.
//!
//! Strings in files need not be UTF-8; bytes that are not become lone surrogates in Python
//! (`surrogateescape`) and the same bytes again on the way back.

mod from_python;

pub(crate) use from_python::{document, from_python};

use bstr::BStr;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use quantlib::model::{Array, Value};

/// The Python value: bool, int, float, str, or a list.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! convert {
        ($($variant:ident)*) => {
            match value {
                $(Value::$variant(v) => v.into_bound_py_any(py),)*
                Value::String(v) => string(py, v.as_ref()),
                Value::Array(v) => list(py, v),
            }
        };
    }
    convert!(U8 I8 U16 I16 U32 I32 U64 I64 F32 F64 Bool)
}

fn list<'py>(py: Python<'py>, array: &Array) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! convert {
        ($($variant:ident)*) => {
            match array {
                $(Array::$variant(v) => PyList::new(py, v)?,)*
                Array::String(v) => {
                    let list = PyList::empty(py);
                    for s in v.iter() {
                        list.append(string(py, s)?)?;
                    }
                    list
                }
                Array::Array(v) => {
                    let list = PyList::empty(py);
                    for inner in v {
                        list.append(self::list(py, inner)?)?;
                    }
                    list
                }
            }
        };
    }
    Ok(convert!(I8 U16 I16 U32 I32 U64 I64 F32 F64 Bool U8).into_any())
}

fn string<'py>(py: Python<'py>, bytes: &BStr) -> PyResult<Bound<'py, PyAny>> {
    match std::str::from_utf8(bytes) {
        Ok(s) => s.into_bound_py_any(py),
        Err(_) => PyBytes::new(py, bytes)
            .call_method1(intern!(py, "decode"), ("utf-8", "surrogateescape")),
    }
}

/// The name of a value's type: `"u32"`, `"string"`, `"[i32]"` for an array, `"[[i32]]"`.
pub(crate) fn type_name(value: &Value) -> String {
    let name = match value {
        Value::U8(_) => "u8",
        Value::I8(_) => "i8",
        Value::U16(_) => "u16",
        Value::I16(_) => "i16",
        Value::U32(_) => "u32",
        Value::I32(_) => "i32",
        Value::U64(_) => "u64",
        Value::I64(_) => "i64",
        Value::F32(_) => "f32",
        Value::F64(_) => "f64",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(array) => return array_type_name(array),
    };
    name.to_owned()
}

fn array_type_name(array: &Array) -> String {
    let name = match array {
        Array::U8(_) => "u8",
        Array::I8(_) => "i8",
        Array::U16(_) => "u16",
        Array::I16(_) => "i16",
        Array::U32(_) => "u32",
        Array::I32(_) => "i32",
        Array::U64(_) => "u64",
        Array::I64(_) => "i64",
        Array::F32(_) => "f32",
        Array::F64(_) => "f64",
        Array::Bool(_) => "bool",
        Array::String(_) => "string",
        Array::Array(inner) => {
            let inner = inner.first().map_or("[]".to_owned(), array_type_name);
            return format!("[{inner}]");
        }
    };
    format!("[{name}]")
}

//! Metadata values from Python, of the type that the caller names or of the one that suits them.

use super::array_type_name;
use crate::errors::misuse;
use crate::model::ModelFile;
use bstr::BString;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};
use quantlib::model::{Array, Metadata, StringArray, Value};

/// Deepest nesting of lists that is taken.
const MAX_DEPTH: usize = 64;

/// The type of one element, as callers name it and as NumPy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    Bool,
    String,
}

impl Scalar {
    /// From GGUF's names in lower case or NumPy's.
    fn of(name: &str) -> PyResult<Self> {
        Ok(match name {
            "u8" | "uint8" => Self::U8,
            "i8" | "int8" => Self::I8,
            "u16" | "uint16" => Self::U16,
            "i16" | "int16" => Self::I16,
            "u32" | "uint32" => Self::U32,
            "i32" | "int32" => Self::I32,
            "u64" | "uint64" => Self::U64,
            "i64" | "int64" => Self::I64,
            "f32" | "float32" => Self::F32,
            "f64" | "float64" => Self::F64,
            "bool" => Self::Bool,
            "string" | "str" => Self::String,
            _ if name.starts_with("str") => Self::String,
            _ => {
                return Err(misuse(format!(
                    "there are no metadata values of type '{name}'; the types are u8, i8, u16, i16, \
                     u32, i32, u64, i64, f32, f64, bool and string, in [] for arrays"
                )));
            }
        })
    }

    fn value(self, x: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(match self {
            Self::U8 => Value::U8(x.extract()?),
            Self::I8 => Value::I8(x.extract()?),
            Self::U16 => Value::U16(x.extract()?),
            Self::I16 => Value::I16(x.extract()?),
            Self::U32 => Value::U32(x.extract()?),
            Self::I32 => Value::I32(x.extract()?),
            Self::U64 => Value::U64(x.extract()?),
            Self::I64 => Value::I64(x.extract()?),
            Self::F32 => Value::F32(x.extract()?),
            Self::F64 => Value::F64(x.extract()?),
            Self::Bool => Value::Bool(x.extract()?),
            Self::String => Value::String(bytes_of(x)?),
        })
    }

    fn array(self, items: &[Bound<'_, PyAny>]) -> PyResult<Array> {
        fn all<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(
            items: &[Bound<'py, PyAny>],
        ) -> PyResult<Vec<T>> {
            items.iter().map(|x| x.extract()).collect()
        }
        Ok(match self {
            Self::U8 => Array::U8(all(items)?),
            Self::I8 => Array::I8(all(items)?),
            Self::U16 => Array::U16(all(items)?),
            Self::I16 => Array::I16(all(items)?),
            Self::U32 => Array::U32(all(items)?),
            Self::I32 => Array::I32(all(items)?),
            Self::U64 => Array::U64(all(items)?),
            Self::I64 => Array::I64(all(items)?),
            Self::F32 => Array::F32(all(items)?),
            Self::F64 => Array::F64(all(items)?),
            Self::Bool => Array::Bool(all(items)?),
            Self::String => {
                let strings = items.iter().map(bytes_of).collect::<PyResult<Vec<_>>>()?;
                Array::String(StringArray::from_iter(strings))
            }
        })
    }
}

/// A metadata value of the type that the caller names, or of the one that suits the Python value:
///
/// bool → bool; int → u32, or i32 if negative, or u64 or i64 if too large; float → f32; str and
/// bytes → string; a list or tuple → an array, of i32 for integers (u32, i64, u64 if they need it).
/// NumPy's scalars and arrays keep their types.
pub(crate) fn from_python(x: &Bound<'_, PyAny>, type_name: Option<&str>) -> PyResult<Value> {
    match type_name {
        None => infer(x),
        Some(name) => match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            None => Scalar::of(name)?.value(x),
            Some(element) => Ok(Value::Array(typed_array(x, element, 0)?)),
        },
    }
}

/// Metadata from a mapping; that of an opened model keeps its exact types.
pub(crate) fn document(x: &Bound<'_, PyAny>) -> PyResult<Metadata> {
    let py = x.py();
    let opened = py.import("quantlib._model")?.getattr("Metadata")?;
    if x.is_instance(&opened)? {
        let file = x.getattr(intern!(py, "_file"))?;
        return Ok(file.cast::<ModelFile>()?.get().model()?.metadata().clone());
    }
    let mut metadata = Metadata::new();
    for item in x.call_method0(intern!(py, "items"))?.try_iter()? {
        let (key, value): (String, Bound<'_, PyAny>) = item?.extract()?;
        let value = infer(&value).inspect_err(|e| {
            let note = format!("in the metadata key '{key}'");
            // Python 3.10 has no notes.
            drop(e.value(py).call_method1(intern!(py, "add_note"), (note,)));
        })?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn infer(x: &Bound<'_, PyAny>) -> PyResult<Value> {
    if is_sequence(x) {
        return Ok(Value::Array(infer_array(x, 0)?));
    }
    scalar_of(x)?.value(x)
}

fn is_sequence(x: &Bound<'_, PyAny>) -> bool {
    x.is_instance_of::<PyList>()
        || x.is_instance_of::<PyTuple>()
        || x.cast::<PyUntypedArray>()
            .is_ok_and(|array| array.ndim() > 0)
}

/// The type that suits one value.
fn scalar_of(x: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    if let Some(dtype) = numpy_name(x)? {
        return Scalar::of(&dtype);
    }
    if x.is_instance_of::<PyBool>() {
        Ok(Scalar::Bool)
    } else if x.is_instance_of::<PyInt>() {
        Ok(match x.extract::<i128>()? {
            v if u32::try_from(v).is_ok() => Scalar::U32,
            v if i32::try_from(v).is_ok() => Scalar::I32,
            v if i64::try_from(v).is_ok() => Scalar::I64,
            _ => Scalar::U64,
        })
    } else if x.is_instance_of::<PyFloat>() {
        Ok(Scalar::F32)
    } else if x.is_instance_of::<PyString>() || x.is_instance_of::<PyBytes>() {
        Ok(Scalar::String)
    } else {
        Err(PyTypeError::new_err(format!(
            "a metadata value is a bool, int, float, str, bytes, NumPy scalar or a list of such, not {}",
            x.get_type().name()?
        )))
    }
}

/// The name of the type of a NumPy scalar or array.
fn numpy_name(x: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    // `str` and `float` subclasses of NumPy have a dtype too; Python's own types have none.
    match x.getattr_opt(intern!(x.py(), "dtype"))? {
        Some(dtype) => Ok(Some(dtype.getattr(intern!(x.py(), "name"))?.extract()?)),
        None => Ok(None),
    }
}

fn items<'py>(x: &Bound<'py, PyAny>, depth: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if depth >= MAX_DEPTH {
        return Err(misuse(format!(
            "lists are nested more than {MAX_DEPTH} deep"
        )));
    }
    x.try_iter()?.collect()
}

fn infer_array(x: &Bound<'_, PyAny>, depth: usize) -> PyResult<Array> {
    let items = items(x, depth)?;
    if items.iter().any(is_sequence) {
        let inner = items.iter().map(|x| infer_array(x, depth + 1));
        return nested(inner.collect::<PyResult<_>>()?);
    }
    let scalar = match numpy_name(x)? {
        Some(dtype) => Scalar::of(&dtype)?,
        None => common(&items)?,
    };
    scalar.array(&items)
}

fn nested(arrays: Vec<Array>) -> PyResult<Array> {
    let mut types = arrays.iter().map(array_type_name);
    let first = types.next();
    if types.any(|t| Some(t) != first) {
        return Err(misuse(
            "the inner lists have different types; name the type, such as type=\"[[i32]]\"",
        ));
    }
    Ok(Array::Array(arrays))
}

/// The type that suits all of the values.
fn common(items: &[Bound<'_, PyAny>]) -> PyResult<Scalar> {
    use Scalar::{F32, I32, I64, U32, U64};
    let mut found = Vec::new();
    for item in items {
        let scalar = match scalar_of(item)? {
            // What fits both counts as signed until something needs the unsigned.
            U32 if item.extract::<i32>().is_ok() => I32,
            scalar => scalar,
        };
        if !found.contains(&scalar) {
            found.push(scalar);
        }
    }
    let within = |types: &[Scalar]| found.iter().all(|s| types.contains(s));
    match found.as_slice() {
        [] => Err(misuse(
            "an empty list has no type; name it, such as type=\"[i32]\", or pass an empty NumPy array",
        )),
        [one] => Ok(*one),
        _ if within(&[I32, U32]) && !negative(items)? => Ok(U32),
        _ if within(&[I32, U32, I64]) => Ok(I64),
        _ if within(&[I32, U32, I64, U64]) && !negative(items)? => Ok(U64),
        _ if within(&[I32, U32, I64, F32]) => Ok(F32),
        _ => Err(misuse(format!(
            "the elements of a list must have one type, but here are {found:?}"
        ))),
    }
}

fn negative(items: &[Bound<'_, PyAny>]) -> PyResult<bool> {
    for item in items {
        if item.lt(0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn typed_array(x: &Bound<'_, PyAny>, element: &str, depth: usize) -> PyResult<Array> {
    let items = items(x, depth)?;
    match element.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        None => Scalar::of(element)?.array(&items),
        Some(inner) => {
            let arrays = items.iter().map(|x| typed_array(x, inner, depth + 1));
            Ok(Array::Array(arrays.collect::<PyResult<_>>()?))
        }
    }
}

fn bytes_of(x: &Bound<'_, PyAny>) -> PyResult<BString> {
    if let Ok(bytes) = x.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().into());
    }
    let string = x.cast::<PyString>()?;
    match string.to_str() {
        Ok(s) => Ok(s.into()),
        Err(_) => {
            let bytes =
                string.call_method1(intern!(x.py(), "encode"), ("utf-8", "surrogateescape"))?;
            Ok(bytes.cast::<PyBytes>()?.as_bytes().into())
        }
    }
}

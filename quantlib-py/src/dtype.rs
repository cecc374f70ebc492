//! Type names, and what this build is.

use crate::errors::to_python;
use pyo3::exceptions::{PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use quantlib::DType;

/// A type's name, ggml id, elements per block, bytes per block, precision, and whether it has a codec.
type Row = (&'static str, Option<u32>, usize, usize, &'static str, bool);

/// One row for each tensor type.
#[pyfunction]
pub fn type_table() -> Vec<Row> {
    DType::ALL
        .iter()
        .map(|t| {
            (
                t.name(),
                t.ggml_id(),
                t.block_len(),
                t.block_bytes(),
                t.precision().name(),
                quantlib::has_codec(*t),
            )
        })
        .collect()
}

/// What this build is and runs on: versions, instruction set, build profile, number of processors.
#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("llama_cpp", quantlib::LLAMA_CPP_VERSION)?;
    info.set_item("ggml", quantlib::GGML_VERSION)?;
    let isa = quantlib::Isa::preferred().map_err(to_python)?;
    info.set_item("isa", isa.name())?;
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    info.set_item("profile", profile)?;
    info.set_item("arch", std::env::consts::ARCH)?;
    info.set_item("os", std::env::consts::OS)?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    info.set_item("threads", threads)?;
    Ok(info)
}

/// Plain element types and what NumPy, or `ml_dtypes` for those of [`needs_ml_dtypes`], calls them.
const ELEMENTS: &[(DType, &str)] = &[
    (DType::F32, "float32"),
    (DType::F16, "float16"),
    (DType::BF16, "bfloat16"),
    (DType::F64, "float64"),
    (DType::I8, "int8"),
    (DType::I16, "int16"),
    (DType::I32, "int32"),
    (DType::I64, "int64"),
    (DType::U8, "uint8"),
    (DType::U16, "uint16"),
    (DType::U32, "uint32"),
    (DType::U64, "uint64"),
    (DType::Bool, "bool"),
    (DType::F8E4M3, "float8_e4m3fn"),
    (DType::F8E5M2, "float8_e5m2"),
    (DType::F8E8M0, "float8_e8m0fnu"),
];

fn needs_ml_dtypes(dtype: DType) -> bool {
    matches!(
        dtype,
        DType::BF16 | DType::F8E4M3 | DType::F8E5M2 | DType::F8E8M0
    )
}

/// The type of an element that NumPy calls by this name.
pub(crate) fn of_element(name: &str) -> PyResult<DType> {
    let known = ELEMENTS.iter().find(|(_, n)| *n == name);
    known.map(|(dtype, _)| *dtype).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "arrays of {name} cannot be stored; convert it first"
        ))
    })
}

/// NumPy's type for plain elements; `None` for quantized types.
pub(crate) fn element(py: Python<'_>, dtype: DType) -> PyResult<Option<Bound<'_, PyAny>>> {
    let Some((_, name)) = ELEMENTS.iter().find(|(known, _)| *known == dtype) else {
        return Ok(None);
    };
    let module = if needs_ml_dtypes(dtype) {
        "ml_dtypes"
    } else {
        "numpy"
    };
    let class = py.import(module).map_err(|e| {
        let message = format!("{name} in NumPy needs the package ml_dtypes: pip install ml_dtypes");
        let error = PyImportError::new_err(message);
        error.set_cause(py, Some(e));
        error
    })?;
    class.getattr(*name).map(Some)
}

/// The type of a name in either case, which may be any `str`, `quantlib.DType` included.
pub(crate) fn parse(name: &str) -> PyResult<DType> {
    name.parse().map_err(to_python)
}

/// The `quantlib.DType` of a type.
pub(crate) fn object(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLASS
        .get_or_try_init(py, || {
            let class = py.import("quantlib._dtype")?.getattr("DType")?;
            Ok::<_, PyErr>(class.unbind())
        })?
        .bind(py)
        .call1((PyString::intern(py, dtype.name()),))
}

//! Type names, and what this build is.

use crate::errors::to_python;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use quantlib::DType;

/// One row for each tensor type: (name, ggml id, elements per block, bytes per block, precision).
#[pyfunction]
pub fn type_table() -> Vec<(&'static str, Option<u32>, usize, usize, &'static str)> {
    DType::ALL
        .iter()
        .map(|t| {
            (
                t.name(),
                t.ggml_id(),
                t.block_len(),
                t.block_bytes(),
                t.precision().name(),
            )
        })
        .collect()
}

/// What this build is: versions, build profile, number of processors.
#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("llama_cpp", quantlib::LLAMA_CPP_VERSION)?;
    info.set_item("ggml", quantlib::GGML_VERSION)?;
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

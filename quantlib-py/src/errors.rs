//! The core's errors as the exception classes of `quantlib/_errors.py`.

use pyo3::prelude::*;
use quantlib::{Error, ErrorKind};

/// A `MisuseError` found here rather than in the core.
pub(crate) fn misuse(message: impl Into<String>) -> PyErr {
    to_python(Error::new(ErrorKind::Misuse, message))
}

/// The exception for an error of the core.
pub(crate) fn to_python(error: Error) -> PyErr {
    Python::attach(|py| exception(py, &error).unwrap_or_else(|failure| failure))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = match error.kind() {
        ErrorKind::Io => "IoError",
        ErrorKind::Malformed => "MalformedError",
        ErrorKind::Misuse => "MisuseError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::Limit => "LimitError",
        ErrorKind::Cancelled => "Cancelled",
        _ => "Error",
    };
    let value = py
        .import("quantlib._errors")?
        .getattr(class)?
        .call1((error.to_string(),))?;
    if let Some(file) = error.file() {
        value.setattr("file", file.as_os_str())?;
    }
    if let Some(tensor) = error.tensor() {
        value.setattr("tensor", tensor)?;
    }
    if let Some(key) = error.key() {
        value.setattr("key", key)?;
    }
    if let Some(errno) = os_error(error) {
        value.setattr("errno", errno)?;
    }
    Ok(PyErr::from_value(value))
}

fn os_error(error: &Error) -> Option<i32> {
    std::error::Error::source(error)?
        .downcast_ref::<std::io::Error>()?
        .raw_os_error()
}

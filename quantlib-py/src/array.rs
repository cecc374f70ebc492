//! Arrays of floats from Python objects, without a copy where that is possible.

use crate::dlpack;
use crate::errors::misuse;
use half::slice::HalfFloatSliceExt;
use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use quantlib::Floats;

/// A C-contiguous array of f32, f16 or bf16. The 16-bit floats are seen through a view of `uint16`,
/// so that neither needs the package `ml_dtypes`.
pub(crate) enum FloatArray<'py> {
    F32(PyReadonlyArrayDyn<'py, f32>),
    F16(PyReadonlyArrayDyn<'py, u16>),
    BF16(PyReadonlyArrayDyn<'py, u16>),
}

impl<'py> FloatArray<'py> {
    /// Borrows `x`: a NumPy array, anything with `__dlpack__` on the CPU, or what `numpy.asarray`
    /// takes. Copies only what is strided, byte-swapped or float64.
    pub(crate) fn of(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let (array, bfloat16) = borrow(x)?;
        if bfloat16 {
            return Ok(Self::BF16(contiguous(array.as_any())?));
        }
        let dtype = array.dtype();
        let name: String = dtype.getattr(intern!(x.py(), "name"))?.extract()?;
        let native: bool = dtype.getattr(intern!(x.py(), "isnative"))?.extract()?;
        let convert = |to: &str| array.call_method1(intern!(x.py(), "astype"), (to,));
        let words = |array: &Bound<'py, PyAny>| contiguous(&view(array, "uint16")?);
        match name.as_str() {
            "float32" if native => Ok(Self::F32(contiguous(array.as_any())?)),
            "float32" | "float64" => Ok(Self::F32(contiguous(&convert("=f4")?)?)),
            "float16" if native => Ok(Self::F16(words(array.as_any())?)),
            "float16" => Ok(Self::F16(words(&convert("=f2")?)?)),
            "bfloat16" => Ok(Self::BF16(words(array.as_any())?)),
            _ => Err(PyTypeError::new_err(format!(
                "an array of {name} was given, but float32, float16, bfloat16 or float64 is needed; \
                 convert it with x.astype(numpy.float32) if that is what you mean"
            ))),
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::F32(x) => x.shape(),
            Self::F16(x) | Self::BF16(x) => x.shape(),
        }
    }

    /// The elements in row-major order.
    pub(crate) fn floats(&self) -> PyResult<Floats<'_>> {
        Ok(match self {
            Self::F32(x) => Floats::F32(x.as_slice()?),
            Self::F16(x) => Floats::F16(bytemuck::cast_slice(x.as_slice()?)),
            Self::BF16(x) => Floats::BF16(bytemuck::cast_slice(x.as_slice()?)),
        })
    }

    /// The elements as f32.
    pub(crate) fn to_f32(&self) -> PyResult<Vec<f32>> {
        Ok(match self.floats()? {
            Floats::F32(x) => x.to_vec(),
            Floats::F16(x) => x.to_f32_vec(),
            Floats::BF16(x) => x.to_f32_vec(),
        })
    }
}

/// `x` as a NumPy array, not copied where that is possible, and whether it is bfloat16 seen as uint16.
pub(crate) fn borrow<'py>(x: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyUntypedArray>, bool)> {
    match x.cast::<PyUntypedArray>() {
        Ok(array) => Ok((array.clone(), false)),
        Err(_) if x.hasattr(intern!(x.py(), "__dlpack__"))? => dlpack::array(x),
        Err(_) => Ok((as_array(x)?, false)),
    }
}

/// The bytes of `data`: an array of bytes, a tensor of bytes, or an object with a buffer.
pub(crate) fn bytes<'py>(data: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArrayDyn<'py, u8>> {
    let py = data.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let array = if data.is_instance_of::<PyUntypedArray>() {
        data.clone()
    } else if data.hasattr(intern!(py, "__dlpack__"))? {
        numpy.call_method1(intern!(py, "from_dlpack"), (data,))?
    } else {
        numpy.call_method1(intern!(py, "frombuffer"), (data, "uint8"))?
    };
    let name: String = array
        .getattr(intern!(py, "dtype"))?
        .getattr(intern!(py, "name"))?
        .extract()?;
    match name.as_str() {
        "uint8" | "int8" => contiguous(&view(&array, "uint8")?),
        _ => Err(PyTypeError::new_err(format!(
            "quantized data is an array of uint8, but {name} was given"
        ))),
    }
}

/// A new array, not initialized, of a NumPy type that is `T`.
pub(crate) fn empty<'py, T: numpy::Element>(
    py: Python<'py>,
    shape: &[usize],
    dtype: &str,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let shape = pyo3::types::PyTuple::new(py, shape)?;
    let array = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "empty"), (shape, dtype))?;
    Ok(array.cast_into()?)
}

/// Bytes as an array, without a copy.
pub(crate) fn of_bytes(py: Python<'_>, bytes: Vec<u8>) -> Bound<'_, PyArrayDyn<u8>> {
    numpy::PyArray1::from_vec(py, bytes).to_dyn().clone()
}

/// Splits a row-major shape into the dimensions before the last and the last.
pub(crate) fn split_columns(shape: &[usize]) -> PyResult<(&[usize], usize)> {
    match shape {
        [before @ .., cols] => Ok((before, *cols)),
        [] => Err(misuse(
            "a scalar has no columns; pass an array of one dimension or more",
        )),
    }
}

/// The same memory with another type of the same size.
pub(crate) fn view<'py>(array: &Bound<'py, PyAny>, dtype: &str) -> PyResult<Bound<'py, PyAny>> {
    array.call_method1(intern!(array.py(), "view"), (dtype,))
}

fn as_array<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let numpy = x.py().import(intern!(x.py(), "numpy"))?;
    let array = numpy.call_method1(intern!(x.py(), "asarray"), (x,))?;
    Ok(array.cast_into()?)
}

/// The array itself if it is C-contiguous and aligned, else a copy that is.
pub(crate) fn contiguous<'py, T: numpy::Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let py = array.py();
    let required = py.import(intern!(py, "numpy"))?.call_method1(
        intern!(py, "require"),
        (array, py.None(), ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"]),
    )?;
    Ok(required.cast_into::<PyArrayDyn<T>>()?.readonly())
}

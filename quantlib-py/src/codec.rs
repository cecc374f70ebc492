//! `quantize`, `dequantize` and `QuantizedTensor`.

use crate::array::{self, FloatArray};
use crate::dtype;
use crate::errors::{misuse, to_python};
use crate::matvec;
use crate::work;
use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantlib::{CodecOptions, DType, Floats, NonFinite};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Up to this many elements are encoded or decoded on the calling thread, in well under a second.
const SMALL: usize = 1 << 16;

/// Elements decoded at a time on the way to 16-bit floats: a multiple of every block length.
const CHUNK: usize = 1 << 20;

/// Encode an array, with exactly the bytes of ggml's reference quantizer.
///
/// Parameters
/// ----------
/// x : array_like
///     float32, float16, bfloat16 (``ml_dtypes``) or float64 (rounded to float32), of one dimension
///     or more; the last dimension is the columns. NumPy arrays, tensors on the CPU with
///     ``__dlpack__`` (PyTorch, JAX), or what ``numpy.asarray`` takes. Contiguous input is not copied.
/// dtype : str
///     The tensor type, such as ``"q4_k"``; see :func:`types`.
/// importance : array_like, optional
///     How much each column matters: shape (columns,), or (experts, columns) where the rows divide
///     evenly among the experts.
/// threads : int, optional
///     Number of threads; all processors by default.
/// non_finite : {"error", "zero"}
///     What to do with NaN and infinities, which no quantized type can hold.
///
/// Returns
/// -------
/// QuantizedTensor
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize(np.ones((2, 64), np.float32), "q8_0")
/// >>> q
/// QuantizedTensor(dtype='q8_0', shape=(2, 64), nbytes=136)
/// >>> q.dequantize()[0, :3].round(2)
/// array([1., 1., 1.], dtype=float32)
#[pyfunction]
#[pyo3(signature = (x, dtype, importance=None, threads=None, *, non_finite="error"))]
pub fn quantize<'py>(
    x: &Bound<'py, PyAny>,
    dtype: &str,
    importance: Option<&Bound<'py, PyAny>>,
    threads: Option<i64>,
    non_finite: &str,
) -> PyResult<QuantizedTensor> {
    let py = x.py();
    let dtype = dtype::parse(dtype)?;
    let mut options = options(threads)?;
    options.non_finite = self::non_finite(non_finite)?;
    let x = FloatArray::of(x)?;
    let (before, cols) = array::split_columns(x.shape())?;
    let importance = importance.map(|w| weights(w, cols)).transpose()?;
    let row_bytes = dtype.row_bytes(cols).map_err(to_python)?;
    let data = array::empty::<u8>(py, &[before, &[row_bytes]].concat(), "uint8")?;
    {
        let mut out = data.readwrite();
        let (out, floats) = (out.as_slice_mut()?, x.floats()?);
        work::run_silently(py, floats.len() <= SMALL, |cancel| {
            options.cancel = cancel;
            quantlib::quantize_into(floats, cols, dtype, importance.as_deref(), &options, out)
        })?;
    }
    Ok(QuantizedTensor {
        dtype,
        shape: x.shape().to_vec(),
        data: data.unbind(),
    })
}

/// What the caller wants done with NaN and infinities.
pub(crate) fn non_finite(wish: &str) -> PyResult<NonFinite> {
    match wish {
        "error" => Ok(NonFinite::Refuse),
        "zero" => Ok(NonFinite::Zero),
        _ => Err(misuse(format!(
            "non_finite is '{wish}'; pass 'error' or 'zero'"
        ))),
    }
}

/// The importance weights in one piece, their shape checked.
fn weights(importance: &Bound<'_, PyAny>, cols: usize) -> PyResult<Vec<f32>> {
    let array = FloatArray::of(importance)?;
    match array.shape() {
        [n] | [_, n] if *n == cols => array.to_f32(),
        shape => Err(misuse(format!(
            "importance has shape {shape:?}; it must be ({cols},) or (experts, {cols})"
        ))),
    }
}

/// Decode bytes of a tensor type, bit-identical to ggml's reference.
///
/// Parameters
/// ----------
/// data : array of uint8, or bytes
///     Encoded rows, in an array of any shape or an object with a buffer.
/// dtype : str
///     The tensor type, such as ``"q4_k"``.
/// shape : tuple of int, optional
///     The shape of the result. By default that of `data`, with elements in place of bytes in the
///     last dimension.
/// threads : int, optional
///     Number of threads; all processors by default.
/// out_dtype : {"float32", "float16", "bfloat16"}
///     The type of the result; "bfloat16" needs the package ``ml_dtypes``.
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize(np.ones((2, 64), np.float32), "q8_0")
/// >>> ql.dequantize(q.data, "q8_0", (2, 64)).shape
/// (2, 64)
#[pyfunction]
#[pyo3(
    signature = (data, dtype, shape=None, threads=None, *, out_dtype=None),
    text_signature = "(data, dtype, shape=None, threads=None, *, out_dtype='float32')"
)]
pub fn dequantize<'py>(
    data: &Bound<'py, PyAny>,
    dtype: &str,
    shape: Option<Vec<usize>>,
    threads: Option<i64>,
    out_dtype: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let dtype = dtype::parse(dtype)?;
    let data = array::bytes(data)?;
    let shape = decoded_shape(&data, dtype, shape)?;
    decode(
        &data,
        dtype,
        &shape,
        FloatType::of(out_dtype)?,
        options(threads)?,
    )
}

/// A quantized tensor: an array of bytes, with the type and shape that give them meaning.
///
/// ``QuantizedTensor(data, dtype, shape=None)`` takes bytes that are encoded already.
#[pyclass(frozen, module = "quantlib")]
pub struct QuantizedTensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Py<PyArrayDyn<u8>>,
}

#[pymethods]
impl QuantizedTensor {
    #[new]
    #[pyo3(signature = (data, dtype, shape=None))]
    fn new(data: &Bound<'_, PyAny>, dtype: &str, shape: Option<Vec<usize>>) -> PyResult<Self> {
        let dtype = dtype::parse(dtype)?;
        let data = array::bytes(data)?;
        let shape = decoded_shape(&data, dtype, shape)?;
        let (before, cols) = array::split_columns(&shape)?;
        let row_bytes = dtype.row_bytes(cols).map_err(to_python)?;
        let data = data.reshape([before, &[row_bytes]].concat())?;
        Ok(Self {
            dtype,
            shape,
            data: data.unbind(),
        })
    }

    /// The encoded rows: uint8, of shape (..., bytes of a row).
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyArrayDyn<u8>> {
        self.data.bind(py).clone()
    }

    /// The tensor type.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        dtype::object(py, self.dtype)
    }

    /// The shape in elements; the last dimension is contiguous.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// The length of `data` in bytes.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> usize {
        self.data.bind(py).len()
    }

    /// Decode to an array of "float32", "float16" or "bfloat16" (which needs ``ml_dtypes``).
    #[pyo3(
        signature = (out_dtype=None, threads=None),
        text_signature = "($self, out_dtype='float32', threads=None)"
    )]
    fn dequantize<'py>(
        &self,
        py: Python<'py>,
        out_dtype: Option<&Bound<'py, PyAny>>,
        threads: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = self.data.bind(py).readonly();
        decode(
            &data,
            self.dtype,
            &self.shape,
            FloatType::of(out_dtype)?,
            options(threads)?,
        )
    }

    /// Multiply with a vector; see :func:`quantlib.matvec`.
    #[pyo3(signature = (x, threads=None))]
    fn matvec<'py>(
        slf: &Bound<'py, Self>,
        x: &Bound<'py, PyAny>,
        threads: Option<i64>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        matvec::matvec(slf, x, threads)
    }

    /// Multiply with a vector of 8-bit integers; see :func:`quantlib.matvec_q8`.
    #[pyo3(signature = (x, threads=None))]
    fn matvec_q8<'py>(
        slf: &Bound<'py, Self>,
        x: &Bound<'py, PyAny>,
        threads: Option<i64>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        matvec::matvec_q8(slf, x, threads)
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        as_numpy(self.dequantize(py, None, None)?, dtype, copy)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "QuantizedTensor(dtype='{}', shape={}, nbytes={})",
            self.dtype,
            self.shape(py)?.repr()?,
            self.nbytes(py)
        ))
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let arguments = (self.data(py), self.dtype.name(), self.shape(py)?);
        Ok((
            py.get_type::<Self>().into_any(),
            arguments.into_pyobject(py)?,
        ))
    }
}

impl QuantizedTensor {
    /// The core's tensor as Python's.
    pub(crate) fn from_core(py: Python<'_>, tensor: quantlib::QuantizedTensor) -> PyResult<Self> {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        let (before, cols) = array::split_columns(&shape)?;
        let row_bytes = dtype.row_bytes(cols).map_err(to_python)?;
        let bytes = array::of_bytes(py, tensor.into_data());
        let data = bytes.reshape([before, &[row_bytes]].concat())?;
        Ok(Self {
            dtype,
            shape,
            data: data.unbind(),
        })
    }

    pub(crate) fn parts(&self) -> (DType, &[usize], &Py<PyArrayDyn<u8>>) {
        (self.dtype, &self.shape, &self.data)
    }
}

/// What `__array__` must return: the decoded array, which is always a copy.
pub(crate) fn as_numpy<'py>(
    decoded: Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = decoded.py();
    if copy == Some(false) {
        return Err(pyo3::exceptions::PyValueError::new_err(
            "an encoded tensor cannot be seen as an array of floats without a copy",
        ));
    }
    match dtype {
        None => Ok(decoded),
        Some(dtype) => decoded.call_method1(intern!(py, "astype"), (dtype,)),
    }
}

/// The floats that decoding can end in.
#[derive(Clone, Copy)]
pub(crate) enum FloatType {
    F32,
    F16,
    BF16,
}

impl FloatType {
    /// From a name or anything that `numpy.dtype` takes; float32 if nothing is said.
    pub(crate) fn of(dtype: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(dtype) = dtype else {
            return Ok(Self::F32);
        };
        let name = match dtype.extract::<String>() {
            Ok(name) => name,
            Err(_) => {
                let py = dtype.py();
                let dtype = py
                    .import(intern!(py, "numpy"))?
                    .call_method1(intern!(py, "dtype"), (dtype,))?;
                dtype.getattr(intern!(py, "name"))?.extract()?
            }
        };
        match name.as_str() {
            "float32" | "f32" => Ok(Self::F32),
            "float16" | "f16" => Ok(Self::F16),
            "bfloat16" | "bf16" => Ok(Self::BF16),
            _ => Err(misuse(format!(
                "out_dtype is '{name}'; decoding ends in float32, float16 or bfloat16"
            ))),
        }
    }
}

pub(crate) fn options(threads: Option<i64>) -> PyResult<CodecOptions> {
    let mut options = CodecOptions::default();
    options.threads = work::threads(threads)?;
    Ok(options)
}

/// The shape in elements: checked against the bytes if given, else made from the shape in bytes.
fn decoded_shape(
    data: &PyReadonlyArrayDyn<'_, u8>,
    dtype: DType,
    shape: Option<Vec<usize>>,
) -> PyResult<Vec<usize>> {
    let shape = match shape {
        Some(shape) => shape,
        None => {
            let (before, row_bytes) = array::split_columns(data.shape())?;
            [
                before,
                &[row_bytes / dtype.block_bytes() * dtype.block_len()],
            ]
            .concat()
        }
    };
    let need = dtype.tensor_bytes(&shape).map_err(to_python)?;
    if data.len() == need {
        return Ok(shape);
    }
    Err(misuse(format!(
        "a {dtype} tensor of shape {shape:?} has {need} bytes, but the data has {}",
        data.len()
    )))
}

/// Decodes to a new array.
pub(crate) fn decode<'py>(
    data: &PyReadonlyArrayDyn<'py, u8>,
    dtype: DType,
    shape: &[usize],
    to: FloatType,
    options: CodecOptions,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let bytes = data.as_slice()?;
    if let FloatType::F32 = to {
        let array = array::empty::<f32>(py, shape, "float32")?;
        let mut out = array.readwrite();
        let out = out.as_slice_mut()?;
        work::run_silently(py, out.len() <= SMALL, |cancel| {
            quantlib::dequantize_into(bytes, dtype, &with(options, cancel), out)
        })?;
        return Ok(array.into_any());
    }
    let array = array::empty::<u16>(py, shape, "uint16")?;
    {
        let mut out = array.readwrite();
        let out = out.as_slice_mut()?;
        work::run_silently(py, out.len() <= SMALL, |cancel| {
            decode_narrow(bytes, dtype, to, &with(options, cancel), out)
        })?;
    }
    match to {
        FloatType::BF16 => {
            array.call_method1(intern!(py, "view"), (dtype::element(py, DType::BF16)?,))
        }
        _ => array::view(&array, "float16"),
    }
}

fn with(mut options: CodecOptions, cancel: Option<Arc<AtomicBool>>) -> CodecOptions {
    options.cancel = cancel;
    options
}

/// Decodes to 16-bit floats, piece by piece, rounding to nearest, ties to even.
fn decode_narrow(
    data: &[u8],
    dtype: DType,
    to: FloatType,
    options: &CodecOptions,
    out: &mut [u16],
) -> quantlib::Result<()> {
    let narrow = match to {
        FloatType::BF16 => DType::BF16,
        _ => DType::F16,
    };
    let mut wide = vec![0.0; out.len().min(CHUNK)];
    let chunk_bytes = CHUNK / dtype.block_len() * dtype.block_bytes();
    for (out, data) in out.chunks_mut(CHUNK).zip(data.chunks(chunk_bytes)) {
        let wide = &mut wide[..out.len()];
        quantlib::dequantize_into(data, dtype, options, wide)?;
        let out = bytemuck::cast_slice_mut(out);
        quantlib::quantize_into(Floats::F32(wide), wide.len(), narrow, None, options, out)?;
    }
    Ok(())
}

//! `matvec` and `matvec_q8`.

use crate::array::{self, FloatArray};
use crate::codec::{self, QuantizedTensor};
use crate::errors::{misuse, to_python};
use crate::work;
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use quantlib::{CodecOptions, Floats, Q8Vector, TensorView};

/// Up to this many elements are multiplied on the calling thread, in well under a second.
const SMALL: usize = 1 << 24;

/// Multiply a quantized matrix with a vector, decoding on the way.
///
/// Parameters
/// ----------
/// q : QuantizedTensor
///     The matrix; all dimensions but the last are rows.
/// x : array_like
///     A vector of as many elements as a row, of the types that :func:`quantize` takes.
/// threads : int, optional
///     Number of threads; all processors by default. The result is the same.
///
/// Returns
/// -------
/// numpy.ndarray
///     float32, of the shape of `q` without its last dimension: products and sums of single precision
///     with the elements that ``q.dequantize()`` gives, in a fixed order.
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize(np.ones((3, 64), np.float32), "f16")
/// >>> ql.matvec(q, np.arange(64, dtype=np.float32))
/// array([2016., 2016., 2016.], dtype=float32)
#[pyfunction]
#[pyo3(signature = (q, x, threads=None))]
pub fn matvec<'py>(
    q: &Bound<'py, QuantizedTensor>,
    x: &Bound<'py, PyAny>,
    threads: Option<i64>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    multiply(q, x, threads, quantlib::matvec_into)
}

/// Multiply a quantized matrix with a vector that is encoded first, as ggml does.
///
/// For quantized rows the vector becomes blocks of 8-bit integers (q8_0, q8_1 or q8_k, as ggml pairs
/// them), and integers are multiplied; for rows of plain floats it is rounded to their type. Parameters
/// and result are those of :func:`matvec`; the result equals ggml's up to the order in which the last
/// sums are rounded. NaN and infinities in `x` are refused where the rows are quantized.
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize(np.ones((3, 64), np.float32), "q8_0")
/// >>> ql.matvec_q8(q, np.ones(64, np.float32)).round(1)
/// array([64., 64., 64.], dtype=float32)
#[pyfunction]
#[pyo3(signature = (q, x, threads=None))]
pub fn matvec_q8<'py>(
    q: &Bound<'py, QuantizedTensor>,
    x: &Bound<'py, PyAny>,
    threads: Option<i64>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    multiply(q, x, threads, |weights, x, options, out| {
        let mut vector = Q8Vector::new(weights.dtype(), x.len())?;
        vector.set(x, options)?;
        quantlib::matvec_q8_into(weights, &vector, options, out)
    })
}

fn multiply<'py>(
    q: &Bound<'py, QuantizedTensor>,
    x: &Bound<'py, PyAny>,
    threads: Option<i64>,
    into: impl Fn(TensorView<'_>, Floats<'_>, &CodecOptions, &mut [f32]) -> quantlib::Result<()> + Sync,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let py = q.py();
    let (dtype, shape, data) = q.get().parts();
    let mut options = codec::options(threads)?;
    let x = FloatArray::of(x)?;
    let (before, cols) = array::split_columns(shape)?;
    if x.shape() != [cols] {
        return Err(misuse(format!(
            "x has shape {:?}; it must be ({cols},), as rows have {cols} elements",
            x.shape()
        )));
    }
    let data = data.bind(py).readonly();
    let weights = TensorView::new(dtype, shape, data.as_slice()?).map_err(to_python)?;
    let result = array::empty::<f32>(py, before, "float32")?;
    {
        let mut out = result.readwrite();
        let (out, x) = (out.as_slice_mut()?, x.floats()?);
        let small = out.len().saturating_mul(cols) <= SMALL;
        work::run_silently(py, small, |cancel| {
            options.cancel = cancel;
            into(weights, x, &options, out)
        })?;
    }
    Ok(result)
}

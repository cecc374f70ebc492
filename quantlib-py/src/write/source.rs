//! What a tensor to be written may be made of.

use crate::array;
use crate::codec::QuantizedTensor;
use crate::dtype;
use crate::model::Tensor;
use crate::work;
use numpy::{PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use quantlib::DType;
use quantlib::model::{Model, TensorInfo};
use std::sync::Arc;

/// Bytes that are read or written between two looks at Ctrl-C.
const PIECE: usize = 16 << 20;

/// A tensor that somebody wants written. Nothing is copied or read before [`Source::write`].
pub(crate) enum Source<'py> {
    Array(Bound<'py, PyUntypedArray>, DType),
    Quantized(Bound<'py, QuantizedTensor>),
    File(Bound<'py, Tensor>),
}

/// Where the bytes are, once the interpreter is released.
enum Bytes<'a> {
    Memory(&'a [u8]),
    File(Arc<Model>, usize, usize),
}

impl<'py> Source<'py> {
    /// An array of plain elements, a `QuantizedTensor` or a `Tensor`.
    pub(crate) fn of(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(quantized) = x.cast::<QuantizedTensor>() {
            return Ok(Self::Quantized(quantized.clone()));
        }
        if let Ok(tensor) = x.cast::<Tensor>() {
            return Ok(Self::File(tensor.clone()));
        }
        let (array, bfloat16) = array::borrow(x)?;
        if bfloat16 {
            return Ok(Self::Array(array, DType::BF16));
        }
        let name: String = array.dtype().getattr(intern!(x.py(), "name"))?.extract()?;
        Ok(Self::Array(array, dtype::of_element(&name)?))
    }

    /// What the file will say of the tensor.
    pub(crate) fn info(&self, name: &str) -> TensorInfo {
        let (dtype, shape) = match self {
            Self::Array(array, dtype) => (*dtype, array.shape()),
            Self::Quantized(quantized) => {
                let (dtype, shape, _) = quantized.get().parts();
                (dtype, shape)
            }
            Self::File(tensor) => {
                let info = tensor.get().info();
                (info.dtype, info.shape.as_slice())
            }
        };
        TensorInfo {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        }
    }

    /// Hands all bytes to `sink`, piece by piece, with the interpreter released.
    pub(crate) fn write(
        &self,
        py: Python<'py>,
        sink: impl FnMut(&[u8]) -> quantlib::Result<()> + Send,
    ) -> PyResult<()> {
        match self {
            Self::Array(array, _) => {
                hand_over(py, Bytes::Memory(little_endian(array)?.as_slice()?), sink)
            }
            Self::Quantized(quantized) => {
                let data = quantized.get().parts().2.bind(py).readonly();
                hand_over(py, Bytes::Memory(data.as_slice()?), sink)
            }
            Self::File(tensor) => {
                let (model, index) = tensor.get().place()?;
                let nbytes = tensor.get().info().nbytes();
                hand_over(py, Bytes::File(model, index, nbytes), sink)
            }
        }
    }
}

fn hand_over(
    py: Python<'_>,
    bytes: Bytes<'_>,
    mut sink: impl FnMut(&[u8]) -> quantlib::Result<()> + Send,
) -> PyResult<()> {
    let len = match &bytes {
        Bytes::Memory(bytes) => bytes.len(),
        Bytes::File(_, _, len) => *len,
    };
    work::run_silently(py, len <= PIECE, |cancel| match bytes {
        Bytes::Memory(bytes) => bytes.chunks(PIECE).try_for_each(|piece| {
            work::check(cancel.as_ref())?;
            sink(piece)
        }),
        Bytes::File(model, index, len) => {
            let mut buffer = vec![0; len.min(PIECE)];
            (0..len).step_by(PIECE).try_for_each(|start| {
                work::check(cancel.as_ref())?;
                let piece = &mut buffer[..(len - start).min(PIECE)];
                model.read_at(index, start as u64, piece)?;
                sink(piece)
            })
        }
    })
}

/// The elements as files have them, in one dimension; copied only if they are not so in memory.
fn little_endian<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<PyReadonlyArrayDyn<'py, u8>> {
    let py = array.py();
    let dtype = array.dtype();
    let native: bool = dtype.getattr(intern!(py, "isnative"))?.extract()?;
    let array = if native {
        array.clone().into_any()
    } else {
        let native = dtype.call_method1(intern!(py, "newbyteorder"), ("=",))?;
        array.call_method1(intern!(py, "astype"), (native,))?
    };
    let flat = array.call_method1(intern!(py, "reshape"), (-1,))?;
    let flat = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "ascontiguousarray"), (flat,))?;
    array::contiguous(&array::view(&flat, "uint8")?)
}

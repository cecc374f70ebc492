//! Opened models: tensors that are read when asked for, metadata that is converted when asked for.

use crate::array;
use crate::codec::{self, FloatType};
use crate::dtype;
use crate::errors::{misuse, to_python};
use crate::value;
use crate::work;
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantlib::model::{Model, TensorInfo};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

/// Bytes that are read between two looks at Ctrl-C.
const PIECE: usize = 16 << 20;

/// A model that its tensors share, until it is closed.
type Shared = Arc<RwLock<Option<Arc<Model>>>>;

fn opened(shared: &Shared) -> PyResult<Arc<Model>> {
    shared
        .read()
        .ok()
        .and_then(|model| model.clone())
        .ok_or_else(|| misuse("the model is closed; read its tensors before that"))
}

/// An open file, under the mappings of `quantlib/_model.py`.
#[pyclass(frozen, module = "quantlib._quantlib")]
pub struct ModelFile(Shared);

#[pymethods]
impl ModelFile {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let model = py.detach(|| quantlib::open(path)).map_err(to_python)?;
        Ok(Self(Arc::new(RwLock::new(Some(Arc::new(model))))))
    }

    fn close(&self) {
        if let Ok(mut model) = self.0.write() {
            *model = None;
        }
    }

    #[getter]
    fn format(&self) -> PyResult<&'static str> {
        Ok(opened(&self.0)?.format())
    }

    fn tensor_names(&self) -> PyResult<Vec<String>> {
        let model = opened(&self.0)?;
        Ok(model.tensors().iter().map(|t| t.name.clone()).collect())
    }

    fn tensor(&self, name: &str) -> PyResult<Tensor> {
        let model = opened(&self.0)?;
        let index = model
            .index_of(name)
            .ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        Ok(Tensor {
            shared: Arc::clone(&self.0),
            info: model.tensors()[index].clone(),
            index,
        })
    }

    fn metadata_keys(&self) -> PyResult<Vec<String>> {
        Ok(opened(&self.0)?.metadata().keys().cloned().collect())
    }

    fn metadata_value<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        value::to_python(py, &self.value(key)?)
    }

    fn metadata_type(&self, key: &str) -> PyResult<String> {
        Ok(value::type_name(&self.value(key)?))
    }
}

impl ModelFile {
    pub(crate) fn model(&self) -> PyResult<Arc<Model>> {
        opened(&self.0)
    }

    fn value(&self, key: &str) -> PyResult<quantlib::model::Value> {
        opened(&self.0)?
            .metadata()
            .get(key)
            .cloned()
            .ok_or_else(|| PyKeyError::new_err(key.to_owned()))
    }
}

/// A tensor in an open file. Nothing is read before :meth:`read` or :meth:`dequantize` is called.
#[pyclass(frozen, module = "quantlib")]
pub struct Tensor {
    shared: Shared,
    info: TensorInfo,
    index: usize,
}

#[pymethods]
impl Tensor {
    /// The name in the file.
    #[getter]
    fn name(&self) -> &str {
        &self.info.name
    }

    /// How the elements are stored.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        dtype::object(py, self.info.dtype)
    }

    /// The shape in elements; the last dimension is contiguous.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.info.shape)
    }

    /// The length in the file, in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.info.nbytes()
    }

    /// Read what is stored: an array of the tensor's own type, or for quantized types the encoded
    /// rows, uint8 of shape (..., bytes of a row). bfloat16 and 8-bit floats need ``ml_dtypes``.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let TensorInfo { dtype, shape, .. } = &self.info;
        let bytes = self.bytes(py)?;
        let Some(element) = dtype::element(py, *dtype)? else {
            let (before, cols) = array::split_columns(shape)?;
            let row_bytes = dtype.row_bytes(cols).map_err(to_python)?;
            return Ok(bytes.reshape([before, &[row_bytes]].concat())?.into_any());
        };
        let elements = bytes.call_method1(intern!(py, "view"), (element,))?;
        elements.call_method1(intern!(py, "reshape"), (self.shape(py)?,))
    }

    /// Read and decode to an array of "float32", "float16" or "bfloat16" (which needs ``ml_dtypes``).
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
        let (to, options) = (FloatType::of(out_dtype)?, codec::options(threads)?);
        let bytes = self.bytes(py)?;
        codec::decode(
            &bytes.readonly(),
            self.info.dtype,
            &self.info.shape,
            to,
            options,
        )
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let values = if self.info.dtype.is_quantized() {
            self.dequantize(py, None, None)?
        } else {
            self.read(py)?
        };
        codec::as_numpy(values, dtype, copy)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "Tensor(name={}, dtype='{}', shape={}, nbytes={})",
            self.info.name.as_str().into_pyobject(py)?.repr()?,
            self.info.dtype,
            self.shape(py)?.repr()?,
            self.nbytes()
        ))
    }
}

impl Tensor {
    /// The stored bytes, in one dimension.
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let model = opened(&self.shared)?;
        let bytes = array::empty::<u8>(py, &[self.nbytes()], "uint8")?;
        {
            let mut out = bytes.readwrite();
            let out = out.as_slice_mut()?;
            work::run_silently(py, out.len() <= PIECE, |cancel| {
                for (i, piece) in out.chunks_mut(PIECE).enumerate() {
                    work::check(cancel.as_ref())?;
                    model.read_at(self.index, (i * PIECE) as u64, piece)?;
                }
                Ok(())
            })?;
        }
        Ok(bytes)
    }

    pub(crate) fn info(&self) -> &TensorInfo {
        &self.info
    }

    /// The open model, and the tensor's index in it.
    pub(crate) fn place(&self) -> PyResult<(Arc<Model>, usize)> {
        Ok((opened(&self.shared)?, self.index))
    }
}

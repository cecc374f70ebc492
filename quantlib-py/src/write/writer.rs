//! Files from tensors.

use super::Source;
use crate::codec;
use crate::errors::{misuse, to_python};
use crate::value;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use quantlib::format::{gguf, safetensors};
use quantlib::model::Metadata;
use std::path::PathBuf;
use std::sync::Mutex;

/// Write a GGUF file, tensor after tensor, in little memory.
///
/// The file appears, whole, when the writer is closed; leaving a ``with`` statement closes it, and
/// an exception discards it. Tensors wait in a temporary file beside the target until then.
///
/// Parameters
/// ----------
/// path : str or os.PathLike
///     The file to write; an existing one is replaced at the end.
/// metadata : mapping, optional
///     Metadata to begin with; see :meth:`add_metadata`. That of an opened model keeps its types.
///
/// Examples
/// --------
/// >>> import numpy as np, tempfile, quantlib as ql
/// >>> path = tempfile.mkdtemp() + "/model.gguf"
/// >>> with ql.GGUFWriter(path, {"general.architecture": "llama"}) as writer:
/// ...     writer.add_metadata("llama.block_count", 2)
/// ...     writer.add_tensor("norm", np.ones(64, np.float32))
/// ...     writer.add_tensor("output", np.ones((2, 64), np.float32), dtype="q8_0")
/// >>> ql.open(path)["output"]
/// Tensor(name='output', dtype='q8_0', shape=(2, 64), nbytes=136)
#[pyclass(frozen, module = "quantlib", name = "GGUFWriter")]
pub struct GgufWriter(Mutex<Option<gguf::Writer>>);

#[pymethods]
impl GgufWriter {
    #[new]
    #[pyo3(signature = (path, metadata=None))]
    fn new(path: PathBuf, metadata: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let metadata = metadata.map_or(Ok(Metadata::new()), value::document)?;
        let mut writer = gguf::Writer::create(path).map_err(to_python)?;
        for (key, value) in metadata {
            writer.set(key, value).map_err(to_python)?;
        }
        Ok(Self(Mutex::new(Some(writer))))
    }

    /// Set a key; one that is set already keeps its place.
    ///
    /// Without `type`: bool is a bool, int a u32 (i32 if negative, u64 or i64 if too large), float
    /// an f32, str and bytes a string, a list or tuple an array (of i32 for integers, if they fit).
    /// NumPy's scalars and arrays keep their types. `type` names another: "u8", "i8", "u16", "i16",
    /// "u32", "i32", "u64", "i64", "f32", "f64", "bool", "string", or an array such as "[i32]".
    #[pyo3(signature = (key, value, r#type=None))]
    fn add_metadata(
        &self,
        key: &str,
        value: &Bound<'_, PyAny>,
        r#type: Option<&str>,
    ) -> PyResult<()> {
        let value = value::from_python(value, r#type)?;
        self.with(|writer| writer.set(key, value).map_err(to_python))
    }

    /// Add a tensor: an array of any type that GGUF knows, stored as it is; a
    /// :class:`QuantizedTensor`; or a :class:`Tensor` of an opened model, copied in pieces. With
    /// `dtype` the values are encoded to that type first, with `importance` as in :func:`quantize`.
    #[pyo3(signature = (name, tensor, dtype=None, importance=None, threads=None))]
    fn add_tensor(
        &self,
        name: &str,
        tensor: &Bound<'_, PyAny>,
        dtype: Option<&str>,
        importance: Option<&Bound<'_, PyAny>>,
        threads: Option<i64>,
    ) -> PyResult<()> {
        let py = tensor.py();
        let source = match dtype {
            None => Source::of(tensor)?,
            Some(dtype) => {
                let quantized = codec::quantize(tensor, dtype, importance, threads, "error")?;
                Source::Quantized(Bound::new(py, quantized)?)
            }
        };
        let info = source.info(name);
        self.with(|writer| {
            writer
                .start_tensor(info.name, info.dtype, &info.shape)
                .map_err(to_python)?;
            source.write(py, |piece| writer.write(piece))
        })
    }

    /// Complete the file and put it in its place.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take() {
            Ok(writer) => py.detach(|| writer.finish()).map_err(to_python),
            // Closing twice is nothing.
            Err(_) => Ok(()),
        }
    }

    /// Give up: no file appears, and an existing one stays.
    fn discard(&self) {
        drop(self.take());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyType>>,
        error: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        match kind {
            None => self.close(py),
            Some(_) => {
                self.discard();
                Ok(())
            }
        }
    }
}

impl GgufWriter {
    fn take(&self) -> PyResult<gguf::Writer> {
        self.0
            .lock()
            .ok()
            .and_then(|mut writer| writer.take())
            .ok_or_else(|| misuse("the writer is closed, or another thread is using it"))
    }

    /// Uses the writer, which no lock protects meanwhile: other threads find it gone.
    fn with<T>(&self, action: impl FnOnce(&mut gguf::Writer) -> PyResult<T>) -> PyResult<T> {
        let mut writer = self.take()?;
        let result = action(&mut writer);
        if let Ok(mut place) = self.0.lock() {
            *place = Some(writer);
        }
        result
    }
}

/// Write tensors and metadata to a file, in little memory.
///
/// Parameters
/// ----------
/// path : str or os.PathLike
///     The file to write, ending in ``.gguf`` or ``.safetensors``; it appears when it is complete.
/// tensors : mapping
///     Names to arrays, :class:`QuantizedTensor` or :class:`Tensor`; an opened model is one.
/// metadata : mapping, optional
///     For GGUF as in :meth:`GGUFWriter.add_metadata`; for safetensors str to str. That of an opened
///     model keeps its types.
///
/// Examples
/// --------
/// >>> import numpy as np, tempfile, quantlib as ql
/// >>> path = tempfile.mkdtemp() + "/model.safetensors"
/// >>> ql.save(path, {"a": np.arange(3)}, {"format": "np"})
/// >>> ql.open(path)["a"].read()
/// array([0, 1, 2])
#[pyfunction]
#[pyo3(signature = (path, tensors, metadata=None))]
pub fn save(
    path: PathBuf,
    tensors: &Bound<'_, PyAny>,
    metadata: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = tensors.py();
    let metadata = metadata.map_or(Ok(Metadata::new()), value::document)?;
    let mut sources = Vec::new();
    let mut infos = Vec::new();
    for item in tensors.call_method0(intern!(py, "items"))?.try_iter()? {
        let (name, tensor): (String, Bound<'_, PyAny>) = item?.extract()?;
        let source = Source::of(&tensor)?;
        infos.push(source.info(&name));
        sources.push(source);
    }
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending.to_str() {
        Some("gguf") => {
            let mut writer = gguf::Writer::create(path).map_err(to_python)?;
            for (key, value) in metadata {
                writer.set(key, value).map_err(to_python)?;
            }
            writer.declare(infos.clone()).map_err(to_python)?;
            for (source, info) in sources.iter().zip(infos) {
                writer
                    .start_tensor(info.name, info.dtype, &info.shape)
                    .map_err(to_python)?;
                source.write(py, |piece| writer.write(piece))?;
            }
            py.detach(|| writer.finish()).map_err(to_python)
        }
        Some("safetensors") => {
            let mut writer =
                safetensors::Writer::create(path, &infos, &metadata).map_err(to_python)?;
            for (index, source) in sources.iter().enumerate() {
                let mut offset = 0;
                source.write(py, |piece| {
                    writer.write_at(index, offset, piece)?;
                    offset += piece.len() as u64;
                    Ok(())
                })?;
            }
            py.detach(|| writer.finish()).map_err(to_python)
        }
        _ => Err(misuse(format!(
            "'{}' names no format that can be written; let it end in .gguf or .safetensors",
            path.display()
        ))),
    }
}

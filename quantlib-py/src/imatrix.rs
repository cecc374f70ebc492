//! Importance matrices: `ImportanceMatrix` under `quantlib/_importance.py`.

use crate::array::{self, FloatArray};
use crate::errors::{misuse, to_python};
use numpy::PyArray1;
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quantlib::arch;
use quantlib::format::hf::Folder;
use quantlib::format::imatrix::{self, Format};
use quantlib::model::{ImportanceMatrix, ImportanceSource, Statistics};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

/// Sums of squared activations and their counts, by tensor name. Jobs share it; a change while one
/// runs makes a copy.
#[pyclass(module = "quantlib._quantlib", name = "ImportanceStore")]
pub struct ImportanceStore {
    matrix: Arc<ImportanceMatrix>,
}

#[pymethods]
impl ImportanceStore {
    #[new]
    fn new() -> Self {
        Self {
            matrix: Arc::default(),
        }
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let matrix = py.detach(|| imatrix::load(path)).map_err(to_python)?;
        Ok(Self {
            matrix: Arc::new(matrix),
        })
    }

    #[pyo3(signature = (path, format=None))]
    fn save(&self, py: Python<'_>, path: PathBuf, format: Option<&str>) -> PyResult<()> {
        let format = match format {
            Some(name) => name.parse().map_err(to_python)?,
            None => Format::of(&path),
        };
        py.detach(|| imatrix::save(path, &self.matrix, format))
            .map_err(to_python)
    }

    fn names(&self) -> Vec<&str> {
        self.matrix.iter().map(|(name, _)| name).collect()
    }

    fn __len__(&self) -> usize {
        self.matrix.len()
    }

    fn __contains__(&self, name: &str) -> bool {
        self.matrix.get(name).is_some()
    }

    /// The weights, of shape (experts, cols) if there are counts for experts, else (cols,).
    fn weights<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let statistics = self.statistics_of(name)?;
        let weights = statistics.weights();
        let weights = weights.map_err(to_python)?;
        shaped(py, weights, statistics.counts().len())
    }

    /// The sums in that shape, and the counts.
    fn statistics<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<u64>>)> {
        let statistics = self.statistics_of(name)?;
        let counts = statistics.counts().to_vec();
        let sums = shaped(py, statistics.sums().to_vec(), counts.len())?;
        Ok((sums, PyArray1::from_vec(py, counts)))
    }

    fn set_weights(&mut self, name: String, weights: &Bound<'_, PyAny>) -> PyResult<()> {
        let weights = FloatArray::of(weights)?.to_f32()?;
        let statistics = Statistics::new(weights, vec![1]).map_err(|e| misuse(e.to_string()))?;
        self.change().set(name, statistics);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> PyResult<()> {
        match self.change().remove(name) {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    /// Adds activations of shape (…, cols), to the experts that took their rows if these are given.
    #[pyo3(signature = (name, activations, experts=None, taken=None))]
    fn accumulate(
        &mut self,
        py: Python<'_>,
        name: &str,
        activations: &Bound<'_, PyAny>,
        experts: Option<usize>,
        taken: Option<Vec<usize>>,
    ) -> PyResult<()> {
        let activations = FloatArray::of(activations)?;
        let (_, cols) = array::split_columns(activations.shape())?;
        let values = activations.to_f32()?;
        let matrix = self.change();
        let added = py.detach(|| match (experts, taken) {
            (None, None) => Ok(matrix.accumulate(name, cols, &values)),
            (Some(experts), Some(taken)) => {
                Ok(matrix.accumulate_experts(name, (experts, cols), &values, &taken))
            }
            _ => Err("give the number of experts and the expert of every row, or neither"),
        });
        added.map_err(misuse)?.map_err(to_python)
    }

    fn merge(&mut self, py: Python<'_>, other: &Bound<'_, Self>) -> PyResult<()> {
        let other = match other.try_borrow() {
            Ok(other) => Arc::clone(&other.matrix),
            // Only this object itself is borrowed already.
            Err(_) => Arc::clone(&self.matrix),
        };
        let matrix = self.change();
        py.detach(|| matrix.merge(&other)).map_err(to_python)
    }

    #[getter]
    fn chunks(&self) -> u32 {
        self.matrix.chunks()
    }

    #[getter]
    fn chunk_size(&self) -> u32 {
        self.matrix.chunk_size.get()
    }

    #[setter]
    fn set_chunk_size(&mut self, size: u32) -> PyResult<()> {
        let size = NonZeroU32::new(size);
        self.change().chunk_size = size.ok_or_else(|| misuse("a chunk has one token or more"))?;
        Ok(())
    }

    /// The names of data sets, as the bytes that files have.
    #[getter]
    fn datasets<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let names = self.matrix.datasets.iter();
        names.map(|name| PyBytes::new(py, name)).collect()
    }

    #[setter]
    fn set_datasets(&mut self, names: Vec<Vec<u8>>) {
        self.change().datasets = names.into_iter().map(Into::into).collect();
    }
}

/// The names in GGUF of each of a Hugging Face model's tensors.
#[pyfunction]
pub fn tensor_names(folder: PathBuf, names: Vec<String>) -> PyResult<Vec<Vec<String>>> {
    let folder = Folder::open(folder).map_err(to_python)?;
    arch::tensor_names(&folder, &names).map_err(to_python)
}

impl ImportanceStore {
    pub(crate) fn share(&self) -> Arc<ImportanceMatrix> {
        Arc::clone(&self.matrix)
    }

    fn change(&mut self) -> &mut ImportanceMatrix {
        Arc::make_mut(&mut self.matrix)
    }

    fn statistics_of(&self, name: &str) -> PyResult<&Statistics> {
        let found = self.matrix.get(name);
        found.ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }
}

/// A copy of what Python code may go on changing, or a file.
#[derive(Clone)]
pub(crate) enum Importance {
    Matrix(Arc<ImportanceMatrix>),
    File(Arc<imatrix::Reader>),
}

impl Importance {
    /// An `ImportanceStore`, or the path of a file.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(store) = object.cast::<ImportanceStore>() {
            return Ok(Self::Matrix(store.try_borrow()?.share()));
        }
        let path: PathBuf = object.extract()?;
        let reader = object.py().detach(|| imatrix::Reader::open(path));
        Ok(Self::File(Arc::new(reader.map_err(to_python)?)))
    }

    pub(crate) fn source(&self) -> &dyn ImportanceSource {
        match self {
            Self::Matrix(matrix) => &**matrix,
            Self::File(reader) => &**reader,
        }
    }
}

fn shaped<'py>(py: Python<'py>, values: Vec<f32>, experts: usize) -> PyResult<Bound<'py, PyAny>> {
    let cols = values.len() / experts.max(1);
    let array = PyArray1::from_vec(py, values);
    match experts {
        1 => Ok(array.into_any()),
        _ => array.call_method1(intern!(py, "reshape"), (experts, cols)),
    }
}

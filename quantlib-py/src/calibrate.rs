//! Calibration under `quantlib/_calibrate.py`, which runs the model.

use crate::array::FloatArray;
use crate::errors::{misuse, to_python};
use crate::job::OnnxWishes;
use half::slice::HalfFloatSliceExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use quantlib::Floats;
use quantlib::calibrate::{Calibration, Calibrator};
use quantlib::format::onnx::Document;
use quantlib::recipe::onnx::{OnnxQuantization, observed};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// What a recipe needs to know of a model, and what is known so far.
#[pyclass(frozen, module = "quantlib._quantlib")]
pub struct CalibrationStore {
    document: Document,
    wish: OnnxQuantization,
    state: Mutex<Calibrator>,
}

#[pymethods]
impl CalibrationStore {
    #[new]
    fn new(
        py: Python<'_>,
        src: PathBuf,
        recipe: &str,
        wishes: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let recipe = recipe.parse().map_err(to_python)?;
        let wish = wishes.extract::<OnnxWishes>()?.wish(recipe)?;
        let open = || {
            let document = Document::open(&src)?;
            let names = observed(&document, &wish).map_err(|e| e.in_file(&src))?;
            Ok((document, names))
        };
        let (document, names) = py.detach(open).map_err(to_python)?;
        Ok(Self {
            document,
            wish,
            state: Mutex::new(Calibrator::new(names)),
        })
    }

    /// The names of the tensors to observe.
    fn names(&self) -> PyResult<Vec<String>> {
        Ok(self.lock()?.names().map(str::to_owned).collect())
    }

    /// Forgets tensors but those of these names.
    fn retain(&self, names: Vec<String>) -> PyResult<()> {
        *self.lock()? = Calibrator::new(names);
        Ok(())
    }

    /// A model whose outputs are the tensors to observe, and the folder that its data are in.
    fn probe<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, PathBuf)> {
        let names = self.names()?;
        let probe = py
            .detach(|| self.document.probe(&names))
            .map_err(to_python)?;
        Ok((PyBytes::new(py, &probe.model), probe.folder))
    }

    /// The indices of tensors to ask for together.
    fn groups(&self) -> PyResult<Vec<Vec<usize>>> {
        Ok(self.lock()?.groups())
    }

    /// Takes in the values of a tensor in one sample.
    fn observe(&self, py: Python<'_>, index: usize, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = FloatArray::of(values)?;
        let floats = array.floats()?;
        // Locked after the interpreter is released, and given back before it is taken again.
        py.detach(|| {
            let mut state = self.lock()?;
            let observed = match floats {
                Floats::F32(x) => state.observe(index, x),
                Floats::F16(x) => state.observe(index, &x.to_f32_vec()),
                Floats::BF16(x) => state.observe(index, &x.to_f32_vec()),
            };
            observed.map_err(to_python)
        })
    }

    /// The ranges as JSON.
    fn finish(&self, py: Python<'_>, method: Option<&str>) -> PyResult<String> {
        let method = method.map(str::parse).transpose().map_err(to_python)?;
        let levels = self.wish.recipe.activations();
        let levels = levels.ok_or_else(|| {
            misuse("this recipe leaves activations alone, and needs no calibration; leave it out")
        })?;
        py.detach(|| {
            let calibration = self.lock()?.finish(method.unwrap_or_default(), levels);
            let json = calibration.and_then(|calibration| calibration.to_json());
            json.map_err(to_python)
        })
    }
}

impl CalibrationStore {
    fn lock(&self) -> PyResult<MutexGuard<'_, Calibrator>> {
        self.state
            .lock()
            .map_err(|_| misuse("an observer failed before; calibrate anew"))
    }
}

/// Ranges as encodings of AIMET's, for codes of so many bits.
#[pyfunction]
pub fn to_encodings(text: &str, bits: u8) -> PyResult<String> {
    if !matches!(bits, 4 | 8 | 16) {
        return Err(misuse("activations have 4, 8 or 16 bits"));
    }
    let calibration = Calibration::from_json(text.as_bytes());
    calibration
        .and_then(|calibration| calibration.to_encodings(bits))
        .map_err(to_python)
}

/// JSON of ranges, or of encodings, as JSON of ranges.
#[pyfunction]
pub fn read_ranges(text: &str) -> PyResult<String> {
    let calibration = Calibration::from_json(text.as_bytes());
    calibration
        .and_then(|calibration| calibration.to_json())
        .map_err(to_python)
}

/// The same of a file.
#[pyfunction]
pub fn load_ranges(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let read = || Calibration::open(&path)?.to_json();
    py.detach(read).map_err(to_python)
}

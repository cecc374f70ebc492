//! onnxruntime as a [`Runner`]: its library is loaded when it is needed.

use super::calibrator::{Calibrator, Runner};
use super::samples::Array;
use crate::error::{Error, ErrorKind, Result};
use crate::format::onnx::Document;
use half::f16 as F16;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session};

use ort::value::{DynValue, Tensor, TensorElementType};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A session of onnxruntime whose outputs are the tensors to observe.
#[derive(Debug)]
pub struct OnnxRuntime {
    session: Session,
}

/// The variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

impl OnnxRuntime {
    /// Loads the library and the model, with outputs of these names besides its own.
    ///
    /// The library is the one that the environment variable `ORT_DYLIB_PATH` names, or that of
    /// Python's package `onnxruntime`, or the system's.
    ///
    /// # Errors
    /// `unsupported` if there is no library, or it is too old; `malformed` if it refuses the model.
    pub fn open(document: &Document, outputs: &[String]) -> Result<Self> {
        load()?;
        let probe = document.probe(outputs)?;
        let folder = probe.folder.to_string_lossy().into_owned();
        let build = || -> Result<Session, String> {
            let builder = Session::builder().map_err(|e| e.to_string())?;
            let mut builder = configured(builder, &folder)?;
            let session = builder.commit_from_memory(&probe.model);
            session.map_err(|e| e.to_string())
        };
        let session = build().map_err(|e| {
            Error::malformed(format!("onnxruntime refuses the model: {e}")).in_file(document.path())
        })?;
        Ok(Self { session })
    }

    /// Whether a tensor, an output or an input, has elements that can be observed.
    pub fn is_float(&self, name: &str) -> bool {
        self.floats().any(|float| float == name)
    }

    /// The outputs and inputs whose elements can be observed.
    fn floats(&self) -> impl Iterator<Item = &str> {
        let all = self.session.outputs().iter().chain(self.session.inputs());
        let floats = all.filter(|outlet| {
            matches!(
                outlet.dtype().tensor_type(),
                Some(TensorElementType::Float32 | TensorElementType::Float16)
            )
        });
        floats.map(|outlet| outlet.name())
    }

    /// Observes those of these tensors that have floats.
    pub fn calibrator(&self, names: Vec<String>) -> Calibrator {
        let floats: HashSet<_> = self.floats().collect();
        Calibrator::new(names.into_iter().filter(|name| floats.contains(&name[..])))
    }
}

/// Weights stay in the file's pages, and what a run needs is given back.
fn configured(builder: SessionBuilder, folder: &str) -> Result<SessionBuilder, String> {
    const FOLDER: &str = "session.model_external_initializers_file_folder_path";
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All);
    let builder = builder.map_err(|e| e.to_string())?;
    let builder = builder.with_config_entry("session.disable_prepacking", "1");
    let builder = builder.map_err(|e| e.to_string())?;
    let builder = builder.with_config_entry(FOLDER, folder);
    builder.map_err(|e| e.to_string())
}

impl Runner for OnnxRuntime {
    type Sample = Vec<Array>;

    fn run(
        &mut self,
        sample: &Vec<Array>,
        tensors: &[&str],
        observe: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let failed = |e: ort::Error| {
            Error::misuse(format!("onnxruntime cannot run the model on a sample: {e}"))
        };
        let inputs = sample
            .iter()
            .map(|array| Ok((array.name.clone(), value(array)?)));
        let inputs: Vec<(String, DynValue)> = inputs.collect::<Result<_>>()?;
        for (index, name) in tensors.iter().enumerate() {
            if let Some(array) = sample.iter().find(|array| array.name == *name) {
                observe(index, &array.floats())?;
            }
        }
        let is_given = |name: &str| sample.iter().any(|array| array.name == name);
        let made: Vec<_> = (0..tensors.len())
            .filter(|i| !is_given(tensors[*i]))
            .collect();
        if made.is_empty() {
            return Ok(());
        }
        let selector = made
            .iter()
            .fold(OutputSelector::no_default(), |all, index| {
                all.with(tensors[*index])
            });
        let options = RunOptions::new().map_err(failed)?.with_outputs(selector);
        let outputs = self.session.run_with_options(inputs, &options);
        let outputs = outputs.map_err(failed)?;
        for index in made {
            let Some(output) = outputs.get(tensors[index]) else {
                continue;
            };
            match output.try_extract_tensor::<f32>() {
                Ok((_, values)) => observe(index, values)?,
                Err(_) => {
                    let (_, halves) = output.try_extract_tensor::<F16>().map_err(failed)?;
                    let values: Vec<_> = halves.iter().map(|half| half.to_f32()).collect();
                    observe(index, &values)?;
                }
            }
        }
        Ok(())
    }
}

/// An array as onnxruntime takes it.
fn value(array: &Array) -> Result<DynValue> {
    macro_rules! tensor {
        ($type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let (elements, _) = array.data.as_chunks::<SIZE>();
            let elements = elements.iter().map(|bytes| <$type>::from_le_bytes(*bytes));
            let elements: Vec<$type> = elements.collect();
            Tensor::from_array((array.shape.clone(), elements)).map(Tensor::into_dyn)
        }};
    }
    let made = match &array.kind[..] {
        "f4" => tensor!(f32),
        "f8" => tensor!(f64),
        "i1" => tensor!(i8),
        "i2" => tensor!(i16),
        "i4" => tensor!(i32),
        "i8" => tensor!(i64),
        "u1" => tensor!(u8),
        "u2" => tensor!(u16),
        "u4" => tensor!(u32),
        "u8" => tensor!(u64),
        "f2" => tensor!(F16),
        _ => {
            let elements: Vec<bool> = array.data.iter().map(|byte| *byte != 0).collect();
            Tensor::from_array((array.shape.clone(), elements)).map(Tensor::into_dyn)
        }
    };
    made.map_err(|e| Error::misuse(format!("'{}' is no input: {e}", array.name)))
}

fn load() -> Result<()> {
    let missing = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "calibration runs the model with onnxruntime, whose library {why}; pip install onnxruntime, or let {VARIABLE} name the library (libonnxruntime.so, onnxruntime.dll, libonnxruntime.dylib)"
            ),
        )
    };
    let path = library().ok_or_else(|| missing("was not found".to_owned()))?;
    let environment = ort::init_from(&path)
        .map_err(|e| missing(format!("'{}' cannot be used ({e})", path.display())))?;
    // It is committed already if this is the second model.
    environment.commit();
    Ok(())
}

/// Where the library is: named by the environment, or in a Python environment on the path, or where
/// the system keeps libraries.
fn library() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
        let folders = std::env::split_paths(&path).filter_map(|folder| {
            let has_python = ["python3", "python", "python.exe"]
                .iter()
                .any(|name| folder.join(name).is_file());
            has_python.then(|| folder.parent().map(Path::to_path_buf))?
        });
        let mut environments = active.into_iter().chain(folders);
        environments
            .find_map(|root| in_environment(&root))
            .or_else(in_system)
    })
}

/// The library of the package in a Python environment.
fn in_environment(root: &Path) -> Option<PathBuf> {
    let lib = root.join("lib");
    let pythons = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let mut packages: Vec<_> = pythons
        .map(|entry| entry.path().join("site-packages"))
        .filter(|path| path.is_dir())
        .collect();
    packages.push(root.join("Lib").join("site-packages"));
    packages
        .iter()
        .find_map(|packages| in_folder(&packages.join("onnxruntime").join("capi")))
}

fn in_system() -> Option<PathBuf> {
    [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/opt/homebrew/lib",
    ]
    .iter()
    .find_map(|folder| in_folder(Path::new(folder)))
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libonnxruntime.so")
                || name == "onnxruntime.dll"
                || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
        })
        .collect();
    found.sort();
    found.pop()
}

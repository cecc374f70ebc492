//! Whole models: `quantize_model` and `convert_model` under `quantlib/_job.py`, and the command.

use crate::codec;
use crate::dtype;
use crate::errors::{misuse, to_python};
use crate::imatrix::Importance;
use crate::work::{self, Monitor};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt};
use quantlib::arch::{ConvertOptions, Lora, OutType};
use quantlib::calibrate::{Calibration, EncodingsVersion};
use quantlib::format::onnx::{SaveOptions, is_onnx};
use quantlib::job::{self, HfConversion, JobOptions, Quantization, Report};
use quantlib::recipe::mlx::{LayerType, MlxQuantization, MlxRecipe};
use quantlib::recipe::onnx::{EncodingsFile, OnnxOverride, OnnxQuantization, OnnxRecipe};
use quantlib::recipe::{KvOverride, OverrideValue, Recipe, TensorType};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What every job may be told.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Wishes<'py> {
    threads: Option<i64>,
    memory_limit: Option<i64>,
    dry_run: bool,
    non_finite: String,
    pre: Option<String>,
    lora: Vec<(PathBuf, f32)>,
    progress: Option<Bound<'py, PyAny>>,
}

/// What quantizing may be told besides.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Exceptions<'py> {
    pure: bool,
    leave_output_tensor: bool,
    output_tensor_type: Option<String>,
    token_embedding_type: Option<String>,
    tensor_types: Vec<(String, String)>,
    prune_layers: Vec<u32>,
    override_kv: Vec<(String, Bound<'py, PyAny>)>,
    allow_requantize: bool,
    keep_split: bool,
    tensor_type_file: Option<PathBuf>,
    imatrix: Option<Bound<'py, PyAny>>,
    include_weights: Vec<String>,
    exclude_weights: Vec<String>,
}

/// What quantizing an ONNX model may be told.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct OnnxWishes {
    block_size: Option<usize>,
    symmetric: bool,
    layout: Option<String>,
    accuracy_level: Option<i64>,
    exclude: Vec<String>,
    exclude_operators: Vec<String>,
    operators: Vec<String>,
    nodes: Vec<(String, String)>,
    per_tensor: bool,
    reduce_range: bool,
    keep_io: bool,
    pure: bool,
    /// JSON.
    calibration: Option<String>,
    save_encodings: Option<PathBuf>,
    encodings_version: Option<String>,
    format: Option<String>,
    external_data: Option<String>,
}

/// What making an MLX folder may be told.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct MlxWishes {
    group_size: Option<usize>,
    layer_types: Vec<(String, String)>,
}

/// What writing any MLX folder may be told.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct MlxFolder {
    as_is: bool,
    force: bool,
}

/// What converting is told of its output.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct ConvertTarget {
    to: Option<String>,
    exact: bool,
}

/// Quantizes a model; the report comes as JSON.
#[pyfunction]
pub fn quantize_model(
    src: PathBuf,
    out: PathBuf,
    recipe: &str,
    wishes: &Bound<'_, PyDict>,
) -> PyResult<String> {
    if let Ok(recipe) = recipe.parse() {
        let wish = wishes.extract::<OnnxWishes>()?.wish(recipe)?;
        return wishes.extract::<Wishes<'_>>()?.run(None, |options| {
            job::quantize_onnx(&src, &out, &wish, options)
        });
    }
    if wishes
        .get_item("save_encodings")?
        .is_some_and(|path| !path.is_none())
    {
        return Err(misuse(format!(
            "save_encodings is for ONNX models and a8w8, a16w8 and a16w4, not for {recipe}; leave it out"
        )));
    }
    if MlxRecipe::is_name(recipe) {
        let recipe = recipe.parse().map_err(to_python)?;
        let folder: MlxFolder = wishes.extract()?;
        let mut wish = wishes.extract::<MlxWishes>()?.wish(folder.wish(recipe))?;
        wish.allow_requantize = wishes.extract::<Exceptions<'_>>()?.allow_requantize;
        return wishes.extract::<Wishes<'_>>()?.run(None, |options| {
            job::quantize_mlx(&src, &out, &wish, options)
        });
    }
    let exceptions: Exceptions<'_> = wishes.extract()?;
    let wishes: Wishes<'_> = wishes.extract()?;
    let importance = exceptions
        .imatrix
        .as_ref()
        .map(Importance::of)
        .transpose()?;
    let recipe: Recipe = recipe.parse().map_err(to_python)?;
    let mut wish = Quantization::new(recipe);
    wish.options = exceptions.options()?;
    wish.convert.pre.clone_from(&wishes.pre);
    wish.convert.loras = wishes.loras()?;
    wishes.run(importance, |options| {
        job::quantize_model(&src, &out, &wish, options)
    })
}

/// Converts a model; the report comes as JSON.
#[pyfunction]
pub fn convert_model(
    src: PathBuf,
    out: PathBuf,
    outtype: &str,
    name: Option<String>,
    base: Option<PathBuf>,
    wishes: &Bound<'_, PyDict>,
) -> PyResult<String> {
    if is_onnx(&src) {
        let external = wishes.get_item("external_data")?;
        let external = external.and_then(|when| when.extract().ok());
        let save = save_options(external)?;
        return wishes
            .extract::<Wishes<'_>>()?
            .run(None, |options| job::copy_onnx(&src, &out, &save, options));
    }
    let outtype = outtype.parse::<OutType>().map_err(to_python)?;
    let folder: MlxFolder = wishes.extract()?;
    let target: ConvertTarget = wishes.extract()?;
    let wishes: Wishes<'_> = wishes.extract()?;
    match target.to.as_deref() {
        None | Some("gguf") => {}
        Some("mlx") => {
            let mut wish = folder.wish(MlxRecipe::Plain);
            wish.dtype = outtype.plain().map_err(to_python)?;
            wish.exact = target.exact;
            return wishes.run(None, |options| {
                job::quantize_mlx(&src, &out, &wish, options)
            });
        }
        Some("hf") => {
            let mut wish = HfConversion::default();
            wish.dtype = outtype.plain().map_err(to_python)?;
            wish.exact = target.exact;
            wish.force = folder.force;
            return wishes.run(None, |options| {
                job::convert_to_hf(&src, &out, &wish, options)
            });
        }
        Some(other) => {
            return Err(misuse(format!(
                "to is '{other}'; pass \"gguf\", \"mlx\" or \"hf\""
            )));
        }
    }
    let mut wish = ConvertOptions::default();
    wish.outtype = outtype;
    wish.exact = target.exact;
    wish.name = name;
    wish.base = base;
    wish.pre.clone_from(&wishes.pre);
    wish.loras = wishes.loras()?;
    wishes.run(None, |options| {
        job::convert_model(&src, &out, &wish, options)
    })
}

/// Runs the `quantlib` command with these arguments, the program's name first.
#[pyfunction]
pub fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    py.detach(|| quantlib_cli::run(arguments))
}

impl Wishes<'_> {
    fn loras(&self) -> PyResult<Vec<Lora>> {
        let loras = self.lora.iter();
        let loras = loras.map(|(path, scale)| Lora::new(path).scaled(*scale));
        loras.collect::<Result<_, _>>().map_err(to_python)
    }

    pub(crate) fn run(
        self,
        importance: Option<Importance>,
        work: impl FnOnce(JobOptions<'_>) -> quantlib::Result<Report> + Send,
    ) -> PyResult<String> {
        let threads = work::threads(self.threads)?;
        let memory_limit = u64::try_from(self.memory_limit.unwrap_or(0)).map_err(|_| {
            misuse("memory_limit is negative; pass a number of bytes, or None for the default")
        })?;
        let non_finite = codec::non_finite(&self.non_finite)?;
        let dry_run = self.dry_run;
        let listener = self.progress.map(Bound::unbind);
        let told = listener.is_some();
        let work = |monitor: Monitor<(u64, u64, String)>| {
            let mut progress = |done: u64, total: u64, name: &str| {
                // A listener that is gone has set the flag that cancels.
                drop(monitor.events.send((done, total, name.to_owned())));
                ControlFlow::Continue(())
            };
            let mut options = JobOptions::default();
            options.threads = threads;
            options.memory_limit = memory_limit;
            options.non_finite = non_finite;
            options.dry_run = dry_run;
            options.importance = importance.as_ref().map(Importance::source);
            options.cancel = Some(&monitor.cancel);
            if told {
                options.progress = Some(&mut progress);
            }
            work(options)
        };
        let listen = |py: Python<'_>, (done, total, name): (u64, u64, String)| match &listener {
            None => Ok(()),
            Some(listener) => listener.call1(py, (done, total, name)).map(drop),
        };
        let report = Python::attach(|py| work::run(py, work, listen))?;
        serde_json::to_string(&report).map_err(|e| misuse(format!("the report is no JSON: {e}")))
    }
}

impl OnnxWishes {
    pub(crate) fn wish(self, recipe: OnnxRecipe) -> PyResult<OnnxQuantization> {
        let mut wish = OnnxQuantization::new(recipe);
        wish.block_size = self.block_size.unwrap_or(wish.block_size);
        wish.symmetric = self.symmetric;
        if let Some(layout) = self.layout {
            wish.layout = layout.parse().map_err(to_python)?;
        }
        wish.accuracy_level = self.accuracy_level;
        let exclude = self.exclude.iter().map(|pattern| pattern.parse());
        wish.exclude = exclude.collect::<Result<_, _>>().map_err(to_python)?;
        wish.exclude_operators = self.exclude_operators;
        wish.operators = self.operators;
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(pattern, recipe)| OnnxOverride::new(pattern, recipe));
        wish.overrides = nodes.collect::<Result<_, _>>().map_err(to_python)?;
        wish.per_tensor = self.per_tensor;
        wish.reduce_range = self.reduce_range;
        wish.keep_io = self.keep_io;
        wish.pure = self.pure;
        let calibration = self.calibration.as_deref().map(str::as_bytes);
        let calibration = calibration.map(Calibration::from_json).transpose();
        wish.calibration = calibration.map_err(to_python)?;
        wish.encodings = encodings_file(self.save_encodings, self.encodings_version)?;
        if let Some(format) = self.format {
            wish.format = format.parse().map_err(to_python)?;
        }
        wish.save = save_options(self.external_data)?;
        Ok(wish)
    }
}

/// A file of encodings, and its version.
fn encodings_file(
    path: Option<PathBuf>,
    version: Option<String>,
) -> PyResult<Option<EncodingsFile>> {
    match (path, version.as_deref().map(str::parse::<EncodingsVersion>)) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(misuse(
            "encodings_version was given without save_encodings; name the file too",
        )),
        (Some(path), version) => {
            let version = version.transpose().map_err(to_python)?.unwrap_or_default();
            Ok(Some(EncodingsFile { path, version }))
        }
    }
}

impl MlxWishes {
    fn wish(self, mut wish: MlxQuantization) -> PyResult<MlxQuantization> {
        wish.group_size = self.group_size;
        let layers = self.layer_types.iter();
        let layers = layers.map(|(pattern, name)| LayerType::new(pattern, name));
        wish.layers = layers.collect::<Result<_, _>>().map_err(to_python)?;
        Ok(wish)
    }
}

impl MlxFolder {
    fn wish(&self, recipe: MlxRecipe) -> MlxQuantization {
        let mut wish = MlxQuantization::new(recipe);
        wish.as_is = self.as_is;
        wish.force = self.force;
        wish
    }
}

fn save_options(external_data: Option<String>) -> PyResult<SaveOptions> {
    let mut save = SaveOptions::default();
    if let Some(when) = external_data {
        save.external_data = when.parse().map_err(to_python)?;
    }
    Ok(save)
}

impl Exceptions<'_> {
    fn options(self) -> PyResult<quantlib::recipe::QuantizeOptions> {
        let optional = |name: Option<String>| name.map(|name| dtype::parse(&name)).transpose();
        let mut options = quantlib::recipe::QuantizeOptions::default();
        options.pure = self.pure;
        options.leave_output_tensor = self.leave_output_tensor;
        options.output_tensor_type = optional(self.output_tensor_type)?;
        options.token_embedding_type = optional(self.token_embedding_type)?;
        options.prune_layers = self.prune_layers;
        options.allow_requantize = self.allow_requantize;
        options.keep_split = self.keep_split;
        options.include_weights = self.include_weights;
        options.exclude_weights = self.exclude_weights;
        for (pattern, name) in self.tensor_types {
            let dtype = dtype::parse(&name)?;
            options.tensor_types.push(TensorType { pattern, dtype });
        }
        if let Some(path) = self.tensor_type_file {
            let types = TensorType::read_file(path).map_err(to_python)?;
            options.tensor_types.extend(types);
        }
        for (key, value) in self.override_kv {
            let value = override_value(&value)?;
            options.override_kv.push(KvOverride { key, value });
        }
        Ok(options)
    }
}

fn override_value(value: &Bound<'_, PyAny>) -> PyResult<OverrideValue> {
    Ok(if value.is_instance_of::<PyBool>() {
        OverrideValue::Bool(value.extract()?)
    } else if value.is_instance_of::<PyInt>() {
        OverrideValue::Int(value.extract()?)
    } else if value.is_instance_of::<PyFloat>() {
        OverrideValue::Float(value.extract()?)
    } else {
        OverrideValue::Str(value.extract()?)
    })
}

//! Carries plans out: streams tensors through encoders into a file, in bounded memory.
//!
//! Everything is known before the first byte is read: the plan names every output tensor, and the
//! layout of the file gives each its place. So tiles of rows are read, encoded and written by many
//! threads in any order, and the result does not depend on their number or on the memory limit.

mod blocks;
pub(crate) mod evaluate;
mod extract;
mod facade;
mod files;
#[cfg(feature = "hf")]
mod huggingface;
#[cfg(feature = "hf")]
mod mlx;
mod onnx;
mod planar;
pub(crate) mod products;
mod report;
mod rewrite;
mod task;
#[cfg(test)]
mod tests;
mod turns;
mod workers;

pub use extract::{ExtractAs, extract_tensor};
#[cfg(feature = "hf")]
pub use facade::convert_model;
pub use facade::{Quantization, quantize_model};
#[cfg(feature = "hf")]
pub use huggingface::{HfConversion, convert_to_hf};
#[cfg(feature = "hf")]
pub use mlx::quantize_mlx;
#[cfg(feature = "onnxruntime")]
pub use onnx::calibrate_onnx;
pub use onnx::{copy_onnx, quantize_onnx};
pub use report::{FileReport, Report, TensorReport};
pub use rewrite::{edit_model, merge_model, split_model};

use crate::codec::NonFinite;
use crate::error::{Error, Result};
use crate::format::{self, gguf};
use crate::model::{ImportanceSource, Metadata, Model, Plan};
use crate::parallel;
use files::{Files, GgufFiles, MlxFiles, OnnxFiles};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use task::Task;
use workers::Work;

/// The memory limit of a job that names none, in bytes.
pub const DEFAULT_MEMORY_LIMIT: u64 = 128 << 20;

/// Told the bytes written, the bytes that the tensors take in all, and the tensor being written;
/// a break cancels the job.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64, &str) -> ControlFlow<()> + 'a);

/// How a job runs; the default is right for most. None of it changes the bytes that are written,
/// but for [`importance`](Self::importance) and [`non_finite`](Self::non_finite).
#[derive(Default)]
#[non_exhaustive]
pub struct JobOptions<'a> {
    /// Number of threads that calculate; 0 means all. Another one reads and writes meanwhile.
    pub threads: usize,
    /// Bytes that tensor data may take in memory; 0 means [`DEFAULT_MEMORY_LIMIT`].
    pub memory_limit: u64,
    /// What to do with NaN and infinite weights that are to be quantized.
    pub non_finite: NonFinite,
    /// The weights that the plan's tensors ask for by name: a matrix in memory, or a file that is
    /// read tensor by tensor. [`quantize_model`] tells the plan of them too.
    pub importance: Option<&'a dyn ImportanceSource>,
    /// Called on the thread that runs the job, many times a second.
    pub progress: Option<Progress<'a>>,
    /// Set it, from any thread or signal handler, to cancel the job.
    pub cancel: Option<&'a AtomicBool>,
    /// Only tell what would be written.
    pub dry_run: bool,
}

/// A plan joined with the model that it is about.
///
/// ```no_run
/// use quantlib::job::{Job, JobOptions};
/// use quantlib::model::{Expr, OutputTensor, Plan};
/// use quantlib::{DType, Encoding};
///
/// let model = quantlib::format::open("model-f16.gguf")?;
/// let tensors = model.tensors().iter().map(|tensor| OutputTensor {
///     name: tensor.name.clone(),
///     shape: tensor.shape.clone(),
///     encoding: Encoding::Block(DType::F32),
///     source: Expr::input(&tensor.name),
///     importance: None,
/// });
/// let plan = Plan { tensors: tensors.collect(), ..Plan::default() };
/// let report = Job::new(&model, &plan)?.run("model-f32.gguf", JobOptions::default())?;
/// println!("{} bytes", report.file_bytes);
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Debug)]
pub struct Job<'a> {
    model: &'a Model,
    plan: &'a Plan,
    container: Container<'a>,
    inputs: Vec<PathBuf>,
    tasks: Vec<Task<'a>>,
}

/// The kind of file that a job writes, and what goes into it besides tensors.
#[derive(Debug)]
enum Container<'a> {
    Gguf {
        document: &'a Metadata,
        dialect: gguf::Dialect,
    },
    Onnx {
        document: &'a format::onnx::Document,
        options: format::onnx::SaveOptions,
        beside: Option<(PathBuf, Vec<u8>)>,
    },
    Mlx {
        document: &'a format::mlx::Document,
        force: bool,
    },
}

impl<'a> Job<'a> {
    /// Checks that the plan can be carried out on this model; reads no tensor.
    ///
    /// # Errors
    /// `malformed` if the plan asks for tensors or shapes that the model has not, `misuse` if a
    /// tensor's shape does not fit its type, `unsupported` if a type has no codec.
    pub fn new(model: &'a Model, plan: &'a Plan) -> Result<Self> {
        let tasks = plan
            .tensors
            .iter()
            .map(|tensor| {
                Task::new(tensor, model)
                    .map_err(|e| e.in_tensor(&tensor.name).in_file(model.path()))
            })
            .collect::<Result<_>>()?;
        let mut inputs = vec![model.path().to_path_buf()];
        inputs.extend(model.files().into_iter().map(Path::to_path_buf));
        Ok(Self {
            model,
            plan,
            container: Container::Gguf {
                document: model.metadata(),
                dialect: gguf::Dialect::default(),
            },
            inputs,
            tasks,
        })
    }

    /// The document that the plan's edits are about, if it is not the model's.
    pub fn document(mut self, metadata: &'a Metadata) -> Self {
        if let Container::Gguf { document, .. } = &mut self.container {
            *document = metadata;
        }
        self
    }

    /// Chooses whose habits a GGUF file follows; llama-quantize's by default.
    pub fn dialect(mut self, habits: gguf::Dialect) -> Self {
        if let Container::Gguf { dialect, .. } = &mut self.container {
            *dialect = habits;
        }
        self
    }

    /// Makes the output an ONNX model. The planes of the plan's tensors, one after the other, are
    /// the slots of the document's [`Bytes::Later`](format::onnx::Bytes::Later).
    pub fn onnx(
        mut self,
        document: &'a format::onnx::Document,
        options: &format::onnx::SaveOptions,
    ) -> Self {
        let options = options.clone();
        self.container = Container::Onnx {
            document,
            options,
            beside: None,
        };
        self
    }

    /// Lets a file appear with an ONNX model, whole or not at all.
    pub fn beside(mut self, path: PathBuf, bytes: Vec<u8>) -> Self {
        if let Container::Onnx { beside, .. } = &mut self.container {
            *beside = Some((path, bytes));
        }
        self
    }

    /// Makes the output an MLX or Hugging Face folder, with the planes of each tensor as tensors of their
    /// own. It replaces a folder that is not empty only if `force` says so.
    pub fn mlx(mut self, document: &'a format::mlx::Document, force: bool) -> Self {
        self.container = Container::Mlx { document, force };
        self
    }

    /// Further files that the output must not be; that of the importance weights is known.
    pub fn inputs(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.inputs.extend(files);
        self
    }

    /// What [`run`](Self::run) would write, without writing it.
    ///
    /// # Errors
    /// `misuse`, `unsupported` or `limit` if no file of this kind can hold the plan.
    pub fn dry_run(&self) -> Result<Report> {
        self.report(&self.files(self.model.path())?)
    }

    /// Writes the file. It appears whole or not at all; one that exists is replaced at the end.
    ///
    /// If the plan has parts, the files are `OUT-00001-of-0000N.gguf` and so on; an ending `.gguf`
    /// of `out` is left out before. They too appear when all are complete.
    ///
    /// # Errors
    /// `io` for a full disk and other trouble with files, `misuse` if the output is the input or
    /// the model has NaN or infinite weights, `limit` if one row needs more than the memory limit,
    /// `cancelled`, and those of [`dry_run`](Self::dry_run). Nothing is left behind.
    pub fn run(&self, out: impl AsRef<Path>, options: JobOptions<'_>) -> Result<Report> {
        if options.dry_run {
            return self.dry_run();
        }
        let (out, begin) = (out.as_ref(), Instant::now());
        let files = self.files(out)?;
        let limit = match options.memory_limit {
            0 => DEFAULT_MEMORY_LIMIT,
            limit => limit,
        };
        let threads = parallel::resolve_threads(options.threads);
        // One more than calculate: so there is always one that reads or writes.
        let (workers, share) = self.in_input(task::divide(&self.tasks, threads + 1, limit))?;
        let threads = threads.min(workers);
        self.check_encoders(&options)?;
        let mut inputs = self.inputs.clone();
        let matrix = options.importance.and_then(ImportanceSource::path);
        inputs.extend(matrix.map(Path::to_path_buf));
        let paths = files.paths(out);
        let proceed = || match options.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::cancelled()),
            _ => Ok(()),
        };
        let set = files.create(&paths, &inputs, &proceed)?;
        let work = Work {
            input: self.model.path(),
            tasks: &self.tasks,
            importance: options.importance,
            non_finite: options.non_finite,
            places: &files.places(),
            share,
            set: &set,
        };
        work.run(workers, threads, options.progress, options.cancel)?;
        set.sync()?;
        proceed()?;
        set.commit()?;
        let mut report = self.report(&files)?;
        report.written(&paths);
        if let Container::Mlx { .. } = self.container {
            report.output = Some(out.display().to_string());
        }
        report.threads = Some(threads);
        report.seconds = Some(begin.elapsed().as_secs_f64());
        Ok(report)
    }

    fn in_input<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| e.in_file(self.model.path()))
    }

    /// Tries every encoder once, so that nothing is written if one cannot be made. Importance
    /// weights are read for that, and again when it is a tensor's turn.
    fn check_encoders(&self, options: &JobOptions<'_>) -> Result<()> {
        self.tasks.iter().try_for_each(|task| {
            let checked = task.check_encoder(options.importance, options.non_finite);
            self.in_input(checked.map_err(|e| e.in_tensor(task.name())))
        })
    }

    fn files(&self, out: &Path) -> Result<Files<'_>> {
        match &self.container {
            Container::Gguf { document, dialect } => {
                GgufFiles::new(self.plan, document, *dialect).map(Files::Gguf)
            }
            Container::Onnx {
                document,
                options,
                beside,
            } => {
                let beside = beside.as_ref().map(|(path, bytes)| (&**path, &**bytes));
                OnnxFiles::new(self.plan, document, options, beside, out).map(Files::Onnx)
            }
            Container::Mlx { document, force } => {
                MlxFiles::new(self.plan, document, *force, out).map(Files::Mlx)
            }
        }
    }

    fn report(&self, files: &Files<'_>) -> Result<Report> {
        let files = files.reports()?;
        Ok(Report::new(self.model, self.plan, &self.tasks, files))
    }
}

//! What a job did, or would do: plain data for people and for JSON.

use crate::dtype::DType;
use crate::job::task::Task;
use crate::model::{Model, Plan};
use crate::tensor::Encoding;
use crate::{GGML_VERSION, LLAMA_CPP_VERSION};
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// The version of the report's JSON form; it grows by fields, and changes with their meaning.
const SCHEMA: u32 = 1;

/// What a job wrote, or would write.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form: 1.
    pub schema: u32,
    /// The file or folder that was read.
    pub input: String,
    /// Its format: `"gguf"`, `"huggingface"`.
    pub input_format: String,
    /// The file that was written, the first if there are several; none for a dry run.
    pub output: Option<String>,
    /// The recipe, or the output type of a conversion.
    pub recipe: Option<String>,
    /// The tensors in the order of the output file.
    pub tensors: Vec<TensorReport>,
    /// Weights in all tensors together.
    pub elements: u64,
    /// Bytes of the tensors as the input stores them.
    pub bytes_in: u64,
    /// Bytes of the tensors in the output, without header and padding.
    pub bytes_out: u64,
    /// Length of the output in bytes, of all files together.
    pub file_bytes: u64,
    /// The files of the output.
    pub files: Vec<FileReport>,
    /// Bits that a weight takes in the output on average; header and padding do not count.
    pub bits_per_weight: f64,
    /// What the person should know: fallbacks taken, things left alone.
    pub notes: Vec<String>,
    /// Number of threads that encoded; none for a dry run.
    pub threads: Option<usize>,
    /// Wall time in seconds; none for a dry run.
    pub seconds: Option<f64>,
    /// The ggml version whose bytes the tensors equal.
    pub ggml_version: &'static str,
    /// The llama.cpp version whose bytes the file equals.
    pub llama_cpp_version: &'static str,
    /// The version of this library.
    pub quantlib_version: &'static str,
}

/// One file of a [`Report`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// Where it was written; none for a dry run.
    pub path: Option<String>,
    /// How many tensors it has.
    pub tensors: usize,
    /// Its length in bytes.
    pub bytes: u64,
}

/// One tensor of a [`Report`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TensorReport {
    /// The name in the output.
    pub name: String,
    /// How the input stores it.
    pub from: DType,
    /// How the output stores it.
    #[serde(serialize_with = "as_text")]
    pub to: Encoding,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Bytes in the input.
    pub bytes_in: u64,
    /// Bytes in the output.
    pub bytes_out: u64,
}

impl Report {
    pub(super) fn new(
        model: &Model,
        plan: &Plan,
        tasks: &[Task<'_>],
        files: Vec<FileReport>,
    ) -> Self {
        let tensors: Vec<_> = tasks.iter().map(TensorReport::new).collect();
        let elements = tasks.iter().map(|task| task.elements() as u64).sum();
        let bytes_out = tensors.iter().map(|tensor| tensor.bytes_out).sum();
        Self {
            schema: SCHEMA,
            input: model.path().display().to_string(),
            input_format: model.format().to_owned(),
            output: None,
            recipe: None,
            elements,
            bytes_in: tensors.iter().map(|tensor| tensor.bytes_in).sum(),
            bytes_out,
            file_bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            #[expect(clippy::cast_precision_loss, reason = "a quotient for people")]
            bits_per_weight: 8.0 * bytes_out as f64 / (elements as f64).max(1.0),
            tensors,
            notes: plan.notes.clone(),
            threads: None,
            seconds: None,
            ggml_version: GGML_VERSION,
            llama_cpp_version: LLAMA_CPP_VERSION,
            quantlib_version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Names the files that were written.
    pub(super) fn written(&mut self, paths: &[PathBuf]) {
        for (file, path) in self.files.iter_mut().zip(paths) {
            file.path = Some(path.display().to_string());
        }
        self.output = self.files.first().and_then(|file| file.path.clone());
    }
}

impl TensorReport {
    fn new(task: &Task<'_>) -> Self {
        Self {
            name: task.name().to_owned(),
            from: task.stored_dtype(),
            to: task.encoding().clone(),
            shape: task.shape().to_vec(),
            bytes_in: task.bytes_in(),
            bytes_out: task.bytes_out(),
        }
    }
}

/// The encoding's name, as people read it.
fn as_text<S: Serializer>(encoding: &Encoding, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(encoding)
}

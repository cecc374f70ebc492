//! Whole jobs that write Hugging Face folders.

use super::facade::{files_in, open_exactly};
use crate::arch::{HfSource, hf_draft};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::job::{Job, JobOptions, Report};
use crate::model::Plan;
use std::path::Path;

/// How to make a Hugging Face folder.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HfConversion {
    /// The type of floats; none leaves those that are stored, and decodes layers to the type of their
    /// scales (f16 for GGUF's blocks, bf16 for MLX's 4- and 8-bit floats).
    pub dtype: Option<DType>,
    /// Refuses what would have to be decoded. gpt-oss's experts in mxfp4 never are.
    pub exact: bool,
    /// Replaces an output folder that is not empty.
    pub force: bool,
}

/// Makes a Hugging Face folder of an MLX folder or of a GGUF file: tensors under the names that transformers
/// knows them by, config.json, and a tokenizer.
///
/// ```no_run
/// use quantlib::job::{HfConversion, JobOptions, convert_to_hf};
/// let report = convert_to_hf("gpt-oss-mlx", "gpt-oss", &HfConversion::default(), JobOptions::default())?;
/// println!("{} bytes", report.file_bytes);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the model, of [`hf_draft`], and of [`Job::run`].
pub fn convert_to_hf(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &HfConversion,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    let model = open_exactly(src, false)?;
    let is_folder = src.is_dir();
    if !is_folder && model.format() != "gguf" {
        return Err(Error::unsupported(
            "is neither a folder nor a GGUF file, of which Hugging Face folders are made",
        )
        .in_file(src));
    }
    let folder = is_folder.then(|| Folder::open(src)).transpose()?;
    let draft = hf_draft(HfSource {
        folder: folder.as_ref(),
        model: &model,
        dtype: wish.dtype,
        exact: wish.exact,
    })?;
    let plan = Plan {
        tensors: draft.weights.into_iter().map(|own| own.tensor).collect(),
        notes: draft.notes,
        ..Plan::default()
    };
    let inputs = match is_folder {
        true => files_in(src)?,
        false => model.files().into_iter().map(Path::to_path_buf).collect(),
    };
    let job = Job::new(&model, &plan)?.mlx(&draft.document, wish.force);
    let mut report = job.inputs(inputs).run(out, options)?;
    report.recipe = Some(wish.dtype.map_or("plain", DType::name).to_owned());
    Ok(report)
}

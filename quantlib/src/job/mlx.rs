//! Whole jobs that write MLX folders.

use super::facade::files_in;
use crate::arch::{MlxSource, mlx_draft};
use crate::error::{Error, Result};
use crate::format::{self, hf::Folder};
use crate::job::{Job, JobOptions, Report};
use crate::recipe::mlx::{MlxQuantization, plan};
use std::path::Path;

/// Makes an MLX folder of a Hugging Face folder: the tensors that `mlx_lm.convert` writes, byte for
/// byte, its config.json and index, and the tokenizer's files.
///
/// ```no_run
/// use quantlib::job::{JobOptions, quantize_mlx};
/// use quantlib::recipe::mlx::MlxQuantization;
/// let wish = MlxQuantization::new("mlx-4bit".parse()?);
/// let report = quantize_mlx("my-model", "my-model-4bit", &wish, JobOptions::default())?;
/// println!("{:.2} bits per weight", report.bits_per_weight);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the folder, of [`mlx_draft`], of [`plan`], and of [`Job::run`].
pub fn quantize_mlx(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &MlxQuantization,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    if !src.is_dir() {
        return Err(Error::unsupported(
            "is no folder; MLX models are made from Hugging Face folders",
        )
        .in_file(src));
    }
    let model = format::open(src)?;
    let folder = Folder::open(src)?;
    let draft = mlx_draft(MlxSource {
        folder: &folder,
        model: &model,
        dtype: wish.dtype,
        as_is: wish.as_is,
    })?;
    let planned = plan(draft, wish).map_err(|e| e.in_file(src))?;
    let job = Job::new(&model, &planned.plan)?.mlx(&planned.document, wish.force);
    let mut report = job.inputs(files_in(src)?).run(out, options)?;
    report.recipe = Some(wish.recipe.name().to_owned());
    report.input_format = "huggingface".to_owned();
    Ok(report)
}

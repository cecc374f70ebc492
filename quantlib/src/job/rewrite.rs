//! Whole jobs that leave values as they are: splitting and merging.

use crate::error::{Error, Result};
use crate::format;
use crate::job::{Job, JobOptions, Report};
use crate::model::Model;
use crate::rewrite::{self, SplitOptions};
use std::path::Path;

/// Divides a GGUF file among files `PREFIX-00001-of-0000N.gguf` and so on, as llama-gguf-split does.
///
/// ```no_run
/// use quantlib::job::{JobOptions, split_model};
/// use quantlib::rewrite::{SplitBy, SplitOptions};
/// let mut wish = SplitOptions::default();
/// wish.by = SplitBy::Bytes(2_000_000_000);
/// let report = split_model("model.gguf", "model", &wish, JobOptions::default())?;
/// println!("{} files", report.files.len());
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the file, of [`rewrite::split_plan`], and of [`Job::run`].
pub fn split_model(
    src: impl AsRef<Path>,
    prefix: impl AsRef<Path>,
    wish: &SplitOptions,
    options: JobOptions<'_>,
) -> Result<Report> {
    let model = open_gguf(src.as_ref())?;
    let plan = rewrite::split_plan(&model, wish).map_err(|e| e.in_file(src.as_ref()))?;
    Job::new(&model, &plan)?.run(prefix, options)
}

/// Joins the parts of a split GGUF model, any of which may be named, into one file, as
/// llama-gguf-split does.
///
/// # Errors
/// Those of opening the files, of [`rewrite::merge_plan`], and of [`Job::run`].
pub fn merge_model(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    options: JobOptions<'_>,
) -> Result<Report> {
    let model = open_gguf(src.as_ref())?;
    let plan = rewrite::merge_plan(&model)?;
    Job::new(&model, &plan)?.run(out, options)
}

/// Opens a GGUF model, and nothing else.
fn open_gguf(src: &Path) -> Result<Model> {
    let model = format::open(src)?;
    if model.format() != "gguf" {
        return Err(Error::unsupported(format!(
            "only GGUF files can be rewritten, and this is {}; convert it first",
            model.format()
        ))
        .in_file(src));
    }
    Ok(model)
}

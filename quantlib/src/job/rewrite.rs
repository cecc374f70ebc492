//! Whole jobs that leave values as they are: splitting, merging, other keys.

use crate::error::{Error, Result};
use crate::format;
use crate::format::gguf::Dialect;
use crate::job::{Job, JobOptions, Report};
use crate::model::{Model, Plan};
use crate::rewrite::{self, Change, SplitOptions};
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

/// Copies a GGUF file with other metadata: the file that gguf-py's gguf_new_metadata.py writes.
///
/// ```no_run
/// use quantlib::job::{JobOptions, edit_model};
/// use quantlib::rewrite::Change;
/// let changes = [Change::set("general.name", "Tiny"), Change::remove("general.url")];
/// edit_model("model.gguf", "renamed.gguf", &changes, JobOptions::default())?;
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the file, of [`rewrite::edited`], and of [`Job::run`]; `unsupported` for a model
/// in several files, of which only the first has metadata.
pub fn edit_model(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    changes: &[Change],
    options: JobOptions<'_>,
) -> Result<Report> {
    let src = src.as_ref();
    let model = open_gguf(src)?;
    if model.files().len() > 1 {
        return Err(Error::unsupported(format!(
            "is a part of a model in {} files; merge them first",
            model.files().len()
        ))
        .in_file(src));
    }
    let metadata = rewrite::edited(model.metadata(), changes).map_err(|e| e.in_file(src))?;
    let plan = Plan {
        tensors: rewrite::copies(&model),
        ..Plan::default()
    };
    let job = Job::new(&model, &plan)?.document(&metadata);
    job.dialect(Dialect::GgufPy).run(out, options)
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

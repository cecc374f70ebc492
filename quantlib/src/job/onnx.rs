//! Whole jobs on ONNX models.

use crate::error::{Error, Result};
use crate::format::onnx::{Document, SaveOptions, is_onnx};
use crate::job::{Job, JobOptions, Report};
use crate::recipe::onnx::{OnnxQuantization, OnnxRecipe, plan};
use std::path::Path;

/// Quantizes an ONNX model into another.
///
/// ```no_run
/// use quantlib::job::{JobOptions, quantize_onnx};
/// use quantlib::recipe::onnx::{OnnxQuantization, OnnxRecipe};
/// let wish = OnnxQuantization::new(OnnxRecipe::Int4);
/// let report = quantize_onnx("model.onnx", "model-int4.onnx", &wish, JobOptions::default())?;
/// report.notes.iter().for_each(|note| println!("{note}"));
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of [`Document::open`], of [`plan`], and of [`Job::run`].
pub fn quantize_onnx(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &OnnxQuantization,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    for path in [src, out] {
        if !is_onnx(path) {
            return Err(Error::misuse(
                "has no ending .onnx, which both models must have for this recipe",
            )
            .in_file(path));
        }
    }
    let document = Document::open(src)?;
    let planned = plan(&document, wish).map_err(|e| e.in_file(src))?;
    let job = Job::new(&planned.model, &planned.plan)?.onnx(&planned.document, &wish.save);
    let mut report = job.run(out, options)?;
    report.recipe = Some(wish.recipe.name().to_owned());
    Ok(report)
}

/// Copies an ONNX model, and moves its data out of it or into it if that is asked for. Without that,
/// the copy of a model in one file is the same, byte for byte.
///
/// # Errors
/// Those of [`Document::open`] and of [`Job::run`].
pub fn copy_onnx(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    save: &SaveOptions,
    options: JobOptions<'_>,
) -> Result<Report> {
    let mut wish = OnnxQuantization::new(OnnxRecipe::Copy);
    wish.save = save.clone();
    quantize_onnx(src, out, &wish, options)
}

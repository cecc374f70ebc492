//! Whole jobs on ONNX models.

#[cfg(feature = "onnxruntime")]
use crate::calibrate::{Calibration, Method, OnnxRuntime, Samples};
use crate::error::{Error, Result};
use crate::format::onnx::{Document, SaveOptions, is_onnx};
use crate::job::{Job, JobOptions, Report};
#[cfg(feature = "onnxruntime")]
use crate::recipe::onnx::observed;
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
    let mut job = Job::new(&planned.model, &planned.plan)?.onnx(&planned.document, &wish.save);
    if let Some(file) = &wish.encodings {
        let json = planned.encodings.to_json(file.version)?;
        job = job.beside(file.path.clone(), json.into_bytes());
    }
    let mut report = job.run(out, options)?;
    report.recipe = Some(wish.recipe.name().to_owned());
    Ok(report)
}

/// Runs an ONNX model with onnxruntime to find the ranges that a recipe needs. `samples` is an `.npz`
/// file or a folder of `.npy` files, with an array for each input whose first axis is the batch.
///
/// # Errors
/// Those of [`Document::open`], [`Samples::open`] and [`OnnxRuntime::open`]; `misuse` if the recipe needs
/// no ranges, if there are no samples, or if the model cannot be run on them.
#[cfg(feature = "onnxruntime")]
pub fn calibrate_onnx(
    src: impl AsRef<Path>,
    samples: impl AsRef<Path>,
    wish: &OnnxQuantization,
    method: Method,
) -> Result<Calibration> {
    let levels = wish.recipe.activations().ok_or_else(|| {
        Error::misuse(format!(
            "{} leaves activations alone, and needs no calibration; leave it out",
            wish.recipe.name()
        ))
    })?;
    let document = Document::open(src)?;
    let samples = Samples::open(samples)?;
    let in_model = |e: Error| e.in_file(document.path());
    let names = observed(&document, wish).map_err(in_model)?;
    let mut runtime = OnnxRuntime::open(&document, &names)?;
    let mut calibrator = runtime.calibrator(names);
    for sample in samples.iter() {
        calibrator.run(&mut runtime, &sample).map_err(in_model)?;
    }
    calibrator.finish(method, levels).map_err(in_model)
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

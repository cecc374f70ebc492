//! Whole jobs that write MLX folders.

use super::facade::files_in;
use crate::arch::{MlxSource, gguf_draft, mlx_draft};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::{self, hf::Folder};
use crate::job::{Job, JobOptions, Report};
use crate::model::Model;
use crate::recipe::mlx::{MlxPlan, MlxQuantization, MlxRecipe, exact_plan, plan};
use std::path::Path;

/// Makes an MLX folder of a Hugging Face folder: the tensors that `mlx_lm.convert` writes, byte for
/// byte, its config.json and index, and the tokenizer's files. Or of an MLX folder, whose layers are decoded,
/// and quantized again if `wish.allow_requantize`. Or of a GGUF file, whose blocks are repacked if
/// `wish.exact`, and decoded and quantized again if `wish.allow_requantize`.
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
/// Those of opening the model, of [`mlx_draft`] or [`gguf_draft`], of [`plan`] or [`exact_plan`], and of
/// [`Job::run`].
pub fn quantize_mlx(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &MlxQuantization,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    if !src.is_dir() {
        return from_gguf(src, out, wish, options);
    }
    if wish.exact && (wish.recipe != MlxRecipe::Plain || wish.dtype.is_some()) {
        return Err(
            Error::misuse("what is exact stays as it is stored; name no type").in_file(src),
        );
    }
    let model = format::open(src)?;
    let quantized = model.format() == "mlx";
    if quantized && wish.exact {
        return Err(Error::misuse("is an MLX folder already; copy it").in_file(src));
    }
    if quantized && wish.recipe != MlxRecipe::Plain && !wish.allow_requantize {
        return Err(Error::misuse(
            "its layers are quantized already, and quantizing them again loses more; allow requantizing if that is meant",
        )
        .in_file(src));
    }
    let folder = Folder::open(src)?;
    let draft = mlx_draft(MlxSource {
        folder: &folder,
        model: &model,
        dtype: wish.dtype,
        as_is: wish.as_is,
        exact: wish.exact,
    })?;
    let planned = plan(draft, wish).map_err(|e| e.in_file(src))?;
    let job = Job::new(&model, &planned.plan)?.mlx(&planned.document, wish.force);
    let mut report = job.inputs(files_in(src)?).run(out, options)?;
    report.recipe = Some(wish.recipe.name().to_owned());
    if model.format() != "mlx" {
        report.input_format = "huggingface".to_owned();
    }
    Ok(report)
}

fn from_gguf(
    src: &Path,
    out: &Path,
    wish: &MlxQuantization,
    options: JobOptions<'_>,
) -> Result<Report> {
    let model = format::open(src)?;
    if model.format() != "gguf" {
        return Err(Error::unsupported(
            "is neither a folder nor a GGUF file, of which MLX models are made",
        )
        .in_file(src));
    }
    let planned = gguf_plan(&model, wish).map_err(|e| e.in_file(src))?;
    let job = Job::new(&model, &planned.plan)?.mlx(&planned.document, wish.force);
    let inputs: Vec<_> = model.files().into_iter().map(Path::to_path_buf).collect();
    let mut report = job.inputs(inputs).run(out, options)?;
    report.recipe = Some(wish.recipe.name().to_owned());
    Ok(report)
}

fn gguf_plan(model: &Model, wish: &MlxQuantization) -> Result<MlxPlan> {
    if wish.as_is {
        return Err(Error::misuse(
            "the names in GGUF mean nothing to MLX; leave --as-is out",
        ));
    }
    if wish.exact {
        if wish.recipe != MlxRecipe::Plain || wish.dtype.is_some() {
            return Err(Error::misuse(
                "what is exact stays as it is stored; name no type",
            ));
        }
        return exact_plan(gguf_draft(model, None)?);
    }
    let again = wish.recipe != MlxRecipe::Plain && !wish.allow_requantize;
    let blocks = model
        .tensors()
        .iter()
        .find(|info| info.dtype.is_quantized());
    if let Some(info) = blocks.filter(|_| again) {
        return Err(Error::misuse(format!(
            "is {} already, and quantizing it again loses more; allow requantizing if that is meant, or keep its codes with --exact of convert",
            info.dtype
        ))
        .in_tensor(&info.name));
    }
    let dtype = wish.dtype.unwrap_or(DType::F16);
    plan(gguf_draft(model, Some(dtype))?, wish)
}

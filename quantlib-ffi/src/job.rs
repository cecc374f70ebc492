//! Whole jobs: from a path and a recipe to a file.

use crate::memory::text;
use crate::options::ql_options;
use crate::status::{guard, misuse, ql_status};
use quantlib::Error;
use quantlib::arch::OutType;
use quantlib::format::imatrix;
use quantlib::job::{
    JobOptions, Quantization, convert_model, convert_to_hf, quantize_mlx, quantize_model,
    quantize_onnx,
};
use quantlib::model::ImportanceSource;
use quantlib::recipe::Recipe;
use quantlib::recipe::mlx::MlxRecipe;
use std::ffi::c_char;
use std::ops::ControlFlow;

/// Quantizes a GGUF file or a Hugging Face folder into a GGUF file, with the bytes that
/// llama-quantize writes. `recipe` is one of its names, in either case: "q4_k_m". With a name such as
/// "mlx-4bit" a Hugging Face folder becomes a folder for MLX, with the tensors that mlx_lm.convert writes;
/// with "int4", "int8", "dynamic-int8", "fp16" and so on an ONNX model another. `options->settings` has
/// what else these may be told.
///
/// The output appears whole or not at all; an existing file is replaced at the end, but no folder that
/// is not empty.
///
/// # Safety
/// `src`, `out` and `recipe` are NUL-terminated strings (UTF-8); `options` is null or valid, and so
/// are its strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_quantize_model(
    src: *const c_char,
    out: *const c_char,
    recipe: *const c_char,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises NUL-terminated strings.
        let [src, out, recipe] = unsafe { texts([src, out, recipe], ["src", "out", "recipe"]) }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        // SAFETY: the caller promises valid strings.
        let settings = unsafe { options.settings() }?;
        if let Ok(recipe) = recipe.parse() {
            let mut wish = settings.onnx(recipe)?;
            wish.pure = options.pure != 0;
            return run(options, None, |job| {
                quantize_onnx(src, out, &wish, job).map(drop)
            });
        }
        if MlxRecipe::is_name(recipe) {
            let mut wish = settings.mlx(recipe.parse()?)?;
            wish.allow_requantize = options.allow_requantize != 0;
            return run(options, None, |job| {
                quantize_mlx(src, out, &wish, job).map(drop)
            });
        }
        settings.none("GGUF files")?;
        let mut wish = Quantization::new(recipe.parse::<Recipe>()?);
        wish.options.pure = options.pure != 0;
        wish.options.allow_requantize = options.allow_requantize != 0;
        let matrix = match options.imatrix.is_null() {
            true => None,
            // SAFETY: the caller promises a NUL-terminated string.
            false => Some(imatrix::Reader::open(unsafe {
                text(options.imatrix, "ql_options.imatrix")
            }?)?),
        };
        let importance = matrix.as_ref().map(|matrix| matrix as _);
        run(options, importance, |job| {
            quantize_model(src, out, &wish, job).map(drop)
        })
    })
}

/// Converts a Hugging Face folder into a GGUF file, with the bytes that llama.cpp's
/// convert_hf_to_gguf.py writes. `outtype` is one of its names: "f16", "bf16", "f32", "q8_0", "auto". With
/// "to=mlx" or "to=hf" in `options->settings` it makes a folder, also of an MLX folder or a GGUF file; with
/// "exact" codes and scales stay as they are.
///
/// # Safety
/// `src`, `out` and `outtype` are NUL-terminated strings (UTF-8); `options` is null or valid, and so are
/// its strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_convert_model(
    src: *const c_char,
    out: *const c_char,
    outtype: *const c_char,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises NUL-terminated strings.
        let [src, out, outtype] = unsafe { texts([src, out, outtype], ["src", "out", "outtype"]) }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        let outtype = outtype.parse::<OutType>()?;
        // SAFETY: the caller promises valid strings.
        let mut settings = unsafe { options.settings() }?;
        match settings.take("to") {
            Some("mlx") => {
                let mut wish = settings.mlx(MlxRecipe::Plain)?;
                wish.dtype = outtype.plain()?;
                return run(options, None, |job| {
                    quantize_mlx(src, out, &wish, job).map(drop)
                });
            }
            Some("hf") => {
                let wish = settings.hf(outtype)?;
                return run(options, None, |job| {
                    convert_to_hf(src, out, &wish, job).map(drop)
                });
            }
            None | Some("gguf") => {}
            Some(other) => {
                return Err(misuse(&format!(
                    "ql_options.settings: to={other}; say gguf, mlx or hf"
                )));
            }
        }
        let wish = settings.gguf(outtype)?;
        run(options, None, |job| {
            convert_model(src, out, &wish, job).map(drop)
        })
    })
}

/// # Safety
/// Each of `strings` is null or a NUL-terminated string that outlives the result.
unsafe fn texts<'a, const N: usize>(
    strings: [*const c_char; N],
    names: [&str; N],
) -> Result<[&'a str; N], Error> {
    let mut texts = [""; N];
    for ((to, from), name) in texts.iter_mut().zip(strings).zip(names) {
        // SAFETY: the caller's promise.
        *to = unsafe { text(from, name) }?;
    }
    Ok(texts)
}

/// Runs a job with the caller's options and its progress callback.
fn run(
    options: ql_options,
    importance: Option<&dyn ImportanceSource>,
    job: impl FnOnce(JobOptions<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut report = |done: u64, total: u64, _: &str| {
        let Some(progress) = options.progress else {
            return ControlFlow::Continue(());
        };
        // SAFETY: the caller gave a function of this type, to be called with its `user`.
        match unsafe { progress(options.user, done, total) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    let mut job_options = JobOptions::default();
    job_options.threads = options.threads as usize;
    job_options.memory_limit = options.memory_limit;
    job_options.non_finite = options.non_finite()?;
    job_options.importance = importance;
    job_options.progress = Some(&mut report);
    job(job_options)
}

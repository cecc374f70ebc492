//! `quantlib quantize`

use crate::args::{Exceptions, Format, Quantize, Target};
use crate::report;
use quantlib::calibrate::Calibration;
use quantlib::format::imatrix;
use quantlib::job::{Quantization, calibrate_onnx, quantize_mlx, quantize_model, quantize_onnx};
use quantlib::recipe::QuantizeOptions;
use quantlib::recipe::Recipe;
use quantlib::recipe::mlx::MlxRecipe;
use quantlib::recipe::onnx::OnnxRecipe;
use quantlib::{Error, ErrorKind, NonFinite};

pub(crate) fn run(mut args: Quantize) -> Result<(), Error> {
    if let Some(bytes) = args.max_buffer_size {
        args.job.memory_limit = bytes;
    }
    if args.to.is_some_and(|format| format != args.target.format()) {
        let what = "the type belongs to another format than --to names; leave --to out, or name a type of it: mlx-4bit for MLX, int4 for ONNX, q4_k_m for GGUF";
        return Err(Error::new(ErrorKind::Misuse, what));
    }
    refuse_others(&args)?;
    match args.target {
        Target::Gguf(recipe) => gguf(args, recipe),
        Target::Onnx(recipe) => onnx(args, recipe),
        Target::Mlx(recipe) => mlx(args, recipe),
    }
}

/// Fails for options of other formats than the type's.
fn refuse_others(args: &Quantize) -> Result<(), Error> {
    let target = args.target.format();
    for (format, given, what) in [
        (Format::Onnx, args.onnx.any(), "ONNX models"),
        (Format::Mlx, args.mlx.any(), "MLX folders"),
    ] {
        if given && format != target {
            let what =
                format!("the options of {what} have no meaning for this type; leave them out");
            return Err(Error::new(ErrorKind::Misuse, what));
        }
    }
    Ok(())
}

fn gguf(mut args: Quantize, recipe: Recipe) -> Result<(), Error> {
    let matrix = args.exceptions.imatrix.take();
    let matrix = matrix.map(imatrix::Reader::open).transpose()?;
    let non_finite = non_finite(&args);
    let mut wish = Quantization::new(recipe);
    wish.options = options(args.exceptions);
    wish.convert.pre = args.pre;
    wish.convert.loras = args.adapters.loras;
    let importance = matrix.as_ref().map(|matrix| matrix as _);
    report::run(&args.job, non_finite, importance, |options| {
        quantize_model(&args.src, &args.job.output, &wish, options)
    })
}

fn onnx(mut args: Quantize, recipe: OnnxRecipe) -> Result<(), Error> {
    let non_finite = non_finite(&args);
    let calibration = args.onnx.calibration.take();
    let method = args.onnx.calibration_method.unwrap_or_default();
    let mut wish = args.onnx.wish(recipe);
    wish.pure = args.exceptions.pure;
    if let Some(path) = calibration {
        wish.calibration = Some(match path.extension() {
            Some(ending) if ending == "json" || ending == "encodings" => Calibration::open(&path)?,
            _ => calibrate_onnx(&args.src, &path, &wish, method)?,
        });
    }
    report::run(&args.job, non_finite, None, |options| {
        quantize_onnx(&args.src, &args.job.output, &wish, options)
    })
}

fn mlx(args: Quantize, recipe: MlxRecipe) -> Result<(), Error> {
    let non_finite = non_finite(&args);
    let mut wish = args.mlx.wish(recipe);
    wish.allow_requantize = args.exceptions.allow_requantize;
    report::run(&args.job, non_finite, None, |options| {
        quantize_mlx(&args.src, &args.job.output, &wish, options)
    })
}

fn non_finite(args: &Quantize) -> NonFinite {
    match args.zero_non_finite {
        true => NonFinite::Zero,
        false => NonFinite::Refuse,
    }
}

fn options(args: Exceptions) -> QuantizeOptions {
    let mut options = QuantizeOptions::default();
    options.pure = args.pure;
    options.leave_output_tensor = args.leave_output_tensor;
    options.output_tensor_type = args.output_tensor_type;
    options.token_embedding_type = args.token_embedding_type;
    options.tensor_types = args.tensor_types.0;
    options.prune_layers = args.prune_layers;
    options.override_kv = args.override_kv;
    options.allow_requantize = args.allow_requantize;
    options.include_weights = args.include_weights;
    options.exclude_weights = args.exclude_weights;
    options.keep_split = args.keep_split;
    options
}

//! `quantlib convert`

use crate::args::{Convert, Format};
use crate::report;
use quantlib::arch::ConvertOptions;
use quantlib::format::onnx::is_onnx;
use quantlib::job::{convert_model, copy_onnx, quantize_mlx};
use quantlib::recipe::mlx::MlxRecipe;
use quantlib::{Error, ErrorKind, NonFinite};

pub(crate) fn run(args: Convert) -> Result<(), Error> {
    if is_onnx(&args.src) {
        return report::run(&args.job, NonFinite::Refuse, None, |options| {
            copy_onnx(&args.src, &args.job.output, &args.onnx.options(), options)
        });
    }
    if args.to == Some(Format::Mlx) {
        return mlx(&args);
    }
    if args.mlx.any() {
        let what = "the options of MLX folders have a meaning only with --to mlx; leave them out";
        return Err(Error::new(ErrorKind::Misuse, what));
    }
    let mut wish = ConvertOptions::default();
    wish.outtype = args.outtype;
    wish.pre = args.pre;
    wish.name = args.model_name;
    wish.loras = args.adapters.loras;
    wish.base = args.base;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        convert_model(&args.src, &args.job.output, &wish, options)
    })
}

fn mlx(args: &Convert) -> Result<(), Error> {
    let mut wish = args.mlx.wish(MlxRecipe::Plain);
    wish.dtype = args.outtype.plain()?;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        quantize_mlx(&args.src, &args.job.output, &wish, options)
    })
}

//! `quantlib convert`

use crate::args::{Convert, Format};
use crate::report;
use quantlib::arch::ConvertOptions;
use quantlib::format::onnx::is_onnx;
use quantlib::job::{HfConversion, convert_model, convert_to_hf, copy_onnx, quantize_mlx};
use quantlib::recipe::mlx::MlxRecipe;
use quantlib::{Error, ErrorKind, NonFinite};

pub(crate) fn run(args: Convert) -> Result<(), Error> {
    if is_onnx(&args.src) {
        return report::run(&args.job, NonFinite::Refuse, None, |options| {
            copy_onnx(&args.src, &args.job.output, &args.onnx.options(), options)
        });
    }
    match args.to {
        Some(Format::Mlx) => return mlx(&args),
        Some(Format::Hf) => return hf(&args),
        _ => {}
    }
    if args.mlx.as_is || args.mlx.force {
        let what = "--as-is and --force have a meaning only for folders, with --to mlx or --to hf; leave them out";
        return Err(Error::new(ErrorKind::Misuse, what));
    }
    let mut wish = ConvertOptions::default();
    wish.outtype = args.outtype;
    wish.pre = args.pre;
    wish.name = args.model_name;
    wish.loras = args.adapters.loras;
    wish.base = args.base;
    wish.exact = args.mlx.exact;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        convert_model(&args.src, &args.job.output, &wish, options)
    })
}

fn hf(args: &Convert) -> Result<(), Error> {
    if args.mlx.as_is {
        let what = "--as-is has a meaning only with --to mlx; leave it out";
        return Err(Error::new(ErrorKind::Misuse, what));
    }
    let mut wish = HfConversion::default();
    wish.dtype = args.outtype.plain()?;
    wish.exact = args.mlx.exact;
    wish.force = args.mlx.force;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        convert_to_hf(&args.src, &args.job.output, &wish, options)
    })
}

fn mlx(args: &Convert) -> Result<(), Error> {
    let mut wish = args.mlx.wish(MlxRecipe::Plain);
    wish.dtype = args.outtype.plain()?;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        quantize_mlx(&args.src, &args.job.output, &wish, options)
    })
}

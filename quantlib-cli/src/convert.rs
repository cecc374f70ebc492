//! `quantlib convert`

use crate::args::Convert;
use crate::report;
use quantlib::arch::ConvertOptions;
use quantlib::format::onnx::is_onnx;
use quantlib::job::{convert_model, copy_onnx};
use quantlib::{Error, NonFinite};

pub(crate) fn run(args: Convert) -> Result<(), Error> {
    if is_onnx(&args.src) {
        return report::run(&args.job, NonFinite::Refuse, None, |options| {
            copy_onnx(&args.src, &args.job.output, &args.onnx.options(), options)
        });
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

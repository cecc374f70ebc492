//! `quantlib convert`

use crate::args::Convert;
use crate::report;
use quantlib::arch::ConvertOptions;
use quantlib::job::convert_model;
use quantlib::{Error, NonFinite};

pub(crate) fn run(args: Convert) -> Result<(), Error> {
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

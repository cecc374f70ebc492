//! `quantlib split` and `quantlib merge`

use crate::args::{Merge, Split};
use crate::report;
use quantlib::job::{merge_model, split_model};
use quantlib::{Error, NonFinite};

pub(crate) fn split(args: &Split) -> Result<(), Error> {
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        split_model(&args.src, &args.job.output, &args.options(), options)
    })
}

pub(crate) fn merge(args: &Merge) -> Result<(), Error> {
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        merge_model(&args.src, &args.job.output, options)
    })
}

//! `quantlib extract`

use crate::args::Extract;
use crate::progress::Progress;
use crate::{output, report, signals};
use quantlib::Error;
use quantlib::job::{ExtractAs, JobOptions, extract_tensor};
use std::ops::ControlFlow;

pub(crate) fn run(args: &Extract) -> Result<(), Error> {
    let form = match args.raw {
        true => ExtractAs::Raw,
        false => ExtractAs::Npy,
    };
    let progress = Progress::new();
    let mut tell = |done, total, tensor: &str| {
        progress.set(done, total, tensor);
        ControlFlow::Continue(())
    };
    let mut options = JobOptions::default();
    options.cancel = Some(signals::cancel_flag());
    options.progress = Some(&mut tell);
    let info = extract_tensor(&args.src, &args.tensor, &args.output, form, options);
    drop(progress);
    let info = info?;
    output::text(&format!(
        "{}: {} ({}, {})\n",
        args.output.display(),
        info.name,
        info.dtype,
        report::shape(&info.shape)
    ))
}

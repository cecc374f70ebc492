//! `quantlib quantize`

use crate::args::{Exceptions, Quantize};
use crate::report;
use quantlib::job::{Quantization, quantize_model};
use quantlib::recipe::QuantizeOptions;
use quantlib::{Error, ErrorKind, NonFinite};

pub(crate) fn run(args: Quantize) -> Result<(), Error> {
    if args.exceptions.imatrix.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "importance matrices cannot be read yet; leave out --imatrix",
        ));
    }
    let mut wish = Quantization::new(args.recipe);
    wish.options = options(args.exceptions);
    wish.convert.pre = args.pre;
    let non_finite = match args.zero_non_finite {
        true => NonFinite::Zero,
        false => NonFinite::Refuse,
    };
    report::run(&args.job, non_finite, |options| {
        quantize_model(&args.src, &args.job.output, &wish, options)
    })
}

fn options(args: Exceptions) -> QuantizeOptions {
    let mut options = QuantizeOptions::default();
    options.pure = args.pure;
    options.leave_output_tensor = args.leave_output_tensor;
    options.output_tensor_type = args.output_tensor_type;
    options.token_embedding_type = args.token_embedding_type;
    options.tensor_types = args.tensor_types;
    options.prune_layers = args.prune_layers;
    options.override_kv = args.override_kv;
    options.allow_requantize = args.allow_requantize;
    options
}

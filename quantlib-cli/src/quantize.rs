//! `quantlib quantize`

use crate::args::{Exceptions, Quantize};
use crate::report;
use quantlib::format::imatrix;
use quantlib::job::{Quantization, quantize_model};
use quantlib::recipe::QuantizeOptions;
use quantlib::{Error, NonFinite};

pub(crate) fn run(mut args: Quantize) -> Result<(), Error> {
    let matrix = args.exceptions.imatrix.take();
    let matrix = matrix.map(imatrix::Reader::open).transpose()?;
    if let Some(bytes) = args.max_buffer_size {
        args.job.memory_limit = bytes;
    }
    let mut wish = Quantization::new(args.recipe);
    wish.options = options(args.exceptions);
    wish.convert.pre = args.pre;
    wish.convert.loras = args.adapters.loras;
    let non_finite = match args.zero_non_finite {
        true => NonFinite::Zero,
        false => NonFinite::Refuse,
    };
    let importance = matrix.as_ref().map(|matrix| matrix as _);
    report::run(&args.job, non_finite, importance, |options| {
        quantize_model(&args.src, &args.job.output, &wish, options)
    })
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

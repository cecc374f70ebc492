//! The extension module `quantlib._quantlib`: it converts arguments, releases the interpreter while
//! the core works, and turns errors into exceptions. What things do is decided in the core.

// The names here are Python's; Python's tools read the docstrings, nothing reads rustdoc.
#![expect(
    unreachable_pub,
    reason = "pyo3's macros need `pub` in private modules"
)]

mod affine;
mod array;
mod calibrate;
mod codec;
mod dlpack;
mod dtype;
mod errors;
mod imatrix;
mod job;
mod matvec;
mod model;
mod rewrite;
mod transcode;
mod value;
mod work;
mod write;

use pyo3::prelude::*;

#[pymodule]
mod _quantlib {
    #[pymodule_export]
    use crate::affine::{AffineTensor, quantize_affine};
    #[pymodule_export]
    use crate::calibrate::{CalibrationStore, load_ranges, read_ranges, to_encodings};
    #[pymodule_export]
    use crate::codec::{QuantizedTensor, dequantize, quantize};
    #[pymodule_export]
    use crate::dtype::{build_info, type_table};
    #[pymodule_export]
    use crate::imatrix::{ImportanceStore, tensor_names};
    #[pymodule_export]
    use crate::job::{convert_model, quantize_model, run_command};
    #[pymodule_export]
    use crate::matvec::{matvec, matvec_q8};
    #[pymodule_export]
    use crate::model::{ModelFile, Tensor};
    #[pymodule_export]
    use crate::rewrite::{compare, edit_metadata, extract_tensor, merge_model, split_model};
    #[pymodule_export]
    use crate::transcode::transcode;
    #[pymodule_export]
    use crate::write::{GgufWriter, save};
}

//! `transcode`.

use crate::affine::{self, AffineTensor};
use crate::codec::{self, QuantizedTensor};
use crate::errors::to_python;
use crate::work;
use numpy::PyArrayMethods;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use quantlib::transcode::{Encoded, EncodedView, TargetWish, target, transcode_with};
use quantlib::{CodecOptions, TensorView};

/// Up to this many bytes are repacked on the calling thread, in well under a second.
const SMALL: usize = 1 << 20;

/// Repack a quantized tensor so that it decodes to the same numbers in float32.
///
/// Nothing is rounded: the codes and scales of the result are those of `q` as real numbers. What the
/// target cannot hold so is refused, naming the first group that does not fit. Clients that decode in
/// float16 or bfloat16 round on their own.
///
/// Parameters
/// ----------
/// q : QuantizedTensor or AffineTensor
///     What to repack.
/// to : str
///     A tensor type that can be made of given codes and scales ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0",
///     "mxfp4", "nvfp4"), or a layout: "mlx" (the mode for 4-bit floats, if `q` has such), "gpt-oss",
///     "matmulnbits", "qdq", "openvino".
/// bits, group_size, scale_dtype
///     As for :func:`quantize_affine`; by default what holds all that `q` has.
/// axis : int, optional
///     The axis of groups; for "qdq", 0 makes the transpose (K, N) of (N, K), as MatMul has its weights.
/// symmetric : bool, optional
///     Leave out zero points; by default if `q` has the same one everywhere.
/// threads : int, optional
///     Number of threads; all processors by default.
///
/// Returns
/// -------
/// QuantizedTensor or AffineTensor
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize(np.linspace(-1, 1, 64, dtype=np.float32)[None], "q4_0")
/// >>> planes = ql.transcode(q, "mlx")
/// >>> planes.codes.shape, planes.scales.dtype
/// ((1, 8), dtype('float16'))
/// >>> bool((planes.dequantize() == q.dequantize()).all())
/// True
#[pyfunction]
#[pyo3(signature = (q, to, *, bits=None, group_size=None, axis=None, symmetric=None, scale_dtype=None,
    threads=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn transcode<'py>(
    q: &Bound<'py, PyAny>,
    to: &str,
    bits: Option<u8>,
    group_size: Option<usize>,
    axis: Option<isize>,
    symmetric: Option<bool>,
    scale_dtype: Option<&str>,
    threads: Option<i64>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = codec::options(threads)?;
    let wish = TargetWish {
        bits,
        group: group_size,
        axis,
        scale: scale_dtype.map(affine::scale_type).transpose()?,
        symmetric,
    };
    let work = Work { to, wish, options };
    if let Ok(q) = q.cast::<QuantizedTensor>() {
        let (dtype, shape, data) = q.get().parts();
        let data = data.bind(q.py()).readonly();
        let view = TensorView::new(dtype, shape, data.as_slice()?).map_err(to_python)?;
        return work.run(q.py(), view.into(), data.as_slice()?.len());
    }
    let Ok(q) = q.cast::<AffineTensor>() else {
        return Err(PyTypeError::new_err(
            "transcode takes a QuantizedTensor or an AffineTensor; encode the array with quantize or quantize_affine first",
        ));
    };
    let planes = q.get().read(q.py());
    work.run(q.py(), q.get().view(planes.planes()?), q.get().nbytes())
}

struct Work<'a> {
    to: &'a str,
    wish: TargetWish,
    options: CodecOptions,
}

impl Work<'_> {
    fn run<'py>(
        self,
        py: Python<'py>,
        view: EncodedView<'_>,
        bytes: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Self {
            to,
            wish,
            mut options,
        } = self;
        let encoding = target(view, to, &wish).map_err(to_python)?;
        let encoded = work::run_silently(py, bytes <= SMALL, |cancel| {
            options.cancel = cancel;
            transcode_with(view, &encoding, &options)
        })?;
        match encoded {
            Encoded::Block(tensor) => {
                Ok(Bound::new(py, QuantizedTensor::from_core(py, tensor)?)?.into_any())
            }
            Encoded::Affine(tensor) => {
                Ok(Bound::new(py, AffineTensor::from_core(py, *tensor))?.into_any())
            }
        }
    }
}

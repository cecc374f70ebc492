//! `quantize_affine` and `AffineTensor`.

use crate::array::{self, FloatArray};
use crate::codec::{self, FloatType};
use crate::dtype;
use crate::errors::{misuse, to_python};
use crate::work;
use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantlib::affine::{AffinePlane, AffinePlanes, AffineWish, Clip, GlobalScale, Group};
use quantlib::planar::AffinePlanesMut;
use quantlib::transcode::EncodedView;
use quantlib::{AffineLayout, AffineSpec, DType};

/// Up to this many elements are encoded or decoded on the calling thread, in well under a second.
const SMALL: usize = 1 << 18;

/// Encode an array to codes, scales, and zero points or biases, bit for bit as the layout's own tool.
///
/// Parameters
/// ----------
/// x : array_like
///     float32, float16, bfloat16 (``ml_dtypes``) or float64 (rounded to float32), as for
///     :func:`quantize`.
/// bits : int
///     Bits of a code.
/// group_size : int, optional
///     Elements along `axis` that share a scale. None: one scale for each index of `axis`.
/// axis : int, optional
///     The axis that `group_size` speaks of. None: one scale for the whole tensor.
/// symmetric : bool
///     Ranges that are the same on both sides of zero: no zero points.
/// scale_dtype : {"float32", "float16", "bfloat16"}, optional
///     The type of scales and biases; by default what the tool would write: that of `x`, or float16
///     for "openvino".
/// layout : {"mlx", "mxfp4", "mxfp8", "nvfp4", "gpt-oss", "matmulnbits", "qdq", "openvino", ...}
///     ``"mlx"`` is ``mx.quantize``; ``"mxfp4"``, ``"mxfp8"`` and ``"nvfp4"`` are its modes, which
///     have their own bits, groups and scales; ``"gpt-oss"`` is the first of these, packed as blocks.
///     ``"matmulnbits"`` and ``"qdq"`` are what onnxruntime's
///     tools write for MatMulNBits (`x` is (N, K) there, the transpose of MatMul's operand) and
///     DequantizeLinear. ``"openvino"`` is ``nncf.compress_weights``, and ``"openvino-nf4"``, ``-fp4``,
///     ``-fp8``, ``-mxfp4`` and ``-mxfp8`` its float modes. ``"nf4"`` and ``"fp4"`` are bitsandbytes' types
///     as onnxruntime's MatMulBnb4 has them, with groups of all elements in their order, and
///     ``"fp8-e4m3"`` and ``"fp8-e5m2"`` 8-bit floats for DequantizeLinear; these have their own bits.
/// clip : float or {"entropy", "mse"}, optional
///     Keep less than the whole range of what shares a scale: that of so many per cent of the elements
///     (99.999 is common), what has the least relative entropy, or the least squared error. The first
///     two, as onnxruntime's calibration has them, are not for groups.
/// global_scale : float, optional
///     For "nvfp4": the largest magnitude of the tensor, to which scales become relative, as
///     ``mx.quantize`` has it.
/// threads : int, optional
///     Number of threads; all processors by default.
/// non_finite : {"error", "zero"}
///     What to do with NaN and infinities.
///
/// Returns
/// -------
/// AffineTensor
///
/// Examples
/// --------
/// >>> import numpy as np, quantlib as ql
/// >>> q = ql.quantize_affine(np.ones((2, 64), np.float32), bits=4, group_size=32)
/// >>> q.codes.shape, q.codes.dtype, q.scales.shape
/// ((2, 8), dtype('uint32'), (2, 2))
/// >>> float(q.dequantize()[1, 5])
/// 1.0
#[pyfunction]
#[pyo3(
    signature = (x, bits=4, group_size=Some(32), axis=Some(-1), symmetric=false, scale_dtype=None,
        layout="mlx", *, clip=None, global_scale=None, threads=None, non_finite="error"),
    text_signature = "(x, bits=4, group_size=32, axis=-1, symmetric=False, scale_dtype=None, \
        layout='mlx', *, clip=None, global_scale=None, threads=None, non_finite='error')"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn quantize_affine<'py>(
    x: &Bound<'py, PyAny>,
    bits: u8,
    group_size: Option<usize>,
    axis: Option<isize>,
    symmetric: bool,
    scale_dtype: Option<&str>,
    layout: &str,
    clip: Option<&Bound<'py, PyAny>>,
    global_scale: Option<f32>,
    threads: Option<i64>,
    non_finite: &str,
) -> PyResult<AffineTensor> {
    let py = x.py();
    let mut options = codec::options(threads)?;
    options.non_finite = codec::non_finite(non_finite)?;
    let x = FloatArray::of(x)?;
    let wish = AffineWish {
        bits,
        group: group(group_size, axis),
        axis: axis.unwrap_or(-1),
        symmetric,
        scale: scale_dtype.map(scale_type).transpose()?,
        clip: clip.map_or(Ok(Clip::None), self::clip)?,
    };
    let floats = x.floats()?;
    let spec = spec(layout, &wish, floats.dtype(), global_scale).map_err(to_python)?;
    let layout = AffineLayout::new(&spec, x.shape()).map_err(to_python)?;
    let bytes = |len| array::empty::<u8>(py, &[len], "uint8");
    let codes = bytes(layout.codes().bytes)?;
    let scales = bytes(layout.scales().bytes)?;
    let zeros = bytes(layout.zeros().map_or(0, |plane| plane.bytes))?;
    {
        let (mut codes, mut scales, mut zeros) =
            (codes.readwrite(), scales.readwrite(), zeros.readwrite());
        let planes = AffinePlanesMut {
            codes: codes.as_slice_mut()?,
            scales: scales.as_slice_mut()?,
            zeros: zeros.as_slice_mut()?,
        };
        let layout = &layout;
        work::run_silently(py, floats.len() <= SMALL, |cancel| {
            options.cancel = cancel;
            quantlib::quantize_affine_into(floats, layout, &options, planes)
        })?;
    }
    Ok(AffineTensor {
        shape: x.shape().to_vec(),
        layout,
        codes: codes.unbind(),
        scales: scales.unbind(),
        zeros: zeros.unbind(),
    })
}

fn spec(
    layout: &str,
    wish: &AffineWish,
    source: DType,
    global_scale: Option<f32>,
) -> quantlib::Result<AffineSpec> {
    let mut spec = AffineSpec::for_layout(layout, wish, source)?;
    spec.global_scale = global_scale.map(GlobalScale::new).transpose()?;
    Ok(spec)
}

fn group(group_size: Option<usize>, axis: Option<isize>) -> Group {
    match (group_size, axis) {
        (_, None) => Group::Tensor,
        (None, _) => Group::Axis,
        (Some(n), _) => Group::Blocks(n),
    }
}

/// The bytes of a plane as an array of their own.
fn plane_bytes(what: &str, plane: &Bound<'_, PyAny>, need: usize) -> PyResult<Py<PyArrayDyn<u8>>> {
    let py = plane.py();
    let bytes: Vec<u8> = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "asarray"), (plane,))?
        .call_method0(intern!(py, "tobytes"))?
        .extract::<pyo3::pybacked::PyBackedBytes>()?
        .to_vec();
    if bytes.len() != need {
        return Err(misuse(format!(
            "{what} has {} bytes, but this layout has {need} of them; check the shape, bits and group_size",
            bytes.len()
        )));
    }
    Ok(array::of_bytes(py, bytes).unbind())
}

fn clip(wish: &Bound<'_, PyAny>) -> PyResult<Clip> {
    if let Ok(percent) = wish.extract::<f64>() {
        let millionths = (percent * 1e4).round();
        if !(0.0..=1e6).contains(&millionths) {
            return Err(misuse(format!(
                "clip is {percent}; pass a number of per cent from 0 to 100"
            )));
        }
        return Ok(Clip::Percentile {
            millionths: millionths as u32,
        });
    }
    match wish.extract::<String>()?.as_str() {
        "entropy" => Ok(Clip::Entropy),
        "mse" => Ok(Clip::LeastError),
        name => Err(misuse(format!(
            "clip is '{name}'; pass a number of per cent, 'entropy' or 'mse'"
        ))),
    }
}

pub(crate) fn scale_type(name: &str) -> PyResult<DType> {
    match name {
        "float32" | "f32" => Ok(DType::F32),
        "float16" | "f16" => Ok(DType::F16),
        "bfloat16" | "bf16" => Ok(DType::BF16),
        "f8_e8m0" | "float8_e8m0fnu" => Ok(DType::F8E8M0),
        "f8_e4m3" | "float8_e4m3fn" => Ok(DType::F8E4M3),
        _ => Err(misuse(format!(
            "scale_dtype is '{name}'; pass 'float32', 'float16', 'bfloat16', 'f8_e8m0' or 'f8_e4m3'"
        ))),
    }
}

/// A quantized tensor in planes: codes, scales, and zero points or biases.
#[pyclass(frozen, module = "quantlib")]
pub struct AffineTensor {
    layout: AffineLayout,
    shape: Vec<usize>,
    codes: Py<PyArrayDyn<u8>>,
    scales: Py<PyArrayDyn<u8>>,
    zeros: Py<PyArrayDyn<u8>>,
}

#[pymethods]
impl AffineTensor {
    /// Take planes that are encoded already, such as those of a file.
    ///
    /// Parameters
    /// ----------
    /// shape : tuple of int
    ///     The shape in elements.
    /// codes, scales, zeros : arrays
    ///     The planes, of the types and shapes that :func:`quantize_affine` gives them; only their bytes
    ///     count. `zeros` are biases or zero points, None if there are none.
    /// bits, group_size, axis, layout, global_scale
    ///     As for :func:`quantize_affine`; also "gpt-oss", whose planes are its blocks and scales.
    ///
    /// Examples
    /// --------
    /// >>> import numpy as np, quantlib as ql
    /// >>> q = ql.quantize_affine(np.ones((2, 64), np.float32), layout="mxfp4")
    /// >>> same = ql.AffineTensor.from_planes((2, 64), q.codes, q.scales, layout="mxfp4")
    /// >>> bool((same.dequantize() == q.dequantize()).all())
    /// True
    #[staticmethod]
    #[pyo3(
        signature = (shape, codes, scales, zeros=None, *, bits=4, group_size=Some(32), axis=Some(-1),
            layout="mlx", global_scale=None),
        text_signature = "(shape, codes, scales, zeros=None, *, bits=4, group_size=32, axis=-1, \
            layout='mlx', global_scale=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn from_planes<'py>(
        shape: Vec<usize>,
        codes: &Bound<'py, PyAny>,
        scales: &Bound<'py, PyAny>,
        zeros: Option<&Bound<'py, PyAny>>,
        bits: u8,
        group_size: Option<usize>,
        axis: Option<isize>,
        layout: &str,
        global_scale: Option<f32>,
    ) -> PyResult<Self> {
        let scale: String = scales
            .getattr("dtype")
            .and_then(|dtype| dtype.getattr("name")?.extract())?;
        let wish = AffineWish {
            bits,
            group: group(group_size, axis),
            axis: axis.unwrap_or(-1),
            symmetric: zeros.is_none() && matches!(layout, "matmulnbits" | "qdq" | "openvino"),
            scale: match &scale[..] {
                "float32" | "float16" | "bfloat16" => Some(scale_type(&scale)?),
                _ => None,
            },
            clip: Clip::None,
        };
        let spec = spec(layout, &wish, DType::F32, global_scale).map_err(to_python)?;
        let layout = AffineLayout::new(&spec, &shape).map_err(to_python)?;
        let zero_bytes = layout.zeros().map_or(0, |plane| plane.bytes);
        let no_zeros = array::of_bytes(codes.py(), Vec::new()).into_any();
        let zeros = zeros.unwrap_or(&no_zeros);
        Ok(Self {
            codes: plane_bytes("codes", codes, layout.codes().bytes)?,
            scales: plane_bytes("scales", scales, layout.scales().bytes)?,
            zeros: plane_bytes("zeros", zeros, zero_bytes)?,
            shape,
            layout,
        })
    }

    /// The packed codes, with the type and shape that the layout's clients expect.
    #[getter]
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        typed(self.codes.bind(py), self.layout.codes())
    }

    /// The scales; 8-bit floats as uint8.
    #[getter]
    fn scales<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        typed(self.scales.bind(py), self.layout.scales())
    }

    /// The codes of zero, packed like `codes`; None if there are none.
    #[getter]
    fn zero_points<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.zeros(py, quantlib::affine::Zero::Point)
    }

    /// What is added after scaling, in the scales' type; None if the layout has zero points or neither.
    #[getter]
    fn biases<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.zeros(py, quantlib::affine::Zero::Bias)
    }

    /// The shape in elements.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// What the scales are relative to; None but for "nvfp4" with such a scale.
    #[getter]
    fn global_scale(&self) -> Option<f32> {
        self.layout.spec().global_scale.map(GlobalScale::get)
    }

    /// Bits of a code.
    #[getter]
    fn bits(&self) -> u8 {
        self.layout.spec().bits
    }

    /// The length of all planes in bytes.
    #[getter]
    pub(crate) fn nbytes(&self) -> usize {
        let zeros = self.layout.zeros().map_or(0, |plane| plane.bytes);
        self.layout.codes().bytes + self.layout.scales().bytes + zeros
    }

    /// Decode to an array of "float32", "float16" or "bfloat16" (which needs ``ml_dtypes``): computed in
    /// single precision, then rounded.
    #[pyo3(
        signature = (out_dtype=None, threads=None),
        text_signature = "($self, out_dtype='float32', threads=None)"
    )]
    fn dequantize<'py>(
        &self,
        py: Python<'py>,
        out_dtype: Option<&Bound<'py, PyAny>>,
        threads: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let float = FloatType::of(out_dtype)?;
        let mut options = codec::options(threads)?;
        let out = array::empty::<f32>(py, &self.shape, "float32")?;
        let planes = self.read(py);
        let planes = planes.planes()?;
        {
            let mut out = out.readwrite();
            let (out, layout) = (out.as_slice_mut()?, &self.layout);
            work::run_silently(py, out.len() <= SMALL, |cancel| {
                options.cancel = cancel;
                quantlib::dequantize_affine_into(layout, planes, &options, out)
            })?;
        }
        match float {
            FloatType::F32 => Ok(out.into_any()),
            FloatType::F16 => out.call_method1(intern!(py, "astype"), ("float16",)),
            FloatType::BF16 => {
                let bf16 = dtype::element(py, DType::BF16)?;
                out.call_method1(intern!(py, "astype"), (bf16,))
            }
        }
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        codec::as_numpy(self.dequantize(py, None, None)?, dtype, copy)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "AffineTensor(bits={}, shape={}, nbytes={})",
            self.bits(),
            self.shape(py)?.repr()?,
            self.nbytes()
        ))
    }
}

/// The planes, borrowed from their arrays.
pub(crate) struct Planes<'py>([PyReadonlyArrayDyn<'py, u8>; 3]);

impl Planes<'_> {
    pub(crate) fn planes(&self) -> PyResult<AffinePlanes<'_>> {
        let [codes, scales, zeros] = &self.0;
        Ok(AffinePlanes {
            codes: codes.as_slice()?,
            scales: scales.as_slice()?,
            zeros: zeros.as_slice()?,
        })
    }
}

impl AffineTensor {
    /// The core's tensor as Python's.
    pub(crate) fn from_core(py: Python<'_>, tensor: quantlib::AffineTensor) -> Self {
        let (layout, shape) = (tensor.layout().clone(), tensor.shape().to_vec());
        let (codes, scales, zeros) = tensor.into_planes();
        let array = |bytes| array::of_bytes(py, bytes).unbind();
        Self {
            layout,
            shape,
            codes: array(codes),
            scales: array(scales),
            zeros: array(zeros),
        }
    }

    pub(crate) fn read<'py>(&self, py: Python<'py>) -> Planes<'py> {
        Planes([&self.codes, &self.scales, &self.zeros].map(|plane| plane.bind(py).readonly()))
    }

    /// The core's view of these planes.
    pub(crate) fn view<'a>(&'a self, planes: AffinePlanes<'a>) -> EncodedView<'a> {
        EncodedView::Affine {
            layout: &self.layout,
            shape: &self.shape,
            planes,
        }
    }

    fn zeros<'py>(
        &self,
        py: Python<'py>,
        kind: quantlib::affine::Zero,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.layout.zeros() {
            Some(plane) if self.layout.spec().zero == kind => {
                typed(self.zeros.bind(py), plane).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The same memory with a plane's type and shape.
fn typed<'py>(
    bytes: &Bound<'py, PyArrayDyn<u8>>,
    plane: &AffinePlane,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    let shape = PyTuple::new(py, &plane.shape)?;
    let typed = match plane.dtype {
        DType::BF16 => {
            bytes.call_method1(intern!(py, "view"), (dtype::element(py, plane.dtype)?,))?
        }
        other => array::view(bytes, numpy_name(other))?,
    };
    typed.call_method1(intern!(py, "reshape"), (shape,))
}

fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        _ => "uint8",
    }
}

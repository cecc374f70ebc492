//! Quantized tensors in memory: a shape, an encoding and its planes.

use crate::affine::{AffineLayout, AffinePlane, AffineSpec, Element, Group, Zero};
use crate::codec;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::numeric::{Bf16, F16};
use crate::simd::{Isa, Kernel, Lanes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a tensor is stored: in one plane of interleaved blocks, or in several planes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Encoding {
    /// One plane, `data`, of ggml blocks or plain elements.
    Block(DType),
    /// The planes `codes`, `scales` and `zero_points` or `biases`.
    Affine(AffineSpec),
}

/// `q4_k`; or for planar encodings the code, and the elements that share a scale: `u4:32`.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(dtype) => f.pad(dtype.name()),
            Self::Affine(spec) => {
                let element = match spec.element {
                    Element::Unsigned => format!("u{}", spec.bits),
                    Element::Signed => format!("i{}", spec.bits),
                    Element::E2M1 => "f4_e2m1".to_owned(),
                    Element::E4M3 => "f8_e4m3".to_owned(),
                    Element::E5M2 => "f8_e5m2".to_owned(),
                    Element::Nf4 => "nf4".to_owned(),
                    Element::Fp4 => "fp4".to_owned(),
                };
                match spec.group {
                    Group::Blocks(n) => f.pad(&format!("{element}:{n}")),
                    Group::Axis | Group::Tensor => f.pad(&element),
                }
            }
        }
    }
}

/// One of the byte arrays that an [`Encoding`] is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    /// `"data"` for block formats; `"codes"`, `"scales"`, `"zero_points"`, `"biases"` for planar ones.
    pub name: &'static str,
    /// Length in bytes.
    pub bytes: usize,
}

impl Encoding {
    /// The planes of a tensor of this shape, with their sizes.
    pub fn planes(&self, shape: &[usize]) -> Result<Vec<Plane>> {
        match self {
            Self::Block(dtype) => Ok(vec![Plane {
                name: "data",
                bytes: dtype.tensor_bytes(shape)?,
            }]),
            Self::Affine(spec) => {
                let layout = AffineLayout::new(spec, shape)?;
                let plane = |name, plane: &AffinePlane| Plane {
                    name,
                    bytes: plane.bytes,
                };
                let zeros = match spec.zero {
                    Zero::Bias => "biases",
                    _ => "zero_points",
                };
                let mut planes = vec![
                    plane("codes", layout.codes()),
                    plane("scales", layout.scales()),
                ];
                planes.extend(layout.zeros().map(|zero| plane(zeros, zero)));
                Ok(planes)
            }
        }
    }

    /// The type of a tensor of one plane.
    ///
    /// # Errors
    /// `unsupported` for planar encodings, for containers and jobs that know none.
    pub fn block(&self) -> Result<DType> {
        match self {
            Self::Block(dtype) => Ok(*dtype),
            Self::Affine(_) => Err(Error::unsupported(
                "codes and scales in planes of their own cannot be stored here; choose a type of one plane",
            )),
        }
    }
}

/// Borrowed floats of one of the types that encoders read.
#[derive(Clone, Copy, Debug)]
pub enum Floats<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [half::f16]),
    /// The upper half of single precision.
    BF16(&'a [half::bf16]),
}

impl<'a> Floats<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::BF16(x) => x.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
        }
    }

    /// The elements from `start` up to `end`; panics if they are out of range.
    pub fn slice(&self, start: usize, end: usize) -> Self {
        match self {
            Self::F32(x) => Self::F32(&x[start..end]),
            Self::F16(x) => Self::F16(&x[start..end]),
            Self::BF16(x) => Self::BF16(&x[start..end]),
        }
    }

    /// The elements as f32: borrowed if they are f32 already, else widened into `scratch`.
    pub fn widen<'s>(&self, isa: Isa, scratch: &'s mut Vec<f32>) -> &'s [f32]
    where
        'a: 's,
    {
        if let Self::F32(x) = self {
            return x;
        }
        scratch.resize(self.len(), 0.0);
        isa.run(Widen {
            from: *self,
            to: scratch,
        });
        scratch
    }
}

/// Widening is compiled for each instruction set.
struct Widen<'a> {
    from: Floats<'a>,
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        match self.from {
            Floats::F32(x) => self.to.copy_from_slice(x),
            Floats::F16(x) => {
                for (y, h) in self.to.iter_mut().zip(x) {
                    *y = F16::from_bits(h.to_bits()).to_f32();
                }
            }
            Floats::BF16(x) => {
                for (y, h) in self.to.iter_mut().zip(x) {
                    *y = Bf16::from_bits(h.to_bits()).to_f32();
                }
            }
        }
    }
}

impl<'a> From<&'a [f32]> for Floats<'a> {
    fn from(x: &'a [f32]) -> Self {
        Self::F32(x)
    }
}

impl<'a> From<&'a [half::f16]> for Floats<'a> {
    fn from(x: &'a [half::f16]) -> Self {
        Self::F16(x)
    }
}

impl<'a> From<&'a [half::bf16]> for Floats<'a> {
    fn from(x: &'a [half::bf16]) -> Self {
        Self::BF16(x)
    }
}

/// A borrowed tensor: bytes with the type and shape that give them meaning.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: &'a [usize],
    data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Views `data` as a row-major tensor; `misuse` if the length does not fit the shape.
    pub fn new(dtype: DType, shape: &'a [usize], data: &'a [u8]) -> Result<Self> {
        let need = dtype.tensor_bytes(shape)?;
        if data.len() != need {
            return Err(Error::misuse(format!(
                "a {dtype} tensor of shape {shape:?} has {need} bytes, but {} were given",
                data.len()
            )));
        }
        Ok(Self { dtype, shape, data })
    }

    /// How the elements are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The row-major shape.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Decodes to f32; see [`dequantize`](crate::dequantize).
    pub fn dequantize(&self) -> Result<Vec<f32>> {
        codec::dequantize(self.data, self.dtype)
    }
}

/// A quantized tensor that owns its bytes.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::DType;
/// let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
/// let q = quantlib::quantize(&x, 32, DType::F16, None)?;
/// assert_eq!(q.shape(), [2, 32]);
/// assert_eq!(q.dequantize()?, x);
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedTensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl QuantizedTensor {
    /// Takes bytes that are encoded already; `misuse` if the length does not fit the shape.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Vec<u8>) -> Result<Self> {
        TensorView::new(dtype, &shape, &data)?;
        Ok(Self { dtype, shape, data })
    }

    /// How the elements are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The row-major shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The encoded bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The encoded bytes, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Length in bytes.
    pub fn nbytes(&self) -> usize {
        self.data.len()
    }

    /// A borrowed view.
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            dtype: self.dtype,
            shape: &self.shape,
            data: &self.data,
        }
    }

    /// Decodes to f32; see [`dequantize`](crate::dequantize).
    pub fn dequantize(&self) -> Result<Vec<f32>> {
        self.view().dequantize()
    }
}

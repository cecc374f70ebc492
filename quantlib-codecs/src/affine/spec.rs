//! How a planar tensor is quantized and laid out: plain data, without a shape.

use super::global::GlobalScale;
use crate::dtype::DType;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a planar tensor is quantized and laid out.
///
/// Start from one of the constructors, which name what a tool writes, and change fields.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::AffineSpec;
/// use quantlib::affine::Zero;
/// let spec = AffineSpec::mlx(4, 64, quantlib::DType::F16);
/// assert_eq!((spec.bits, spec.zero), (4, Zero::Bias));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffineSpec {
    /// Bits of a code: 1 to 8, or 16.
    pub bits: u8,
    /// What a code means before it is scaled.
    pub element: Element,
    /// Which elements share a scale.
    pub group: Group,
    /// The axis that `group` speaks of; negative counts from the last. Without meaning for
    /// [`Group::Tensor`].
    pub axis: isize,
    /// Whether the range is the same on both sides of zero.
    pub symmetric: bool,
    /// How scales are stored: f32, f16, bf16, f8_e8m0 or f8_e4m3.
    pub scale: DType,
    /// What is stored to place zero.
    pub zero: Zero,
    /// How codes are laid out in bytes.
    pub packing: Packing,
    /// Whose arithmetic finds scales and codes.
    pub formula: Formula,
    /// How much of a group's range is kept.
    #[serde(default)]
    pub clip: Clip,
    /// What nvfp4's scales are relative to, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_scale: Option<GlobalScale>,
}

/// How much of the range between the least and the largest element is kept; what is beyond gets the
/// outermost codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Clip {
    /// All of it: every tool's default.
    #[default]
    None,
    /// The range of this share of the elements, in millionths, by a histogram of 2048 bins as
    /// onnxruntime's calibration has it: of magnitudes if the spec is symmetric, else cut on both
    /// sides. 999 990 is its default. Not for groups.
    Percentile {
        /// 1 000 000 is all.
        millionths: u32,
    },
    /// The range with the least relative entropy, by a histogram of 2048 bins as onnxruntime's
    /// calibration has it. Not for groups.
    Entropy,
    /// The fraction of the range, from all of it down to a fifth in steps of a hundredth, with the
    /// least squared error.
    LeastError,
}

/// What a code means before it is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Element {
    /// An integer from 0 on.
    Unsigned,
    /// An integer in two's complement.
    Signed,
    /// The 4-bit float with 2 exponent bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
    E2M1,
    /// The 8-bit float with 4 exponent bits and no infinities.
    E4M3,
    /// The 8-bit float with 5 exponent bits.
    E5M2,
    /// bitsandbytes' NF4: 16 quantiles of a normal distribution from -1 to 1.
    Nf4,
    /// bitsandbytes' FP4: 0, 1/192, 1/6, 1/4, 1/3, 1/2, 2/3, 1 and their negatives.
    Fp4,
}

/// Which elements share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// All of them.
    Tensor,
    /// Those with the same index along the axis: ONNX's "per axis", a channel's scale.
    Axis,
    /// So many neighbours along the axis; the last group may be shorter.
    Blocks(usize),
}

/// What is stored to place zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zero {
    /// Nothing: the code of zero is 0, or the middle of the codes in [`Packing::MatMulNBits`].
    None,
    /// The code of zero: x = (code - zero) · scale.
    Point,
    /// A float of the scale's type: x = code · scale + bias.
    Bias,
}

/// How codes are laid out in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// MLX: each row (the last axis) is one stream of bits, the lowest first, seen as 32-bit words.
    Mlx,
    /// onnxruntime's MatMulNBits: each group of a row is padded to its full length and to whole
    /// bytes, the lowest bits first; the zero points of a row are padded to whole bytes. gpt-oss's
    /// blocks look the same.
    #[serde(rename = "matmulnbits")]
    MatMulNBits,
    /// ONNX tensors: all codes in one stream of bits, the lowest first, padded at the very end. Zero
    /// points likewise.
    Onnx,
    /// OpenVINO constants: as ONNX, but for the layouts of u1, u3 and u6.
    #[serde(rename = "openvino")]
    OpenVino,
    /// bitsandbytes: groups of the tensor's elements in their order, whatever its rows; the first of
    /// two 4-bit codes in the upper half of a byte.
    #[serde(rename = "bnb4")]
    Bnb4,
}

/// Whose arithmetic finds scales, zeros and codes. Each is bit-identical to the tool it is named
/// after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Formula {
    /// `mx.quantize` of MLX 0.32.4 on the CPU.
    Mlx,
    /// onnxruntime 1.31.1's weight-only quantizer: `matmul_nbits_quantizer`.
    OrtBlocks,
    /// onnxruntime 1.31.1's weight-only quantizer of embeddings: `GatherBlockQuantized`.
    OrtGather,
    /// onnxruntime 1.31.1's static quantization: `quant_utils`.
    OrtQdq,
    /// The same with `reduce_range`: codes of one bit less, for CPUs whose products of 8-bit integers
    /// saturate.
    OrtReduced,
    /// `nncf.compress_weights` of NNCF 3.4.0.
    Nncf,
    /// bitsandbytes' 4-bit types, as onnxruntime 1.31.1 quantizes for MatMulBnb4.
    Bnb4,
    /// Floats: the largest magnitude becomes the largest number of the codes, and each element the
    /// nearest, ties to even. No tool's own.
    Largest,
}

/// What a caller asks for by a layout's name; see [`AffineSpec::for_layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffineWish {
    /// Bits of a code.
    pub bits: u8,
    /// Which elements share a scale.
    pub group: Group,
    /// The axis that `group` speaks of; negative counts from the last.
    pub axis: isize,
    /// Whether the range is the same on both sides of zero.
    pub symmetric: bool,
    /// The type of scales; `None` leaves it to the layout.
    pub scale: Option<DType>,
    /// How much of a range is kept.
    pub clip: Clip,
}

impl AffineWish {
    fn blocks(&self, layout: &str) -> Result<usize> {
        match self.group {
            Group::Blocks(n) => Ok(n),
            _ => Err(Error::misuse(format!(
                "{layout} has scales for groups only; say how many elements are one"
            ))),
        }
    }
}

impl AffineSpec {
    /// `mx.quantize(w, group_size, bits)` of weights of type `dtype`, which is also that of scales and
    /// biases. `mx.quantize` takes 1 to 6 and 8 bits, and groups of 32, 64 or 128.
    pub fn mlx(bits: u8, group_size: usize, dtype: DType) -> Self {
        Self {
            bits,
            element: Element::Unsigned,
            group: Group::Blocks(group_size),
            axis: -1,
            symmetric: false,
            scale: dtype,
            zero: Zero::Bias,
            packing: Packing::Mlx,
            formula: Formula::Mlx,
            clip: Clip::None,
            global_scale: None,
        }
    }

    /// `mx.quantize(w, mode=…)` with `"mxfp4"`, `"mxfp8"` or `"nvfp4"`.
    ///
    /// # Errors
    /// `misuse` for any other name.
    pub fn mlx_float(mode: &str) -> Result<Self> {
        let (element, bits, group, scale) = match mode {
            "mxfp4" => (Element::E2M1, 4, 32, DType::F8E8M0),
            "mxfp8" => (Element::E4M3, 8, 32, DType::F8E8M0),
            "nvfp4" => (Element::E2M1, 4, 16, DType::F8E4M3),
            _ => {
                return Err(Error::misuse(format!(
                    "unknown mode '{mode}'; MLX has affine, mxfp4, mxfp8 and nvfp4"
                )));
            }
        };
        Ok(Self {
            element,
            symmetric: true,
            scale,
            zero: Zero::None,
            ..Self::mlx(bits, group, DType::F32)
        })
    }

    /// The experts of gpt-oss: `mxfp4`, with the codes of each group in 16 bytes of their own, so that
    /// (experts, rows, columns) has codes of shape (experts, rows, groups, 16).
    pub fn gpt_oss() -> Self {
        Self {
            element: Element::E2M1,
            symmetric: true,
            scale: DType::F8E8M0,
            zero: Zero::None,
            packing: Packing::MatMulNBits,
            ..Self::mlx(4, 32, DType::F32)
        }
    }

    /// The weight of onnxruntime's MatMulNBits, as `matmul_nbits_quantizer` makes it: the tensor is
    /// (N, K), the transpose of what MatMul multiplies with. 2, 4 or 8 bits; `dtype` is the type of
    /// weights and scales.
    pub fn matmul_nbits(bits: u8, block_size: usize, symmetric: bool, dtype: DType) -> Self {
        Self {
            bits,
            element: Element::Unsigned,
            group: Group::Blocks(block_size),
            axis: -1,
            symmetric,
            scale: dtype,
            zero: if symmetric { Zero::None } else { Zero::Point },
            packing: Packing::MatMulNBits,
            formula: Formula::OrtBlocks,
            clip: Clip::None,
            global_scale: None,
        }
    }

    /// What ONNX's DequantizeLinear reads: blocks of 2 and 4 bits as `matmul_nbits_quantizer` makes
    /// them, all else as `quantize_static`. Symmetric codes are signed and have no zero points,
    /// asymmetric ones are unsigned.
    pub fn qdq(bits: u8, group: Group, axis: isize, symmetric: bool, dtype: DType) -> Self {
        let weight_only = matches!(group, Group::Blocks(_)) && matches!(bits, 2 | 4);
        Self {
            bits,
            element: if symmetric {
                Element::Signed
            } else {
                Element::Unsigned
            },
            group,
            axis,
            symmetric,
            scale: dtype,
            zero: if symmetric { Zero::None } else { Zero::Point },
            packing: Packing::Onnx,
            formula: if weight_only {
                Formula::OrtBlocks
            } else {
                Formula::OrtQdq
            },
            clip: Clip::None,
            global_scale: None,
        }
    }

    /// The embedding of onnxruntime's GatherBlockQuantized, as `matmul_nbits_quantizer` makes it: 4
    /// bits, in blocks along an axis; `dtype` is the type of weights and scales.
    pub fn gather_blocks(block_size: usize, axis: isize, symmetric: bool, dtype: DType) -> Self {
        Self {
            formula: Formula::OrtGather,
            ..Self::qdq(4, Group::Blocks(block_size), axis, symmetric, dtype)
        }
    }

    /// What `nncf.compress_weights` writes for OpenVINO: scales of f16; symmetric codes are signed and
    /// have no zero points, asymmetric ones are unsigned.
    pub fn openvino(bits: u8, group: Group, axis: isize, symmetric: bool) -> Self {
        Self {
            packing: Packing::OpenVino,
            formula: Formula::Nncf,
            ..Self::qdq(bits, group, axis, symmetric, DType::F16)
        }
    }

    /// The weight of onnxruntime's MatMulBnb4, in bitsandbytes' types: the tensor is (N, K), the
    /// transpose of what MatMul multiplies with, and its elements are divided into groups in their
    /// order. onnxruntime takes groups of 16 to 256; `dtype` is the type of weights and scales.
    ///
    /// # Errors
    /// `misuse` for another name than `"nf4"` and `"fp4"`.
    pub fn bnb4(name: &str, block_size: usize, dtype: DType) -> Result<Self> {
        let element = match name {
            "nf4" => Element::Nf4,
            "fp4" => Element::Fp4,
            _ => {
                return Err(Error::misuse(format!(
                    "unknown type '{name}'; bitsandbytes has nf4 and fp4"
                )));
            }
        };
        Ok(Self {
            element,
            symmetric: true,
            zero: Zero::None,
            packing: Packing::Bnb4,
            formula: Formula::Bnb4,
            ..Self::mlx(4, block_size, dtype)
        })
    }

    /// 8-bit floats, `"fp8-e4m3"` or `"fp8-e5m2"`, for ONNX's DequantizeLinear.
    ///
    /// # Errors
    /// `misuse` for any other name.
    pub fn fp8(name: &str, group: Group, axis: isize, dtype: DType) -> Result<Self> {
        let element = match name {
            "fp8-e4m3" => Element::E4M3,
            "fp8-e5m2" => Element::E5M2,
            _ => {
                return Err(Error::misuse(format!(
                    "unknown type '{name}'; there are fp8-e4m3 and fp8-e5m2"
                )));
            }
        };
        Ok(Self {
            element,
            formula: Formula::Largest,
            ..Self::qdq(8, group, axis, true, dtype)
        })
    }

    /// The float modes of `nncf.compress_weights`: `"nf4"`, `"fp4"` (of 2 exponent bits), `"fp8"` (of
    /// 4), with scales of f16; and `"mxfp4"` and `"mxfp8"`, with powers of two for groups of 32.
    ///
    /// # Errors
    /// `misuse` for any other name.
    pub fn openvino_float(mode: &str, group: Group, axis: isize) -> Result<Self> {
        let (element, bits, scale) = match mode {
            "nf4" => (Element::Nf4, 4, DType::F16),
            "fp4" => (Element::E2M1, 4, DType::F16),
            "fp8" => (Element::E4M3, 8, DType::F16),
            "mxfp4" => (Element::E2M1, 4, DType::F8E8M0),
            "mxfp8" => (Element::E4M3, 8, DType::F8E8M0),
            _ => {
                return Err(Error::misuse(format!(
                    "unknown mode '{mode}'; NNCF's float modes here are nf4, fp4, fp8, mxfp4 and mxfp8"
                )));
            }
        };
        let group = match scale {
            DType::F8E8M0 => Group::Blocks(32),
            _ => group,
        };
        Ok(Self {
            element,
            scale,
            ..Self::openvino(bits, group, axis, true)
        })
    }

    /// What a layout's own tool writes, by the layout's name: `"mlx"`, `"matmulnbits"`, `"qdq"`,
    /// `"openvino"`; also MLX's modes `"mxfp4"`, `"mxfp8"` and `"nvfp4"`, and `"gpt-oss"`, which leave
    /// nothing to wish for; and with types of their own bitsandbytes' `"nf4"` and `"fp4"`, `"fp8-e4m3"`
    /// and `"fp8-e5m2"` for DequantizeLinear, and NNCF's `"openvino-nf4"`, `-fp4`, `-fp8`, `-mxfp4` and
    /// `-mxfp8`. `source` is the type of the weights; `scale` is the tool's choice if `None`.
    ///
    /// # Errors
    /// `misuse` if there is no such layout, or it has no such scales or groups.
    pub fn for_layout(layout: &str, wish: &AffineWish, source: DType) -> Result<Self> {
        let mut spec = match layout {
            "mlx" => Self::mlx(wish.bits, wish.blocks(layout)?, source),
            "matmulnbits" => {
                Self::matmul_nbits(wish.bits, wish.blocks(layout)?, wish.symmetric, source)
            }
            "qdq" => Self::qdq(wish.bits, wish.group, wish.axis, wish.symmetric, source),
            "openvino" => Self::openvino(wish.bits, wish.group, wish.axis, wish.symmetric),
            "mxfp4" | "mxfp8" | "nvfp4" => return Self::mlx_float(layout),
            "gpt-oss" => return Ok(Self::gpt_oss()),
            "nf4" | "fp4" => Self::bnb4(layout, wish.blocks(layout)?, source)?,
            "fp8-e4m3" | "fp8-e5m2" => Self::fp8(layout, wish.group, wish.axis, source)?,
            _ => match layout.strip_prefix("openvino-") {
                Some(mode) => Self::openvino_float(mode, wish.group, wish.axis)?,
                None => {
                    return Err(Error::misuse(format!(
                        "unknown layout '{layout}'; the layouts are mlx, mxfp4, mxfp8, nvfp4, gpt-oss, matmulnbits, qdq, openvino, nf4, fp4, fp8-e4m3, fp8-e5m2, and openvino-nf4, -fp4, -fp8, -mxfp4 and -mxfp8"
                    )));
                }
            },
        };
        if wish.symmetric && !spec.symmetric {
            return Err(Error::misuse(format!(
                "{layout} has no symmetric ranges; leave symmetric out"
            )));
        }
        spec.scale = wish.scale.unwrap_or(spec.scale);
        spec.axis = wish.axis;
        spec.clip = wish.clip;
        spec.check()?;
        Ok(spec)
    }

    /// Refuses what contradicts itself, whatever the shape.
    ///
    /// # Errors
    /// `misuse` if a field has a value that no layout or formula knows; `unsupported` for
    /// combinations that are sensible, but that nothing here computes.
    pub fn check(&self) -> Result<()> {
        let Self { bits, element, .. } = self;
        if !matches!(bits, 1..=8 | 16) {
            return Err(Error::misuse(format!(
                "codes of {bits} bits were asked for; there are 1 to 8 and 16"
            )));
        }
        let float_bits = match element {
            Element::Unsigned | Element::Signed => *bits,
            Element::E2M1 | Element::Nf4 | Element::Fp4 => 4,
            Element::E4M3 | Element::E5M2 => 8,
        };
        if *bits != float_bits {
            return Err(Error::misuse(format!(
                "codes of {element:?} have {float_bits} bits, not {bits}"
            )));
        }
        if self.group == Group::Blocks(0) {
            return Err(Error::misuse("groups of 0 elements were asked for"));
        }
        if !matches!(
            self.scale,
            DType::F32 | DType::F16 | DType::BF16 | DType::F8E8M0 | DType::F8E4M3
        ) {
            return Err(Error::misuse(format!(
                "scales of {} were asked for; there are f32, f16, bf16, f8_e8m0 and f8_e4m3",
                self.scale
            )));
        }
        if self.zero == Zero::Bias && !self.scale.is_plain_float() {
            return Err(Error::misuse(format!(
                "biases cannot be stored as {}; choose scales of f32, f16 or bf16",
                self.scale
            )));
        }
        self.check_clip()?;
        self.check_global_scale()?;
        self.check_packing()
    }

    fn check_clip(&self) -> Result<()> {
        let integers = matches!(self.element, Element::Unsigned | Element::Signed);
        let grouped = matches!(self.group, Group::Blocks(_));
        match self.clip {
            Clip::Percentile { .. } | Clip::Entropy if grouped => Err(Error::misuse(
                "groups are too small for histograms; clip them by the least error, or not at all",
            )),
            Clip::LeastError if !integers => Err(Error::unsupported(
                "the search for the least error is for integer codes",
            )),
            Clip::Percentile { millionths } if millionths > 1_000_000 => Err(Error::misuse(
                format!("a percentile of {millionths} millionths is more than all"),
            )),
            _ => Ok(()),
        }
    }

    fn check_global_scale(&self) -> Result<()> {
        let nvfp4 = (self.formula, self.element, self.scale)
            == (Formula::Mlx, Element::E2M1, DType::F8E4M3);
        match self.global_scale {
            Some(_) if !nvfp4 => Err(Error::misuse(
                "a global scale was given; only nvfp4 has one",
            )),
            _ => Ok(()),
        }
    }

    fn check_packing(&self) -> Result<()> {
        let one_byte = self.bits <= 8;
        match self.packing {
            Packing::Mlx if !matches!(self.bits, 1..=6 | 8) => Err(Error::misuse(format!(
                "MLX has codes of 1 to 6 and 8 bits, not {}",
                self.bits
            ))),
            Packing::Bnb4 if !matches!(self.element, Element::Nf4 | Element::Fp4) => {
                Err(Error::misuse(format!(
                    "bitsandbytes has codes of NF4 and FP4, not {:?}",
                    self.element
                )))
            }
            Packing::Bnb4 if !matches!(self.group, Group::Blocks(n) if n % 2 == 0) => Err(
                Error::misuse("bitsandbytes has scales for groups of an even number of elements"),
            ),
            Packing::Mlx | Packing::MatMulNBits if !matches!(self.group, Group::Blocks(_)) => {
                Err(Error::misuse(format!(
                    "{:?} has scales for groups only; say how many elements are one",
                    self.packing
                )))
            }
            Packing::MatMulNBits if !matches!(self.bits, 2 | 4 | 8) => Err(Error::misuse(format!(
                "MatMulNBits has codes of 2, 4 or 8 bits, not {}",
                self.bits
            ))),
            Packing::OpenVino if !one_byte => Err(Error::misuse(format!(
                "OpenVINO has weights of at most 8 bits, not {}",
                self.bits
            ))),
            _ => Ok(()),
        }
    }
}

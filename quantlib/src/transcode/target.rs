//! The encodings that a tensor can be transcoded to, by name.

use super::EncodedView;
use super::side::{Side, Source};
use crate::affine::{AffineSpec, AffineWish, Clip, Element, Group};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parts::{Form, Origin};
use crate::simd::Isa;
use crate::tensor::Encoding;

/// What of a target is not as the source has it; see [`target`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetWish {
    /// Bits of a code; by default the least that the layout has and the source fits in.
    pub bits: Option<u8>,
    /// Elements that share a scale.
    pub group: Option<usize>,
    /// The axis that groups are along. For `"qdq"` of two dimensions, 0 makes the transpose.
    pub axis: Option<isize>,
    /// The type of scales; by default the narrowest that holds all of the source's.
    pub scale: Option<DType>,
    /// Whether to leave out zero points; by default if the source has none.
    pub symmetric: Option<bool>,
}

/// The encoding called `name` that is nearest to a tensor's own: a tensor type that is written of given
/// codes (`"q4_0"`, `"q4_1"`, `"q5_0"`, `"q5_1"`, `"q8_0"`, `"mxfp4"`, `"nvfp4"`), or a layout:
/// `"mlx"` (of 4-bit floats MLX's mode for them), `"gpt-oss"`, `"matmulnbits"`, `"qdq"`, `"openvino"`.
///
/// ```
/// use quantlib::transcode::{TargetWish, target};
/// use quantlib::{AffineSpec, DType, Encoding};
/// let q8_0 = quantlib::quantize(&[1.0; 64], 64, DType::Q8_0, None)?;
/// let mlx = target((&q8_0).into(), "mlx", &TargetWish::default())?;
/// assert_eq!(mlx, Encoding::Affine(AffineSpec::mlx(8, 32, DType::F16)));
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `misuse` for a name that is neither, `unsupported` if the tensor cannot be transcoded at all.
pub fn target(tensor: EncodedView<'_>, name: &str, wish: &TargetWish) -> Result<Encoding> {
    of_form(Source::new(tensor, Isa::Portable)?.side().form, name, wish)
}

/// [`target`] of blocks of a type, whatever is in them.
///
/// # Errors
/// Those of [`target`].
pub fn block_target(dtype: DType, name: &str, wish: &TargetWish) -> Result<Encoding> {
    of_form(Side::block(dtype, &[])?.form, name, wish)
}

fn of_form(form: Form, name: &str, wish: &TargetWish) -> Result<Encoding> {
    let float = matches!(form.element, Element::E2M1 | Element::E4M3);
    let planar_float = match (name, form.element, form.group) {
        ("gpt-oss", ..) => Some("gpt-oss"),
        ("mlx", Element::E2M1, 16) => Some("nvfp4"),
        ("mlx", Element::E2M1, _) => Some("mxfp4"),
        ("mlx", Element::E4M3, _) => Some("mxfp8"),
        _ => None,
    };
    if let Some(name) = planar_float {
        return AffineSpec::for_layout(name, &affine_wish(name, form, wish), DType::F32)
            .map(Encoding::Affine);
    }
    if matches!(name, "mlx" | "matmulnbits" | "qdq" | "openvino") {
        if float {
            return Err(Error::unsupported(format!(
                "'{name}' has integers for codes, not 4- or 8-bit floats"
            )));
        }
        let spec = AffineSpec::for_layout(name, &affine_wish(name, form, wish), form.scale)?;
        return Ok(Encoding::Affine(spec));
    }
    name.parse().map(Encoding::Block).map_err(|_| {
        Error::misuse(format!(
            "'{name}' is no target of transcoding; those are q4_0, q4_1, q5_0, q5_1, q8_0, mxfp4, nvfp4, mlx, gpt-oss, matmulnbits, qdq and openvino"
        ))
    })
}

fn affine_wish(layout: &str, form: Form, wish: &TargetWish) -> AffineWish {
    let widths: &[u8] = match layout {
        "mlx" => &[2, 3, 4, 5, 6, 8],
        "matmulnbits" => &[2, 4, 8],
        "qdq" => &[2, 4, 8],
        _ => &[4, 8],
    };
    let bits = widths.iter().copied().find(|bits| *bits >= form.bits);
    let symmetric = matches!(form.zero, Origin::Code(_));
    AffineWish {
        bits: wish.bits.or(bits).unwrap_or(form.bits),
        group: Group::Blocks(wish.group.unwrap_or(form.group)),
        axis: wish.axis.unwrap_or(-1),
        symmetric: layout != "mlx" && wish.symmetric.unwrap_or(symmetric),
        scale: wish.scale,
        clip: Clip::None,
    }
}

//! Blocks taken apart and put together: codes one a byte, scales and zeros one a group.

use super::BlockFormat;
use super::{iq4_nl, mxfp4, nvfp4, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0};
use crate::affine::Element;
use crate::dtype::DType;
use crate::parts::{Form, Origin};
use bytemuck::Pod;

/// Formats of codes on an even grid or of 4-bit floats.
pub(super) trait Separable: BlockFormat {
    const FORM: Form;

    /// The codes of a block: an array of bytes.
    type Codes: Pod;

    /// The scales, or zeros, of a block's groups: an array of `f32`.
    type Scales: Pod;

    fn take_apart(block: &Self::Block, codes: &mut Self::Codes) -> Scaled<Self::Scales>;
}

/// Formats that store each scale as a number of its own.
pub(super) trait Joinable: Separable {
    fn put_together(codes: &Self::Codes, scaled: &Scaled<Self::Scales>) -> Self::Block;
}

/// The parameters of a block's groups.
pub(super) struct Scaled<S> {
    pub(super) scales: S,
    pub(super) zeros: S,
}

/// The form of unsigned integers with one scale for each `group`.
pub(super) const fn integers(bits: u8, group: usize, zero: Origin, scale: DType) -> Form {
    Form {
        element: Element::Unsigned,
        bits,
        group,
        zero,
        scale,
        negative_scales: true,
    }
}

/// The form of 4-bit floats.
pub(super) const fn floats(group: usize, scale: DType) -> Form {
    Form {
        element: Element::E2M1,
        bits: 4,
        group,
        zero: Origin::Code(0),
        scale,
        negative_scales: false,
    }
}

type TakeApart = fn(blocks: &[u8], codes: &mut [u8], scales: &mut [f32], zeros: &mut [f32]);
type PutTogether = fn(codes: &[u8], scales: &[f32], zeros: &[f32], blocks: &mut [u8]);

/// The functions of one format, with the block type erased.
pub(crate) struct TakeApartCodec {
    pub(crate) form: Form,
    pub(crate) take_apart: TakeApart,
    pub(crate) put_together: Option<PutTogether>,
}

/// The functions of a type; `None` for those that are no such format.
pub(crate) fn take_apart_codec(dtype: DType) -> Option<TakeApartCodec> {
    Some(match dtype {
        DType::Q4_0 => writable::<q4_0::Q4_0>(),
        DType::Q4_1 => writable::<q4_1::Q4_1>(),
        DType::Q5_0 => writable::<q5_0::Q5_0>(),
        DType::Q5_1 => writable::<q5_1::Q5_1>(),
        DType::Q8_0 => writable::<q8_0::Q8_0>(),
        DType::Q4K => readable::<q4_k::Q4K>(),
        DType::Q5K => readable::<q5_k::Q5K>(),
        DType::Q6K => readable::<q6_k::Q6K>(),
        DType::Iq4Nl => readable::<iq4_nl::Iq4Nl>(),
        DType::Mxfp4 => writable::<mxfp4::Mxfp4>(),
        DType::Nvfp4 => writable::<nvfp4::Nvfp4>(),
        _ => return None,
    })
}

fn readable<F: Separable>() -> TakeApartCodec {
    TakeApartCodec {
        form: F::FORM,
        take_apart: take_apart::<F>,
        put_together: None,
    }
}

fn writable<F: Joinable>() -> TakeApartCodec {
    TakeApartCodec {
        put_together: Some(put_together::<F>),
        ..readable::<F>()
    }
}

fn take_apart<F: Separable>(
    blocks: &[u8],
    codes: &mut [u8],
    scales: &mut [f32],
    zeros: &mut [f32],
) {
    let blocks: &[F::Block] = bytemuck::cast_slice(blocks);
    let codes: &mut [F::Codes] = bytemuck::cast_slice_mut(codes);
    let scales: &mut [F::Scales] = bytemuck::cast_slice_mut(scales);
    let zeros: &mut [F::Scales] = bytemuck::cast_slice_mut(zeros);
    let params = scales.iter_mut().zip(zeros);
    for ((block, codes), (scales, zeros)) in blocks.iter().zip(codes).zip(params) {
        let scaled = F::take_apart(block, codes);
        (*scales, *zeros) = (scaled.scales, scaled.zeros);
    }
}

fn put_together<F: Joinable>(codes: &[u8], scales: &[f32], zeros: &[f32], blocks: &mut [u8]) {
    let blocks: &mut [F::Block] = bytemuck::cast_slice_mut(blocks);
    let codes: &[F::Codes] = bytemuck::cast_slice(codes);
    let scales: &[F::Scales] = bytemuck::cast_slice(scales);
    let zeros: &[F::Scales] = bytemuck::cast_slice(zeros);
    let params = scales.iter().zip(zeros);
    for ((block, codes), (&scales, &zeros)) in blocks.iter_mut().zip(codes).zip(params) {
        *block = F::put_together(codes, &Scaled { scales, zeros });
    }
}

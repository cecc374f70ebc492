//! The plain floats: f32, f16 and bf16, as blocks of one element.

use super::BlockFormat;
use crate::dtype::DType;
use crate::numeric;
use crate::simd::Sixteen;

pub(super) struct F32;

impl BlockFormat for F32 {
    const DTYPE: DType = DType::F32;
    type Block = [u8; 4];
    type Elements = [f32; 1];

    #[inline(always)]
    fn decode<S: Sixteen>(_: S, block: &Self::Block, y: &mut [f32; 1]) {
        *y = [f32::from_le_bytes(*block)];
    }

    #[inline(always)]
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Self::Block]) {
        for (b, x) in out.iter_mut().zip(rows) {
            *b = x.to_le_bytes();
        }
    }
}

pub(super) struct F16;

impl BlockFormat for F16 {
    const DTYPE: DType = DType::F16;
    type Block = numeric::F16;
    type Elements = [f32; 1];

    #[inline(always)]
    fn decode<S: Sixteen>(_: S, block: &Self::Block, y: &mut [f32; 1]) {
        *y = [block.to_f32()];
    }

    #[inline(always)]
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Self::Block]) {
        for (b, x) in out.iter_mut().zip(rows) {
            *b = numeric::F16::from_f32(*x);
        }
    }
}

pub(super) struct BF16;

impl BlockFormat for BF16 {
    const DTYPE: DType = DType::BF16;
    type Block = numeric::Bf16;
    type Elements = [f32; 1];

    #[inline(always)]
    fn decode<S: Sixteen>(_: S, block: &Self::Block, y: &mut [f32; 1]) {
        *y = [block.to_f32()];
    }

    #[inline(always)]
    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Self::Block]) {
        for (b, x) in out.iter_mut().zip(rows) {
            *b = numeric::Bf16::from_f32(*x);
        }
    }
}

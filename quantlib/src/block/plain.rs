//! The plain floats: f32, f16 and bf16, as blocks of one element.

use super::BlockFormat;
use crate::dtype::DType;
use crate::numeric;

pub(super) struct F32;

impl BlockFormat for F32 {
    const DTYPE: DType = DType::F32;
    type Block = [u8; 4];

    fn decode(blocks: &[Self::Block], out: &mut [f32]) {
        for (y, b) in out.iter_mut().zip(blocks) {
            *y = f32::from_le_bytes(*b);
        }
    }

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

    fn decode(blocks: &[Self::Block], out: &mut [f32]) {
        for (y, b) in out.iter_mut().zip(blocks) {
            *y = b.to_f32();
        }
    }

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

    fn decode(blocks: &[Self::Block], out: &mut [f32]) {
        for (y, b) in out.iter_mut().zip(blocks) {
            *y = b.to_f32();
        }
    }

    fn encode(rows: &[f32], _cols: usize, _importance: Option<&[f32]>, out: &mut [Self::Block]) {
        for (b, x) in out.iter_mut().zip(rows) {
            *b = numeric::Bf16::from_f32(*x);
        }
    }
}

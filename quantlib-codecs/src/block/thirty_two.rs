//! What Q4_0, Q5_0, Q4_1 and Q5_1 are: blocks of 32 codes with one scale, and with or without a
//! minimum. Their files only say how the codes are packed.

// The derived `Pod` repeats the bound without which a packed struct could not be `Clone`.
#![allow(clippy::multiple_bound_locations)]

use super::BlockFormat;
use super::blocks::{encode_blocks, encode_blocks_in_rows};
use super::codes;
use super::dot::{Small, centred_products};
use super::elements::{centre, scale_and_add, scale_signed};
use super::lanes::{self, LaneFormat, Tile};
use super::number::{extreme, fill, map, range, reciprocal, truncate};
use super::parts::{Joinable, Scaled, Separable, integers};
use super::search::{Deviation, Grid, fit_affine, fit_symmetric};
use super::weights::weigh_important;
use crate::dtype::DType;
use crate::numeric::F16;
use crate::parts::{Form, Origin};
use crate::simd::{Isa, Lanes, Narrow, Portable, Sixteen, SixtyFour};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

/// 32 codes, packed. Implementations must be `#[inline(always)]`.
pub(super) trait Codes: Pod {
    const BITS: u32;
    /// The format that has them with a scale only.
    const SYMMETRIC: DType;
    /// The format that has them with a scale and a minimum.
    const AFFINE: DType;

    fn pack<S: Narrow>(s: S, codes: &[u8; 32]) -> Self;
    fn unpack<S: Sixteen>(&self, s: S) -> [u8; 32];
    /// The codes of two blocks.
    fn unpack_two<S: SixtyFour>(s: S, blocks: [Self; 2]) -> S::B;
}

/// The number of codes below zero, and so the code of zero, in symmetric blocks.
const fn half<C: Codes>() -> i32 {
    1 << (C::BITS - 1)
}

/// The largest code.
const fn top<C: Codes>() -> i32 {
    (1 << C::BITS) - 1
}

/// The format `scale: f16 | codes`: element = scale · (code - half).
pub(super) struct Symmetric<C>(PhantomData<C>);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(super) struct SymmetricBlock<C: Codes> {
    scale: F16,
    codes: C,
}

impl<C: Codes> BlockFormat for Symmetric<C> {
    const DTYPE: DType = C::SYMMETRIC;
    type Block = SymmetricBlock<C>;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Self::Block, y: &mut [f32; 32]) {
        let codes = centre(&{ block.codes }.unpack(s), half::<C>() as u8);
        scale_signed(s, &codes, s.half_to_float(block.scale), y);
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Self::Block]) {
        match importance {
            None => encode_blocks(rows, cols, None, out, |x, _, block| {
                *block = symmetric_ref(x);
            }),
            Some(weights) => {
                encode_blocks_in_rows(rows, cols, weights, out, |x, w, mean, block| {
                    *block = weighted_symmetric_ref(x, w, mean);
                })
            }
        }
    }

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Self::Block],
    ) {
        match importance {
            None => lanes::encode_unless_portable::<Self, 32>(isa, rows, cols, None, out),
            _ => lanes::encode::<Self, 32>(isa, rows, cols, importance, out),
        }
    }
}

impl<C: Codes> LaneFormat<32> for Symmetric<C> {
    const ROW_MEANS: bool = true;

    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Self::Block]) {
        match &tile.importance {
            None => {
                let scales = lanes::symmetric_scales(l, &tile.x, half::<C>());
                for (lane, block) in out.iter_mut().enumerate() {
                    let (scale, inverse) = (scales.scales[lane], scales.inverses[lane]);
                    let offset = half::<C>() as f32 + 0.5;
                    let codes = codes::truncated(l.row(), tile.x[lane], 0.0, inverse, offset);
                    let codes = at_most(&codes, top::<C>());
                    *block = SymmetricBlock::new(l.row(), scale, &codes);
                }
            }
            Some(importance) => {
                let fits = lanes::fit_symmetric_blocks(l, tile, importance, half::<C>());
                for (lane, block) in out.iter_mut().enumerate() {
                    let [scale, inverse] = fits.lane(lane);
                    let codes = lanes::symmetric_codes(l.row(), tile.x[lane], inverse, half::<C>());
                    *block = SymmetricBlock::new(l.row(), F16::from_f32(scale), &codes);
                }
            }
        }
    }
}

impl<C: Codes> Small for Symmetric<C> {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Self::Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Self::Block], i: usize, x: S::B) -> S::P {
        let codes = C::unpack_two(s, [blocks[2 * i].codes, blocks[2 * i + 1].codes]);
        centred_products(s, codes, half::<C>() as u8, x)
    }
}

impl<C: Codes> SymmetricBlock<C> {
    #[inline(always)]
    fn new<S: Narrow>(s: S, scale: F16, codes: &[u8; 32]) -> Self {
        Self {
            scale,
            codes: C::pack(s, codes),
        }
    }
}

/// The element farthest from zero gets code 0.
fn symmetric_ref<C: Codes>(x: &[f32; 32]) -> SymmetricBlock<C> {
    let scale = extreme(x) / -half::<C>() as f32;
    let (inverse, offset) = (reciprocal(scale), half::<C>() as f32 + 0.5);
    let codes = map(x, |x| truncate(x * inverse + offset) as u8);
    let codes = at_most(&codes, top::<C>());
    SymmetricBlock::new(Portable, F16::from_f32(scale), &codes)
}

fn weighted_symmetric_ref<C: Codes>(
    x: &[f32; 32],
    importance: &[f32; 32],
    row_mean_square: f32,
) -> SymmetricBlock<C> {
    let weights = weigh_important(x, importance, row_mean_square);
    let fit = fit_symmetric(x, &weights, half::<C>());
    SymmetricBlock::new(Portable, F16::from_f32(fit.scale), &fit.codes)
}

impl<C: Codes> Separable for Symmetric<C> {
    const FORM: Form = integers(
        C::BITS as u8,
        32,
        Origin::Code(half::<C>() as u8),
        DType::F16,
    );
    type Codes = [u8; 32];
    type Scales = [f32; 1];

    fn take_apart(block: &Self::Block, codes: &mut [u8; 32]) -> Scaled<[f32; 1]> {
        *codes = { block.codes }.unpack(Portable);
        Scaled {
            scales: [{ block.scale }.to_f32()],
            zeros: [half::<C>() as f32],
        }
    }
}

impl<C: Codes> Joinable for Symmetric<C> {
    fn put_together(codes: &[u8; 32], scaled: &Scaled<[f32; 1]>) -> Self::Block {
        SymmetricBlock::new(Portable, F16::from_f32(scaled.scales[0]), codes)
    }
}

/// The format `scale: f16 | min: f16 | codes`: element = scale · code + min.
pub(super) struct Affine<C>(PhantomData<C>);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(super) struct AffineBlock<C: Codes> {
    scale: F16,
    min: F16,
    codes: C,
}

impl<C: Codes> BlockFormat for Affine<C> {
    const DTYPE: DType = C::AFFINE;
    type Block = AffineBlock<C>;
    type Elements = [f32; 32];

    #[inline(always)]
    fn decode<S: Sixteen>(s: S, block: &Self::Block, y: &mut [f32; 32]) {
        let codes = { block.codes }.unpack(s);
        scale_and_add(
            s,
            &codes,
            s.half_to_float(block.scale),
            s.half_to_float(block.min),
            y,
        );
    }

    fn encode(rows: &[f32], cols: usize, importance: Option<&[f32]>, out: &mut [Self::Block]) {
        match importance {
            None => encode_blocks(rows, cols, None, out, |x, _, block| *block = affine_ref(x)),
            Some(weights) => {
                encode_blocks_in_rows(rows, cols, weights, out, |x, w, mean, block| {
                    *block = weighted_affine_ref(x, w, mean);
                })
            }
        }
    }

    fn encode_with(
        isa: Isa,
        rows: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [Self::Block],
    ) {
        match importance {
            None => lanes::encode_unless_portable::<Self, 32>(isa, rows, cols, None, out),
            _ => lanes::encode::<Self, 32>(isa, rows, cols, importance, out),
        }
    }
}

impl<C: Codes> LaneFormat<32> for Affine<C> {
    const ROW_MEANS: bool = true;

    #[inline(always)]
    fn encode_tile<L: Lanes>(l: L, tile: &Tile<'_, 32>, out: &mut [Self::Block]) {
        match &tile.importance {
            None => {
                let ranges = lanes::affine_scales(l, &tile.x, top::<C>());
                for (lane, block) in out.iter_mut().enumerate() {
                    let (min, inverse) = (ranges.mins[lane], ranges.inverses[lane]);
                    let codes = codes::truncated(l.row(), tile.x[lane], min, inverse, 0.5);
                    let codes = at_most(&codes, top::<C>());
                    let header = [ranges.scales[lane], ranges.half_mins[lane]];
                    *block = AffineBlock::new(l.row(), header, &codes);
                }
            }
            Some(importance) => {
                let fits = lanes::fit_affine_blocks(l, tile, importance, top::<C>());
                for (lane, block) in out.iter_mut().enumerate() {
                    let [scale, min, inverse, origin] = fits.lane(lane);
                    let x = tile.x[lane];
                    let codes = codes::multiplied(l.row(), x, inverse, origin, 0, top::<C>());
                    let header = [scale, min].map(F16::from_f32);
                    *block = AffineBlock::new(l.row(), header, &codes);
                }
            }
        }
    }
}

impl<C: Codes> Small for Affine<C> {
    #[inline(always)]
    fn scales<S: SixtyFour>(s: S, blocks: &[Self::Block]) -> S::F {
        s.halves_to_floats(&fill(|i| blocks[i].scale))
    }

    #[inline(always)]
    fn products<S: SixtyFour>(s: S, blocks: &[Self::Block], i: usize, x: S::B) -> S::P {
        s.dot(
            C::unpack_two(s, [blocks[2 * i].codes, blocks[2 * i + 1].codes]),
            x,
        )
    }

    #[inline(always)]
    fn minima<S: SixtyFour>(s: S, blocks: &[Self::Block]) -> Option<S::F> {
        Some(s.halves_to_floats(&fill(|i| blocks[i].min)))
    }
}

impl<C: Codes> Separable for Affine<C> {
    const FORM: Form = integers(C::BITS as u8, 32, Origin::Bias, DType::F16);
    type Codes = [u8; 32];
    type Scales = [f32; 1];

    fn take_apart(block: &Self::Block, codes: &mut [u8; 32]) -> Scaled<[f32; 1]> {
        *codes = { block.codes }.unpack(Portable);
        Scaled {
            scales: [{ block.scale }.to_f32()],
            zeros: [{ block.min }.to_f32()],
        }
    }
}

impl<C: Codes> Joinable for Affine<C> {
    fn put_together(codes: &[u8; 32], scaled: &Scaled<[f32; 1]>) -> Self::Block {
        let header = [scaled.scales[0], scaled.zeros[0]].map(F16::from_f32);
        AffineBlock::new(Portable, header, codes)
    }
}

impl<C: Codes> AffineBlock<C> {
    #[inline(always)]
    fn new<S: Narrow>(s: S, [scale, min]: [F16; 2], codes: &[u8; 32]) -> Self {
        Self {
            scale,
            min,
            codes: C::pack(s, codes),
        }
    }
}

/// The codes reach from the smallest element to the largest.
fn affine_ref<C: Codes>(x: &[f32; 32]) -> AffineBlock<C> {
    let (min, max) = range(x);
    let scale = (max - min) / top::<C>() as f32;
    let inverse = reciprocal(scale);
    let codes = map(x, |x| truncate((x - min) * inverse + 0.5) as u8);
    let codes = at_most(&codes, top::<C>());
    AffineBlock::new(Portable, [scale, min].map(F16::from_f32), &codes)
}

fn weighted_affine_ref<C: Codes>(
    x: &[f32; 32],
    importance: &[f32; 32],
    row_mean_square: f32,
) -> AffineBlock<C> {
    let weights = weigh_important(x, importance, row_mean_square);
    let fit = fit_affine(x, &weights, top::<C>(), Grid::WEIGHTED, Deviation::Squared);
    let header = [fit.scale, -fit.min].map(F16::from_f32);
    AffineBlock::new(Portable, header, &fit.codes)
}

/// Codes as signed bytes, at most `top`.
///
/// Only scales so small that their reciprocal overflows make codes anything else than 0 to `top` + 1.
#[inline(always)]
fn at_most(codes: &[u8; 32], top: i32) -> [u8; 32] {
    map(codes, |code| (code as i8).min(top as i8) as u8)
}

//! Rows of plain floats: blocks of one element, which are taken 16 at a time here.

use super::super::plain::{BF16, F16, F32};
use super::{DotFormat, sum};
use crate::block::BlockFormat;
use crate::simd::SixtyFour;

/// The same order as in other rows; what is left over goes to the first partial sums.
#[inline(always)]
fn dot<F, S: SixtyFour>(s: S, row: &[F::Block], x: &[f32]) -> f32
where
    F: BlockFormat<Elements = [f32; 1]>,
{
    let mut partial = s.splat(0.0);
    let (sixteens, rest) = row.as_chunks::<16>();
    let (x, x_rest) = x.as_chunks::<16>();
    for (row, x) in sixteens.iter().zip(x) {
        let products = s.mul(s.load(&widen::<F, S>(s, row)), s.load(x));
        partial = s.add(partial, products);
    }
    if !rest.is_empty() {
        let mut products = [0.0; 16];
        for ((product, element), x) in products.iter_mut().zip(rest).zip(x_rest) {
            let mut y = [0.0];
            F::decode(s, element, &mut y);
            *product = y[0] * x;
        }
        partial = s.add(partial, s.load(&products));
    }
    sum(s, partial)
}

#[inline(always)]
fn widen<F, S: SixtyFour>(s: S, row: &[F::Block; 16]) -> [f32; 16]
where
    F: BlockFormat<Elements = [f32; 1]>,
{
    let mut wide = [[0.0]; 16];
    for (element, wide) in row.iter().zip(&mut wide) {
        F::decode(s, element, wide);
    }
    bytemuck::cast(wide)
}

macro_rules! plain {
    ($($format:ty),*) => {
        $(impl DotFormat for $format {
            type Piece = f32;

            #[inline(always)]
            fn dot<S: SixtyFour>(s: S, row: &[Self::Block], x: &[f32]) -> f32 {
                dot::<Self, S>(s, row, x)
            }

            /// The vector has been rounded to this type.
            #[inline(always)]
            fn dot_q8<S: SixtyFour>(s: S, row: &[Self::Block], x: &[f32]) -> f32 {
                dot::<Self, S>(s, row, x)
            }
        })*
    };
}

plain!(F32, F16, BF16);

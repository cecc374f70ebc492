//! Scales and biases in their own types.

use crate::dtype::DType;
use crate::numeric::{Bf16, F16, f8};
use crate::simd::{Isa, Kernel, Lanes};

/// Writes numbers in the type of a scale.
pub(super) fn store(isa: Isa, dtype: DType, from: &[f32], to: &mut [u8]) {
    isa.run(Store { dtype, from, to });
}

/// The inverse of [`store`].
pub(super) fn load(isa: Isa, dtype: DType, from: &[u8], to: &mut [f32]) {
    isa.run(Load { dtype, from, to });
}

struct Store<'a> {
    dtype: DType,
    from: &'a [f32],
    to: &'a mut [u8],
}

impl Kernel for Store<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let from = self.from.iter();
        match self.dtype {
            DType::F16 => {
                let to: &mut [F16] = bytemuck::cast_slice_mut(self.to);
                from.zip(to).for_each(|(x, y)| *y = F16::from_f32(*x));
            }
            DType::BF16 => {
                let to: &mut [Bf16] = bytemuck::cast_slice_mut(self.to);
                from.zip(to).for_each(|(x, y)| *y = Bf16::from_f32(*x));
            }
            DType::F8E4M3 => from.zip(self.to).for_each(|(x, y)| *y = f8::to_e4m3(*x)),
            DType::F8E8M0 => from.zip(self.to).for_each(|(x, y)| *y = f8::to_e8m0(*x)),
            _ => {
                let to = self.to.as_chunks_mut::<4>().0;
                from.zip(to).for_each(|(x, y)| *y = x.to_le_bytes());
            }
        }
    }
}

struct Load<'a> {
    dtype: DType,
    from: &'a [u8],
    to: &'a mut [f32],
}

impl Kernel for Load<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let to = self.to.iter_mut();
        match self.dtype {
            DType::F16 => {
                let from: &[F16] = bytemuck::cast_slice(self.from);
                to.zip(from).for_each(|(y, x)| *y = x.to_f32());
            }
            DType::BF16 => {
                let from: &[Bf16] = bytemuck::cast_slice(self.from);
                to.zip(from).for_each(|(y, x)| *y = x.to_f32());
            }
            DType::F8E4M3 => to.zip(self.from).for_each(|(y, x)| *y = f8::e4m3(*x)),
            DType::F8E8M0 => to.zip(self.from).for_each(|(y, x)| *y = f8::e8m0(*x)),
            _ => {
                let from = self.from.as_chunks::<4>().0;
                to.zip(from).for_each(|(y, x)| *y = f32::from_le_bytes(*x));
            }
        }
    }
}

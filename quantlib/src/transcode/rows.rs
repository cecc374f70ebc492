//! Transcoding some rows at a time, for whoever does not have the tensor in memory.

use super::fit::Fit;
use super::output::check_client;
use super::side::Side;
use crate::affine::AffineLayout;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parts::{self, Parts};
use crate::simd::Isa;
use std::ops::Range;

/// Blocks of one type to planes.
#[derive(Debug)]
pub(crate) struct RowTranscoder {
    dtype: DType,
    from: Side,
    to: Side,
}

impl RowTranscoder {
    /// # Errors
    /// `unsupported` if no blocks of the type could be such planes.
    pub(crate) fn new(dtype: DType, layout: &AffineLayout, shape: &[usize]) -> Result<Self> {
        check_client(layout.spec())?;
        let from = Side::block(dtype, shape)?;
        let to = Side::affine(layout, shape)?;
        if to.transposed {
            return Err(Error::unsupported(
                "groups along the first axis need the whole tensor; transcode it in memory",
            ));
        }
        Fit::new(&from, &to)?;
        Ok(Self { dtype, from, to })
    }

    /// Repacks units that are whole rows and begin whole bytes in every plane.
    ///
    /// # Errors
    /// `unsupported`, naming the first group that does not fit.
    pub(crate) fn convert(
        &self,
        layout: &AffineLayout,
        units: Range<usize>,
        blocks: &[u8],
        planes: [&mut [u8]; 3],
    ) -> Result<()> {
        let isa = Isa::preferred()?;
        let mut parts = Parts::default();
        parts::take_block_apart(self.dtype, blocks, &mut parts);
        let fit = Fit::new(&self.from, &self.to)?;
        let first_row = units.start / self.to.groups().max(1);
        let mut parts = fit.apply(parts, first_row, isa)?;
        parts::put_affine_together(layout, isa, units, &mut parts, planes);
        Ok(())
    }
}

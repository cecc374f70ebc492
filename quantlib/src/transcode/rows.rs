//! Transcoding some rows at a time, for whoever does not have the tensor in memory.

use super::fit::Fit;
use super::output::{Output, check_client};
use super::side::{Side, Source};
use crate::affine::AffineLayout;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parts::{self, Parts};
use crate::planar::AffineTensor;
use crate::simd::Isa;
use crate::tensor::Encoding;
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

/// Repacks some rows of planes, the first of which is row `first_row` of the whole, as blocks.
///
/// # Errors
/// Those of [`transcode`](super::transcode).
pub(crate) fn rows_to_blocks(
    tensor: &AffineTensor,
    first_row: usize,
    dtype: DType,
) -> Result<Vec<u8>> {
    let isa = Isa::preferred()?;
    let source = Source::new(tensor.into(), isa)?;
    let mut output = Output::new(&Encoding::Block(dtype), &source, isa)?;
    let target = output.side.clone();
    let fit = Fit::new(source.side(), &target)?;
    for (rows, tile) in output.tiles(target.rows.max(1)) {
        let first = first_row + rows.start;
        tile.put_together(fit.apply(source.take_apart(rows), first, isa)?);
    }
    let made = output.finish()?.into_block();
    Ok(made.map(|blocks| blocks.into_data()).unwrap_or_default())
}

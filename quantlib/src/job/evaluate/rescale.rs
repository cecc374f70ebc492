//! Values times scales that tiles of a matrix share.

use super::{CHUNK, Source};
use crate::error::Result;
use crate::job::products::Memo;

/// Fills `out` with f32 values, the first of them that of element `start`.
pub(super) fn read(
    of: &Source<'_>,
    scales: &Source<'_>,
    [tile_rows, tile_cols]: [usize; 2],
    start: usize,
    mut out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    let [.., rows, cols] = of.shape[..] else {
        return Ok(());
    };
    let (down, across) = (rows.div_ceil(tile_rows), cols.div_ceil(tile_cols));
    let mut values = vec![0.0; CHUNK.min(cols)];
    let mut row_scales = vec![0.0; values.len().div_ceil(tile_cols) + 1];
    let mut at = start;
    while !out.is_empty() {
        let (row, col) = (at / cols, at % cols);
        let len = (cols - col)
            .min(values.len())
            .min(out.len() / size_of::<f32>());
        let values = &mut values[..len];
        of.read_values(at, values, memo)?;
        let first = col / tile_cols;
        let row_scales = &mut row_scales[..(col + len).div_ceil(tile_cols) - first];
        let tile_row = row / rows * down + row % rows / tile_rows;
        scales.read_values(tile_row * across + first, row_scales, memo)?;
        let (piece, rest) = out.split_at_mut(len * size_of::<f32>());
        let pairs = piece.chunks_exact_mut(size_of::<f32>()).zip(values);
        for (i, (out, value)) in pairs.enumerate() {
            let scale = row_scales[(col + i) / tile_cols - first];
            out.copy_from_slice(&(*value * scale).to_le_bytes());
        }
        out = rest;
        at += len;
    }
    Ok(())
}

//! Walks rows block by block.

use super::weights::sum_squares;

/// Encodes every `N` elements into a block, with the importance of their columns.
#[inline(always)]
pub(super) fn encode_blocks<B, const N: usize>(
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [B],
    mut encode: impl FnMut(&[f32; N], Option<&[f32; N]>, &mut B),
) {
    let (rows, _) = rows.as_chunks();
    let weights = importance.map(|w| w.as_chunks().0);
    for (i, (x, block)) in rows.iter().zip(out).enumerate() {
        encode(x, weights.map(|w| &w[i % (cols / N)]), block);
    }
}

/// Encodes every `N` elements into a block, with the importance of their columns and the mean
/// square of their row.
pub(super) fn encode_blocks_in_rows<B, const N: usize>(
    rows: &[f32],
    cols: usize,
    importance: &[f32],
    out: &mut [B],
    mut encode: impl FnMut(&[f32; N], &[f32; N], f32, &mut B),
) {
    let (weights, _) = importance.as_chunks();
    for (row, out) in rows.chunks_exact(cols).zip(out.chunks_exact_mut(cols / N)) {
        let mean_square = sum_squares(row) / cols as f32;
        let (row, _) = row.as_chunks();
        for ((x, w), block) in row.iter().zip(weights).zip(out) {
            encode(x, w, mean_square, block);
        }
    }
}

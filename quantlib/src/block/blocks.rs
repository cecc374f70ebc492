//! Walks rows block by block, for the formats whose blocks know nothing of their row.

/// Decodes every block into its `N` elements.
pub(super) fn decode_blocks<B, const N: usize>(
    blocks: &[B],
    out: &mut [f32],
    mut decode: impl FnMut(&B, &mut [f32; N]),
) {
    let (out, _) = out.as_chunks_mut();
    for (block, y) in blocks.iter().zip(out) {
        decode(block, y);
    }
}

/// Encodes every `N` elements into a block, with the importance of their columns.
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

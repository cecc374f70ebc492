//! MX's 4-bit floats repacked: the codes of neighbours share a byte in the files, those of
//! elements 16 apart in GGUF's blocks, which begin with their scale.

use super::{CHUNK, Source};
use crate::dtype::DType;
use crate::error::Result;
use crate::job::products::Memo;

/// Bytes of the codes of a block.
const CODES: usize = 16;

/// Bytes of a block.
const SIZE: usize = 1 + CODES;

/// Fills `out` with whole blocks, the first of them that of element `start`.
pub(super) fn read(
    codes: &Source<'_>,
    scales: &Source<'_>,
    start: usize,
    out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    const BLOCKS: usize = CHUNK / CODES;
    let (mut code_bytes, mut scale_bytes) = ([0; CHUNK], [0; BLOCKS]);
    let len = DType::Mxfp4.block_len();
    for (i, out) in out.chunks_mut(BLOCKS * SIZE).enumerate() {
        let (first, count) = (start / len + i * BLOCKS, out.len() / SIZE);
        let (code_bytes, scale_bytes) =
            (&mut code_bytes[..count * CODES], &mut scale_bytes[..count]);
        codes.read(first * CODES, code_bytes, memo)?;
        scales.read(first, scale_bytes, memo)?;
        let blocks = code_bytes.as_chunks::<CODES>().0.iter().zip(scale_bytes);
        for (out, (codes, scale)) in out.chunks_exact_mut(SIZE).zip(blocks) {
            out[0] = *scale;
            out[1..].copy_from_slice(&interleave(codes));
        }
    }
    Ok(())
}

/// Fills `out` with codes in pairs of neighbours, the first of them in byte `start` of all.
pub(super) fn read_codes(
    blocks: &Source<'_>,
    start: usize,
    out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    let mut at = start;
    let mut rest = out;
    while !rest.is_empty() {
        // Parts of a block's codes at both ends, whole ones between.
        let within = at % CODES;
        let count = (within + rest.len()).div_ceil(CODES).min(CHUNK / SIZE);
        let mut bytes = [0; CHUNK];
        let bytes = &mut bytes[..count * SIZE];
        blocks.read(at / CODES * DType::Mxfp4.block_len(), bytes, memo)?;
        let codes: Vec<u8> = bytes
            .as_chunks::<SIZE>()
            .0
            .iter()
            .flat_map(|[_, codes @ ..]| deinterleave(codes))
            .collect();
        let (now, later) = rest.split_at_mut((codes.len() - within).min(rest.len()));
        now.copy_from_slice(&codes[within..][..now.len()]);
        at += now.len();
        rest = later;
    }
    Ok(())
}

/// Fills `out` with scales, the first of them that of block `start`.
pub(super) fn read_scales(
    blocks: &Source<'_>,
    start: usize,
    out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    const BLOCKS: usize = CHUNK / SIZE;
    let mut bytes = [0; BLOCKS * SIZE];
    for (i, out) in out.chunks_mut(BLOCKS).enumerate() {
        let bytes = &mut bytes[..out.len() * SIZE];
        let first = start + i * BLOCKS;
        blocks.read(first * DType::Mxfp4.block_len(), bytes, memo)?;
        let blocks = bytes.as_chunks::<SIZE>().0;
        for (out, [scale, ..]) in out.iter_mut().zip(blocks) {
            *out = *scale;
        }
    }
    Ok(())
}

/// Codes in pairs of neighbours, as pairs of elements 16 apart.
fn interleave(codes: &[u8; CODES]) -> [u8; CODES] {
    let code = |element: usize| codes[element / 2] >> (element % 2 * 4) & 0xF;
    std::array::from_fn(|i| code(i) | code(i + CODES) << 4)
}

/// Pairs of elements 16 apart, as pairs of neighbours.
fn deinterleave(codes: &[u8; CODES]) -> [u8; CODES] {
    let code = |element: usize| codes[element % CODES] >> (element / CODES * 4) & 0xF;
    std::array::from_fn(|i| code(2 * i) | code(2 * i + 1) << 4)
}

#[cfg(test)]
mod tests {
    use super::{deinterleave, interleave};

    #[test]
    fn every_code_finds_its_place() {
        let element = |codes: &[u8; 16], i: usize| codes[i / 2] >> (i % 2 * 4) & 0xF;
        let packed: [u8; 16] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let blocks = interleave(&packed);
        for (i, pair) in blocks.iter().enumerate() {
            assert_eq!(pair & 0xF, element(&packed, i));
            assert_eq!(pair >> 4, element(&packed, i + 16));
        }
        assert_eq!(deinterleave(&blocks), packed);
    }
}

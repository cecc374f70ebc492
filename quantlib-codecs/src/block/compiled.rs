//! The scalar reference, compiled for each instruction set: as fast as it gets for whatever does its
//! work in one pass, because the compiler vectorizes that.
//!
//! It takes that everything below is `#[inline(always)]`: what is not is compiled for the baseline
//! CPU.

use super::BlockFormat;
use crate::simd::{Isa, Kernel, Lanes, PastCaches, Sixteen};
use bytemuck::Zeroable;

/// Decodes block by block. (A loop, because a closure would be compiled once for all.)
#[inline(always)]
pub(super) fn decode_each<F: BlockFormat, S: Sixteen>(s: S, blocks: &[F::Block], out: &mut [f32]) {
    let out: &mut [F::Elements] = bytemuck::cast_slice_mut(out);
    for (block, y) in blocks.iter().zip(out) {
        F::decode(s, block, y);
    }
}

/// [`decode_each`] with the instructions of `isa`.
pub(super) fn decode<F: BlockFormat>(isa: Isa, blocks: &[F::Block], out: &mut [f32]) {
    isa.run(Decode::<F> { blocks, out });
}

/// [`decode`] to memory that no cache holds, which is written past them.
pub(super) fn decode_past_caches<F: BlockFormat>(isa: Isa, blocks: &[F::Block], out: &mut [f32]) {
    // Plain floats may end anywhere.
    let whole = out.len() / 16 * 16;
    let (lines, rest) = out.split_at_mut(whole);
    let (first, last) = blocks.split_at(whole / F::DTYPE.block_len());
    isa.run(DecodePastCaches::<F> {
        blocks: first,
        out: lines,
    });
    decode::<F>(isa, last, rest);
}

/// [`BlockFormat::encode`] with the instructions of `isa`.
pub(super) fn encode<F: BlockFormat>(
    isa: Isa,
    rows: &[f32],
    cols: usize,
    importance: Option<&[f32]>,
    out: &mut [F::Block],
) {
    isa.run(Encode::<F> {
        rows,
        cols,
        importance,
        out,
    });
}

struct Decode<'a, F: BlockFormat> {
    blocks: &'a [F::Block],
    out: &'a mut [f32],
}

impl<F: BlockFormat> Kernel for Decode<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        decode_each::<F, _>(lanes.row(), self.blocks, self.out);
    }
}

struct DecodePastCaches<'a, F: BlockFormat> {
    blocks: &'a [F::Block],
    out: &'a mut [f32],
}

impl<F: BlockFormat> Kernel for DecodePastCaches<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let s = lanes.row();
        let past = PastCaches::over(s, self.out);
        let past_caches = past.instructions();
        // What decoders write to; nothing ever is.
        let mut unwritten = [0.0; 16];
        if F::DTYPE.block_len() == 1 {
            for blocks in self.blocks.as_chunks::<16>().0 {
                let mut elements = [0.0; 16];
                decode_each::<F, _>(s, blocks, &mut elements);
                past_caches.store(s.load(&elements), &mut unwritten);
            }
        } else {
            let mut unwritten = F::Elements::zeroed();
            for block in self.blocks {
                F::decode(past_caches, block, &mut unwritten);
            }
        }
        past.finish();
    }
}

struct Encode<'a, F: BlockFormat> {
    rows: &'a [f32],
    cols: usize,
    importance: Option<&'a [f32]>,
    out: &'a mut [F::Block],
}

impl<F: BlockFormat> Kernel for Encode<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        F::encode(self.rows, self.cols, self.importance, self.out);
    }
}

#[cfg(test)]
mod tests {
    use crate::block::codec;
    use crate::dtype::DType;
    use crate::simd::Isa;

    /// Any bytes are blocks; wherever the output begins, and for plain floats wherever it ends.
    #[test]
    fn what_goes_past_the_caches_is_the_same() {
        let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for &dtype in DType::ALL {
            let Ok(codec) = codec(dtype) else { continue };
            let blocks = if dtype.block_len() == 1 { 75 } else { 3 };
            let len = blocks * dtype.block_len();
            let data: Vec<u8> = (0..blocks * dtype.block_bytes())
                .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3])
                .collect();
            for isa in Isa::ALL.iter().copied().filter(|isa| isa.is_available()) {
                let mut expected = vec![0.0; len];
                codec.decode(isa, &data, &mut expected);
                for start in 0..16 {
                    let mut out = vec![0.5; 16 + len];
                    codec.decode_past_caches(isa, &data, &mut out[start..start + len]);
                    let decoded = &out[start..start + len];
                    assert!(bits(decoded) == bits(&expected), "{dtype} {isa} {start}");
                    assert!(
                        out[..start].iter().all(|x| *x == 0.5),
                        "{dtype} {isa} {start}"
                    );
                    assert!(
                        out[start + len..].iter().all(|x| *x == 0.5),
                        "{dtype} {isa}"
                    );
                }
            }
        }
    }
}

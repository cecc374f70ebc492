//! Stores that go past the caches, of SSE2, which every x86-64 has.

use std::arch::x86_64::*;

/// Floats in a line of the caches: whole lines are written, else they would be read first.
const LINE: usize = 16;

/// See [`copy_past_caches`](crate::simd::copy_past_caches); the lengths are equal.
pub(crate) fn copy_past_caches(from: &[f32], to: &mut [f32]) {
    let head = to.as_ptr().align_offset(64).min(to.len());
    let (first, from) = from.split_at(head);
    let (start, to) = to.split_at_mut(head);
    start.copy_from_slice(first);
    let (lines, rest) = from.as_chunks::<LINE>();
    let (to_lines, end) = to.as_chunks_mut::<LINE>();
    for (line, to) in lines.iter().zip(to_lines) {
        for (x, y) in line
            .as_chunks::<4>()
            .0
            .iter()
            .zip(to.as_chunks_mut::<4>().0)
        {
            // SAFETY: both are four floats; `y` is aligned to 16 bytes, because the lines begin at a
            // multiple of 64; the fence below comes before anybody else may read them.
            unsafe { _mm_stream_ps(y.as_mut_ptr(), _mm_loadu_ps(x.as_ptr())) };
        }
    }
    // SAFETY: an instruction of SSE; it orders stores and accesses nothing.
    unsafe { _mm_sfence() };
    end.copy_from_slice(rest);
}

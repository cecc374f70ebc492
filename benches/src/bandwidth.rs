//! What memory allows: decoding 1 GiB against a streaming fill of as much, and encoding in one pass
//! against reading as much.

use crate::codecs::{encoded, options};
use crate::data::{importance, normal};
use crate::timing::{Effort, Middle, in_turn, thread_time};
use quantlib::DType;
use std::hint::black_box;

const COLS: usize = 4096;
/// Floats of 1 GiB.
const LEN: usize = 1 << 28;

/// Prints both tables: the share of the memory's speed that each type reaches with one thread.
pub(crate) fn tables(decoded: &[DType], encoded_in_one_pass: &[DType], effort: Effort) {
    let mut floats = normal(LEN);
    decode(decoded, &mut floats, effort);
    floats = normal(LEN);
    encode(encoded_in_one_pass, &floats, effort);
}

fn decode(types: &[DType], out: &mut [f32], effort: Effort) {
    println!("\n| decode to 1 GiB | streaming fill, GiB/s | ours, of that |\n|---|---:|---:|");
    let rows = normal(32 * COLS);
    let weights = importance(COLS);
    let mut fill_target = vec![0.0; LEN];
    for &dtype in types {
        let data = encoded(&rows, LEN, dtype, &weights);
        // The same as within a cache, where nothing goes past it.
        quantlib::dequantize_into(&data, dtype, &options(None, 1), out).unwrap();
        let (start, bytes) = (rows.len(), dtype.tensor_bytes(&[rows.len()]).unwrap());
        let expected = quantlib::dequantize(&data[..bytes], dtype).unwrap();
        assert!(
            out[..start] == expected && out[LEN - start..] == expected,
            "{dtype}"
        );
        let mut fill = || fill_past_caches(&mut fill_target);
        let mut ours = || {
            quantlib::dequantize_into(&data, dtype, &options(None, 1), out).unwrap();
        };
        row(dtype, &mut fill, &mut ours, effort);
    }
}

fn encode(types: &[DType], x: &[f32], effort: Effort) {
    println!("\n| encode from 1 GiB | reading, GiB/s | ours, of that |\n|---|---:|---:|");
    for &dtype in types {
        let mut out = vec![0; dtype.tensor_bytes(&[x.len()]).unwrap()];
        let mut read = || {
            black_box(read(x));
        };
        let mut ours = || {
            let options = options(None, 1);
            quantlib::quantize_into(x.into(), COLS, dtype, None, &options, &mut out).unwrap();
        };
        row(dtype, &mut read, &mut ours, effort);
        let expected = quantlib::quantize(&x[..32 * COLS], COLS, dtype, None).unwrap();
        assert!(out.starts_with(expected.data()), "{dtype}");
    }
}

fn row(dtype: DType, memory: &mut dyn FnMut(), ours: &mut dyn FnMut(), effort: Effort) {
    let times = in_turn(&mut [memory, ours], effort, thread_time);
    let speed = 1.0 / Middle::of(&times[0]).median;
    println!(
        "| {dtype} | {speed:.1} | {} |",
        Middle::ratio(&times[0], &times[1])
    );
}

/// The bits of all elements, together: nothing but reading takes time.
fn read(x: &[f32]) -> u32 {
    let mut all = [0; 64];
    for x in x.as_chunks::<64>().0 {
        for (all, x) in all.iter_mut().zip(x) {
            *all |= x.to_bits();
        }
    }
    all.iter().fold(0, |all, some| all | some)
}

#[cfg(target_arch = "x86_64")]
fn fill_past_caches(out: &mut [f32]) {
    use std::arch::x86_64::{_mm_set1_ps, _mm_sfence, _mm_stream_ps};
    // SAFETY: `align_to_mut` gives aligned places for four floats, which any bytes are; the
    // instructions are of SSE, which every x86-64 has.
    unsafe {
        let (start, middle, end) = out.align_to_mut::<std::arch::x86_64::__m128>();
        start.fill(1.0);
        end.fill(1.0);
        for four in middle {
            _mm_stream_ps(std::ptr::from_mut(four).cast(), _mm_set1_ps(1.0));
        }
        _mm_sfence();
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fill_past_caches(out: &mut [f32]) {
    out.fill(1.0);
}

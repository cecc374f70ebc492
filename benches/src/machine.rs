//! What the machine gives just now: on a shared one, a neighbour on the same core takes its part of
//! the vector units, and the widest lose most. Ratios to a scalar peer are to be read with it.

use crate::timing::{Effort, Middle, in_turn, wall_time};
use std::hint::black_box;

/// Additions of each engine in a turn.
const ROUNDS: usize = 400_000;
/// As many as the units can have under way.
const CHAINS: usize = 12;

/// Prints how many additions there are in a nanosecond, in a chain and in vectors.
pub(crate) fn table(effort: Effort) {
    println!("\n| additions of | in a nanosecond |\n|---|---:|");
    row(
        "integers in a chain, with a rotation each",
        effort,
        &mut || {
            let mut sum = 0usize;
            for i in 0..ROUNDS * CHAINS {
                sum = sum.rotate_left(1).wrapping_add(i);
            }
            black_box(sum);
        },
    );
    #[cfg(target_arch = "x86_64")]
    x86::rows(effort);
}

fn row(what: &str, effort: Effort, work: &mut dyn FnMut()) {
    let times = in_turn(&mut [work], effort, wall_time);
    let speeds: Vec<_> = times[0]
        .iter()
        .map(|seconds| (ROUNDS * CHAINS) as f64 / seconds / 1e9)
        .collect();
    let Middle { median, spread } = Middle::of(&speeds);
    println!("| {what} | {median:.2} ± {spread:.2} |");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, Effort, ROUNDS, black_box, row};
    use std::arch::x86_64::*;

    pub(super) fn rows(effort: Effort) {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has AVX2.
            row("vectors of 8 floats", effort, &mut || unsafe { eights() });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU has AVX-512 F.
            row("vectors of 16 floats", effort, &mut || unsafe {
                sixteens()
            });
        }
    }

    #[target_feature(enable = "avx2")]
    fn eights() {
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        let one = _mm256_set1_ps(black_box(1.0));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_add_ps(*sum, one);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    fn sixteens() {
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        let one = _mm512_set1_ps(black_box(1.0));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_add_ps(*sum, one);
            }
        }
        black_box(sums);
    }
}

//! How much several threads are worth: wall time of one against that of all.
//! A row of mere arithmetic shows what of it is the machine's.

use crate::codecs::options;
use crate::data::{importance, normal};
use crate::timing::{Effort, Middle, in_turn, wall_time};
use quantlib::DType;
use std::hint::black_box;

const COLS: usize = 4096;
const ROWS: usize = 1 << 12;

/// Prints the table of encoders and decoders with 1, 2, 4… threads.
pub(crate) fn table(types: &[DType], effort: Effort) {
    let counts = counts();
    print!("\n| 64 MiB of floats | one thread, M elements/s |");
    counts.iter().for_each(|n| print!(" {n} threads |"));
    println!("\n|---|---:|{}", "---:|".repeat(counts.len()));
    // What the CPUs themselves give, if virtual ones share something.
    row("additions in registers", &counts, &mut additions, effort);
    let x = normal(ROWS * COLS);
    let weights = importance(COLS);
    for &dtype in types {
        let mut data = vec![0; dtype.tensor_bytes(&[x.len()]).unwrap()];
        let mut encode = |threads| {
            let options = options(None, threads);
            let weights = dtype.is_quantized().then_some(&weights[..]);
            quantlib::quantize_into((&x[..]).into(), COLS, dtype, weights, &options, &mut data)
                .unwrap();
        };
        row(&format!("encode to {dtype}"), &counts, &mut encode, effort);
        let mut floats = vec![0.0; x.len()];
        let mut decode = |threads| {
            quantlib::dequantize_into(&data, dtype, &options(None, threads), &mut floats).unwrap();
        };
        row(
            &format!("decode from {dtype}"),
            &counts,
            &mut decode,
            effort,
        );
    }
}

/// Adds up vectors of floats, a vector for each element, without touching memory.
fn additions(threads: usize) {
    let add = || {
        let (mut sums, one) = ([0f32; 32], black_box(1.0));
        for _ in 0..ROWS * COLS / threads {
            sums.iter_mut().for_each(|sum| *sum += one);
        }
        black_box(sums);
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(add)));
        add();
    });
}

/// 2, 4, 8… up to the number of CPUs.
fn counts() -> Vec<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    std::iter::successors(Some(2), |n| Some(n * 2))
        .take_while(|n| *n <= all)
        .collect()
}

fn row(what: &str, counts: &[usize], work: &mut dyn FnMut(usize), effort: Effort) {
    let work = std::cell::RefCell::new(work);
    let mut each: Vec<_> = std::iter::once(&1)
        .chain(counts)
        .map(|&threads| {
            let work = &work;
            move || work.borrow_mut()(threads)
        })
        .collect();
    let mut engines: Vec<&mut dyn FnMut()> = Vec::new();
    engines.extend(each.iter_mut().map(|engine| engine as &mut dyn FnMut()));
    let times = in_turn(&mut engines, effort, wall_time);
    let speed = (ROWS * COLS) as f64 / Middle::of(&times[0]).median / 1e6;
    print!("| {what} | {speed:.1} |");
    for many in &times[1..] {
        print!(" {} |", Middle::ratio(&times[0], many));
    }
    println!();
}

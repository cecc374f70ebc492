//! Encoders against ggml's, one thread, in the same run: first the bytes are compared, then both
//! are timed in turn, and the medians' ratio is printed.
//!
//! `cargo run --release -p quantlib-bench [TYPE…]`

mod ggml;

use ggml::Ggml;
use quantlib::{CodecOptions, DType, Isa};
use rustix::time::{ClockId, clock_gettime};
use std::process::ExitCode;

/// The types that are encoded in lanes.
const TYPES: &[DType] = &[
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q2K,
    DType::Q3K,
    DType::Q4K,
    DType::Q5K,
    DType::Q6K,
    DType::Iq4Nl,
    DType::Iq4Xs,
];
const ROWS: usize = 32;
const COLS: usize = 4096;
/// Odd, so that there is a middle one.
const REPEATS: usize = 11;

/// What both encode.
struct Case<'a> {
    dtype: DType,
    x: &'a [f32],
    importance: Option<&'a [f32]>,
}

impl Case<'_> {
    fn buffer(&self) -> Vec<u8> {
        let shape = [self.x.len() / COLS, COLS];
        vec![0; self.dtype.tensor_bytes(&shape).unwrap()]
    }

    fn ours(&self, isa: Isa, out: &mut [u8]) {
        let mut options = CodecOptions::default();
        options.threads = 1;
        options.isa = Some(isa);
        let x = self.x.into();
        quantlib::quantize_into(x, COLS, self.dtype, self.importance, &options, out).unwrap();
    }

    fn ggml(&self, ggml: &Ggml, out: &mut [u8]) {
        ggml.quantize(self.dtype, self.x, COLS, self.importance, out);
    }

    /// Panics unless the bytes are ggml's.
    fn check(&self, ggml: &Ggml, isas: &[Isa]) {
        let mut expected = self.buffer();
        self.ggml(ggml, &mut expected);
        for isa in isas {
            let mut out = self.buffer();
            self.ours(*isa, &mut out);
            assert!(out == expected, "{} on {isa}: other bytes", self.dtype);
        }
    }

    /// Seconds of ggml and of each of ours: medians of runs in turn.
    fn time(&self, ggml: &Ggml, isas: &[Isa]) -> (f64, Vec<f64>) {
        let mut out = self.buffer();
        let mut theirs = Vec::new();
        let mut ours = vec![Vec::new(); isas.len()];
        for _ in 0..REPEATS {
            theirs.push(seconds(|| self.ggml(ggml, &mut out)));
            for (times, isa) in ours.iter_mut().zip(isas) {
                times.push(seconds(|| self.ours(*isa, &mut out)));
            }
        }
        (median(theirs), ours.into_iter().map(median).collect())
    }
}

/// This thread's own time, so that other processes disturb little. A first run, not timed, lets the
/// caches fill and the wide vector units wake up.
fn seconds(mut work: impl FnMut()) -> f64 {
    work();
    let start = thread_time();
    work();
    thread_time() - start
}

fn thread_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Close to normally distributed, always the same.
fn normal(len: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..len)
        .map(|_| (0..12).map(|_| unit()).sum::<f32>() - 6.0)
        .collect()
}

fn main() -> ExitCode {
    let ggml = match Ggml::load() {
        Ok(ggml) => ggml,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let types = TYPES
        .iter()
        .filter(|dtype| asked.is_empty() || asked.iter().any(|name| name == dtype.name()));
    let isas: Vec<Isa> = Isa::ALL
        .iter()
        .copied()
        .filter(|isa| isa.is_available())
        .collect();
    let x = normal(ROWS * COLS);
    let weights: Vec<f32> = normal(COLS).iter().map(|x| x * x).collect();
    print!("| type | importance | ggml, M/s |");
    isas.iter().for_each(|isa| print!(" {isa} |"));
    println!("\n|---|---|---:|{}", "---:|".repeat(isas.len()));
    for &dtype in types {
        for importance in [None, Some(&weights[..])] {
            let case = Case {
                dtype,
                x: &x,
                importance,
            };
            case.check(&ggml, &isas);
            let (theirs, ours) = case.time(&ggml, &isas);
            let with = if importance.is_some() { "yes" } else { "no" };
            let speed = x.len() as f64 / theirs / 1e6;
            print!("| {dtype} | {with} | {speed:.2} |");
            for ours in ours {
                print!(" {:.1}× |", theirs / ours);
            }
            println!();
        }
    }
    ExitCode::SUCCESS
}

//! Encoders and decoders against ggml's, one thread, in the same run: first the results are compared,
//! then both are timed in turn, and the medians' ratio is printed.
//!
//! `cargo run --release -p quantlib-bench [encode|decode] [TYPE…]`

mod ggml;

use ggml::Ggml;
use quantlib::{CodecOptions, DType, Isa};
use rustix::time::{ClockId, clock_gettime};
use std::process::ExitCode;

const ROWS: usize = 32;
const COLS: usize = 4096;
/// Odd, so that there is a middle one.
const REPEATS: usize = 11;

fn options(isa: Isa) -> CodecOptions {
    let mut options = CodecOptions::default();
    options.threads = 1;
    options.isa = Some(isa);
    options
}

/// What two implementations do with the same input.
trait Case {
    type Output: PartialEq;

    fn output(&self) -> Self::Output;
    fn ours(&self, isa: Isa, out: &mut Self::Output);
    fn ggml(&self, ggml: &Ggml, out: &mut Self::Output);

    /// Panics unless the results are ggml's.
    fn check(&self, ggml: &Ggml, isas: &[Isa], what: &str) {
        let mut expected = self.output();
        self.ggml(ggml, &mut expected);
        for isa in isas {
            let mut out = self.output();
            self.ours(*isa, &mut out);
            assert!(out == expected, "{what} on {isa}: another result");
        }
    }

    /// Seconds of ggml and of each of ours: medians of runs in turn.
    fn time(&self, ggml: &Ggml, isas: &[Isa]) -> (f64, Vec<f64>) {
        let mut out = self.output();
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

    /// Prints a row of the table.
    fn row(&self, ggml: &Ggml, isas: &[Isa], what: &str) {
        self.check(ggml, isas, what);
        let (theirs, ours) = self.time(ggml, isas);
        print!("| {what} | {:.1} |", (ROWS * COLS) as f64 / theirs / 1e6);
        for ours in ours {
            print!(" {:.1}× |", theirs / ours);
        }
        println!();
    }
}

struct Encode<'a> {
    dtype: DType,
    x: &'a [f32],
    importance: Option<&'a [f32]>,
}

impl Case for Encode<'_> {
    type Output = Vec<u8>;

    fn output(&self) -> Vec<u8> {
        vec![0; self.dtype.tensor_bytes(&[ROWS, COLS]).unwrap()]
    }

    fn ours(&self, isa: Isa, out: &mut Vec<u8>) {
        let x = self.x.into();
        let done =
            quantlib::quantize_into(x, COLS, self.dtype, self.importance, &options(isa), out);
        done.unwrap();
    }

    fn ggml(&self, ggml: &Ggml, out: &mut Vec<u8>) {
        ggml.quantize(self.dtype, self.x, COLS, self.importance, out);
    }
}

struct Decode<'a> {
    dtype: DType,
    data: &'a [u8],
}

impl Case for Decode<'_> {
    type Output = Vec<f32>;

    fn output(&self) -> Vec<f32> {
        vec![0.0; ROWS * COLS]
    }

    fn ours(&self, isa: Isa, out: &mut Vec<f32>) {
        quantlib::dequantize_into(self.data, self.dtype, &options(isa), out).unwrap();
    }

    fn ggml(&self, ggml: &Ggml, out: &mut Vec<f32>) {
        ggml.dequantize(self.dtype, self.data, out);
    }
}

/// Runs shorter than this, in seconds, are repeated: wide vector units take a while to wake up.
const SHORTEST: f64 = 0.001;

/// This thread's own time for one run, so that other processes disturb little.
fn seconds(mut work: impl FnMut()) -> f64 {
    // Not timed: the caches fill, and the vector units wake up.
    work();
    let start = thread_time();
    let mut runs = 0;
    loop {
        work();
        runs += 1;
        let elapsed = thread_time() - start;
        if elapsed > SHORTEST {
            return elapsed / f64::from(runs);
        }
    }
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
    let (modes, names): (Vec<&str>, Vec<&str>) = asked
        .iter()
        .map(String::as_str)
        .partition(|word| ["encode", "decode"].contains(word));
    let wanted = |mode: &str| modes.is_empty() || modes.contains(&mode);
    let types: Vec<DType> = DType::ALL
        .iter()
        .copied()
        .filter(|dtype| dtype.is_quantized() || matches!(dtype, DType::F16 | DType::BF16))
        .filter(|dtype| names.is_empty() || names.contains(&dtype.name()))
        .collect();
    let isas: Vec<Isa> = Isa::ALL.to_vec();
    let isas: Vec<Isa> = isas.into_iter().filter(|isa| isa.is_available()).collect();
    let x = normal(ROWS * COLS);
    let weights: Vec<f32> = normal(COLS).iter().map(|x| x * x).collect();
    if wanted("encode") {
        heading("encode to", &isas);
        for &dtype in &types {
            encode(&ggml, &isas, dtype, &x, &weights);
        }
    }
    if wanted("decode") {
        heading("decode from", &isas);
        for &dtype in types.iter().filter(|dtype| ggml.can_decode(**dtype)) {
            let data = quantlib::quantize(&x, COLS, dtype, Some(&weights)).unwrap();
            let data = data.data();
            Decode { dtype, data }.row(&ggml, &isas, dtype.name());
        }
    }
    ExitCode::SUCCESS
}

fn encode(ggml: &Ggml, isas: &[Isa], dtype: DType, x: &[f32], weights: &[f32]) {
    let case = |importance| Encode {
        dtype,
        x,
        importance,
    };
    if !matches!(dtype, DType::Iq1S | DType::Iq2Xxs | DType::Iq2Xs) {
        case(None).row(ggml, isas, dtype.name());
    }
    if dtype.is_quantized() && !matches!(dtype, DType::Q8_1 | DType::Q8K) {
        let what = format!("{dtype}, importance");
        case(Some(weights)).row(ggml, isas, &what);
    }
}

fn heading(what: &str, isas: &[Isa]) {
    print!("| {what} | ggml, M/s |");
    isas.iter().for_each(|isa| print!(" {isa} |"));
    println!("\n|---|---:|{}", "---:|".repeat(isas.len()));
}

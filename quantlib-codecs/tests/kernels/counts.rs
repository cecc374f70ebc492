//! Instructions for each element, as callgrind counts them, against those that were recorded. valgrind
//! has no AVX-512.
//!
//! `QUANTLIB_REGENERATE=1 cargo test -p quantlib-codecs --test kernels` records anew.

use crate::output;
use quantlib_codecs::{CodecOptions, DType, Isa, Q8Vector, TensorView};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One type of each kind of kernel. Those after an `i` have importance weights.
const ENCODERS: &[&str] = &[
    "q8_0", "q4_0", "i q4_1", "i q4_0", "q4_k", "i q4_k", "q2_k", "q3_k", "i q3_k", "q6_k",
    "iq4_xs", "iq3_s", "i iq2_xs", "i iq1_s", "tq1_0", "mxfp4", "nvfp4",
];
const DECODERS: &[&str] = &[
    "q8_0", "q4_0", "q4_k", "q6_k", "iq4_xs", "iq3_s", "iq1_m", "tq1_0",
];
/// Products with vectors, of floats and of integers.
const PRODUCTS: &[&str] = &[
    "bf16", "q8_0", "q4_0", "q4_1", "q4_k", "q6_k", "iq4_xs", "iq3_s", "iq2_xs", "tq1_0",
];

/// How many times as many instructions as were recorded are no accident. Compilers differ.
const SLACK: f64 = 1.4;

/// Two tiles of the widest lanes that callgrind runs.
const ELEMENTS: usize = 2 * 16 * 256;
const COLS: usize = 256;

/// Set for the process that callgrind watches: the case, such as `encode avx2 i q4_k`.
const WATCHED: &str = "QUANTLIB_WATCHED_CASE";

#[test]
fn kernels_take_no_more_instructions_than_recorded() {
    let Some(counts) = count_all() else {
        return;
    };
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/golden/instructions.txt");
    if std::env::var_os("QUANTLIB_REGENERATE").is_some() {
        let lines = counts
            .iter()
            .map(|(case, count)| format!("{case}: {count:.1}\n"));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    let recorded: BTreeMap<&str, f64> = recorded
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(case, count)| (case, count.parse().unwrap()))
        .collect();
    for (case, count) in &counts {
        let usual = recorded[&case[..]];
        assert!(
            *count <= SLACK * usual,
            "{case}: {count:.1} instructions for each element, {usual:.1} were recorded; was something not inlined?"
        );
    }
}

/// What callgrind watches. Does nothing in an ordinary run.
#[test]
fn watched() {
    let Ok(case) = std::env::var(WATCHED) else {
        return;
    };
    let mut pass = Pass::new(&case);
    // Tables that are made once are made now.
    pass.run();
    one_pass(&mut pass);
}

/// The function whose instructions callgrind counts.
#[inline(never)]
fn one_pass(pass: &mut Pass) {
    pass.run();
}

#[derive(Clone, Copy)]
enum Verb {
    Encode,
    Decode,
    Matvec,
    MatvecQ8,
}

impl Verb {
    fn named(name: &str) -> Self {
        match name {
            "encode" => Self::Encode,
            "decode" => Self::Decode,
            "matvec" => Self::Matvec,
            "matvec_q8" => Self::MatvecQ8,
            _ => panic!("'{name}' is no verb"),
        }
    }
}

/// What a case does.
struct Pass {
    verb: Verb,
    dtype: DType,
    weights: Option<Vec<f32>>,
    options: CodecOptions,
    floats: Vec<f32>,
    bytes: Vec<u8>,
    vector: Vec<f32>,
    integers: Option<Q8Vector>,
    products: Vec<f32>,
}

impl Pass {
    fn new(case: &str) -> Self {
        let words: Vec<&str> = case.split(' ').collect();
        let [verb, isa, .., name] = words[..] else {
            panic!("'{case}' is no case");
        };
        let (verb, dtype) = (Verb::named(verb), name.parse().unwrap());
        let mut options = CodecOptions::default();
        options.threads = 1;
        options.isa = Some(isa.parse().unwrap());
        let floats: Vec<f32> = (0..ELEMENTS).map(|i| (i as f32 * 1.618).sin()).collect();
        let weights: Vec<f32> = (0..COLS).map(|i| 1.0 + (i % 7) as f32).collect();
        let encoded = quantlib_codecs::quantize(&floats, COLS, dtype, Some(&weights)).unwrap();
        let vector = floats[..COLS].to_vec();
        let integers = matches!(verb, Verb::MatvecQ8).then(|| {
            let mut integers = Q8Vector::new(dtype, COLS).unwrap();
            integers.set((&vector[..]).into(), &options).unwrap();
            integers
        });
        Self {
            verb,
            dtype,
            weights: words.contains(&"i").then_some(weights),
            options,
            floats,
            bytes: encoded.into_data(),
            vector,
            integers,
            products: vec![0.0; ELEMENTS / COLS],
        }
    }

    fn run(&mut self) {
        let (dtype, options) = (self.dtype, &self.options);
        let shape = [ELEMENTS / COLS, COLS];
        let rows = |bytes| TensorView::new(dtype, &shape, bytes).unwrap();
        let done = match self.verb {
            Verb::Encode => {
                let (x, weights) = ((&self.floats[..]).into(), self.weights.as_deref());
                quantlib_codecs::quantize_into(x, COLS, dtype, weights, options, &mut self.bytes)
            }
            Verb::Decode => {
                quantlib_codecs::dequantize_into(&self.bytes, dtype, options, &mut self.floats)
            }
            Verb::Matvec => {
                let x = (&self.vector[..]).into();
                quantlib_codecs::matvec_into(rows(&self.bytes), x, options, &mut self.products)
            }
            Verb::MatvecQ8 => {
                let x = self.integers.as_ref().unwrap();
                quantlib_codecs::matvec_q8_into(rows(&self.bytes), x, options, &mut self.products)
            }
        };
        done.unwrap();
    }
}

fn cases() -> Vec<String> {
    let isas = [Isa::Portable, Isa::Avx2];
    let isas = isas.into_iter().filter(|isa| isa.is_available());
    let encoders = ENCODERS.iter().map(|what| ("encode", what));
    let decoders = DECODERS.iter().map(|what| ("decode", what));
    let products = PRODUCTS
        .iter()
        .flat_map(|what| [("matvec", what), ("matvec_q8", what)]);
    let all: Vec<_> = encoders.chain(decoders).chain(products).collect();
    isas.flat_map(|isa| {
        let named = |(verb, what): &(&str, &&str)| format!("{verb} {isa} {what}");
        all.iter().map(named).collect::<Vec<_>>()
    })
    .collect()
}

/// Instructions for each element by case; nothing without valgrind.
fn count_all() -> Option<BTreeMap<String, f64>> {
    output(Command::new("valgrind").arg("--version"))?;
    let cases = cases();
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = instructions(case) / ELEMENTS as f64;
                    counts.lock().unwrap().insert(case.clone(), count);
                }
            });
        }
    });
    Some(counts.into_inner().unwrap())
}

fn instructions(case: &str) -> f64 {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*one_pass*"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "counts::watched", "--test-threads=1"])
        .env(WATCHED, case);
    let output = output(&mut command).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {text}");
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.unwrap_or_else(|| panic!("{case}: no count in {text}"));
    count.trim().parse().unwrap()
}

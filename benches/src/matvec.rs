//! Encoded rows times a vector, one thread: `matvec` against decoding to memory and multiplying then,
//! `matvec_q8` against ggml-cpu's products of the same encoded vectors.

use crate::codecs::options;
use crate::data::{importance, normal};
use crate::ggml_cpu::GgmlCpu;
use crate::timing::{Effort, Middle, in_turn, thread_time};
use quantlib::{DType, Floats, Isa, Q8Vector, TensorView};

/// Matrices in the second-level cache, and far larger than any cache once they are decoded.
const SHAPES: [[usize; 2]; 2] = [[32, 4096], [4096, 14336]];

/// Rows that are really different; larger matrices repeat them.
const DIFFERENT: usize = 32;

/// Those that vectors matter for: the fast ones.
fn isas() -> impl Iterator<Item = Isa> {
    let all = Isa::ALL.iter().copied();
    all.filter(|isa| *isa != Isa::Scalar && isa.is_available())
}

struct Matrix {
    dtype: DType,
    shape: [usize; 2],
    data: Vec<u8>,
    x: Vec<f32>,
}

impl Matrix {
    fn new(dtype: DType, shape: [usize; 2]) -> Self {
        let [rows, cols] = shape;
        let weights = normal(DIFFERENT * cols);
        let q = quantlib::quantize(&weights, cols, dtype, Some(&importance(cols))).unwrap();
        Self {
            dtype,
            shape,
            data: q.data().repeat(rows / DIFFERENT),
            x: normal(cols),
        }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, &self.shape, &self.data).unwrap()
    }

    /// Panics if the results are farther apart than rounding explains, generously.
    fn compare(&self, what: &str, y: &[f32], expected: &[f32]) {
        let length = |x: &[f32]| x.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        let size = length(&self.x) * (self.shape[1] as f64).sqrt();
        for (y, expected) in y.iter().zip(expected) {
            let error = f64::from((y - expected).abs());
            assert!(error < 1e-5 * size, "{what}: {y}, not {expected}");
        }
    }

    /// Millions of elements in a second.
    fn speed(&self, seconds: &[f64]) -> f64 {
        let [rows, cols] = self.shape;
        (rows * cols) as f64 / Middle::of(seconds).median / 1e6
    }
}

fn heading(what: &str, shape: [usize; 2], peers: &[&str]) {
    let [rows, cols] = shape;
    print!("\n| {what}, {rows} × {cols} |");
    peers.iter().for_each(|peer| print!(" {peer} |"));
    println!("\n|---|{}", "---:|".repeat(peers.len()));
}

/// Prints the tables.
pub(crate) fn tables(types: &[DType], quick: bool, effort: Effort) {
    let shapes = if quick { &SHAPES[..1] } else { &SHAPES };
    for &shape in shapes {
        floats(types, shape, effort);
        integers(types, shape, effort);
    }
}

fn floats(types: &[DType], shape: [usize; 2], effort: Effort) {
    let names: Vec<String> = isas().map(|isa| format!("{isa}, M/s | ratio")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    heading("matvec and decode-then-multiply", shape, &names);
    let [rows, cols] = shape;
    let mut decoded = vec![0.0f32; rows * cols];
    for &dtype in types {
        let matrix = Matrix::new(dtype, shape);
        let x = Floats::F32(&matrix.x);
        print!("| {dtype} |");
        for isa in isas() {
            let options = options(Some(isa), 1);
            let mut theirs = vec![0.0; rows];
            let mut ours = vec![0.0; rows];
            let mut apart = || {
                quantlib::dequantize_into(&matrix.data, dtype, &options, &mut decoded).unwrap();
                let bytes = as_bytes(&decoded);
                let decoded = TensorView::new(DType::F32, &shape, bytes).unwrap();
                quantlib::matvec_into(decoded, x, &options, &mut theirs).unwrap();
            };
            let mut fused =
                || quantlib::matvec_into(matrix.view(), x, &options, &mut ours).unwrap();
            let times = in_turn(&mut [&mut apart, &mut fused], effort, thread_time);
            assert!(ours == theirs, "{dtype} on {isa}");
            print!(
                " {:.0} | {} |",
                matrix.speed(&times[1]),
                Middle::ratio(&times[0], &times[1])
            );
        }
        println!();
    }
}

/// Floats as they are stored on the machines that are measured.
fn as_bytes(floats: &[f32]) -> &[u8] {
    bytemuck::cast_slice(floats)
}

/// ggml-cpu's library for the same CPUs.
fn peer(isa: Isa) -> &'static str {
    match isa {
        Isa::Avx512 => "icelake",
        Isa::Avx2 => "haswell",
        _ => "x64",
    }
}

fn integers(types: &[DType], shape: [usize; 2], effort: Effort) {
    let peers = GgmlCpu::all();
    let pairs: Vec<(Isa, &GgmlCpu)> = isas()
        .filter_map(|isa| Some((isa, peers.iter().find(|ggml| ggml.name == peer(isa))?)))
        .collect();
    let names: Vec<String> = pairs
        .iter()
        .map(|(isa, ggml)| format!("{isa}, M/s | to ggml-cpu-{}", ggml.name))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    heading("matvec_q8", shape, &names);
    let [rows, cols] = shape;
    for &dtype in types {
        let Ok(mut vector) = Q8Vector::new(dtype, cols) else {
            continue;
        };
        let matrix = Matrix::new(dtype, shape);
        let encoded = quantlib::quantize(&matrix.x, cols, vector.dtype(), None).unwrap();
        print!("| {dtype} |");
        for (isa, ggml) in &pairs {
            let options = options(Some(*isa), 1);
            vector.set(Floats::F32(&matrix.x), &options).unwrap();
            let mut theirs = vec![0.0; rows];
            let mut ours = vec![0.0; rows];
            let mut them = || ggml.matvec(dtype, &matrix.data, encoded.data(), &mut theirs);
            let mut us = || {
                quantlib::matvec_q8_into(matrix.view(), &vector, &options, &mut ours).unwrap();
            };
            let times = in_turn(&mut [&mut them, &mut us], effort, thread_time);
            matrix.compare(&format!("{dtype} on {isa}"), &ours, &theirs);
            print!(
                " {:.0} | {} |",
                matrix.speed(&times[1]),
                Middle::ratio(&times[0], &times[1])
            );
        }
        println!();
    }
}

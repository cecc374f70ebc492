//! `matvec_q8`: a vector of 8-bit integers.

use crate::data::{Random, Rows, available_isas, on, types};
use crate::ggml_cpu::GgmlCpu;
use quantlib_codecs::{CodecOptions, DType, Floats, Q8Vector, TensorView};
use std::io::Write;
use std::sync::OnceLock;

/// The unit roundoff of single precision.
const EPSILON: f64 = 1.0 / (1 << 24) as f64;

/// ggml's libraries; says on standard error, once, which there are.
fn ggml() -> &'static [GgmlCpu] {
    static ALL: OnceLock<Vec<GgmlCpu>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = GgmlCpu::all();
        let names: Vec<_> = all.iter().map(|ggml| ggml.name).collect();
        let hint = if all.is_empty() {
            "; `scripts/get-ggml` fetches them"
        } else {
            ""
        };
        // Not eprintln!, which the test runner swallows.
        writeln!(std::io::stderr(), "matvec: with ggml-cpu's {names:?}{hint}").ok();
        all
    })
}

fn types_with_products() -> impl Iterator<Item = (DType, DType)> {
    types().filter_map(|dtype| {
        let vector = Q8Vector::new(dtype, dtype.block_len()).ok()?;
        Some((dtype, vector.dtype()))
    })
}

fn matvec_q8(rows: &Rows, x: &[f32], options: &CodecOptions) -> Vec<f32> {
    let shape = rows.shape();
    let view = TensorView::new(rows.dtype, &shape, &rows.data).unwrap();
    let mut vector = Q8Vector::new(rows.dtype, rows.cols).unwrap();
    vector.set(Floats::F32(x), options).unwrap();
    let mut out = vec![f32::NAN; rows.len()];
    quantlib_codecs::matvec_q8_into(view, &vector, options, &mut out).unwrap();
    out
}

/// What exact arithmetic makes of encoded rows and an encoded vector, and the sum of the terms'
/// magnitudes: what errors are in proportion to.
struct Exact {
    value: f64,
    size: f64,
}

fn exact(rows: &Rows, vector: DType, bytes: &[u8]) -> Vec<Exact> {
    let [scaled, minima] = rows.parts();
    let x = quantlib_codecs::dequantize(bytes, vector).unwrap();
    let sums = (vector == DType::Q8_1).then(|| sums(bytes));
    let rows = scaled.chunks(rows.cols).zip(minima.chunks(rows.cols));
    rows.map(|(scaled, minima)| {
        let terms = |w: &[f32], x: &[f32]| -> Vec<f64> {
            let pairs = w.iter().zip(x);
            pairs.map(|(w, x)| f64::from(*w) * f64::from(*x)).collect()
        };
        let mut all = terms(scaled, &x);
        match &sums {
            None => all.extend(terms(minima, &x)),
            Some(sums) => {
                let minima: Vec<f32> = minima.iter().step_by(32).copied().collect();
                all.extend(terms(&minima, sums));
            }
        }
        Exact {
            value: all.iter().sum(),
            size: all.iter().map(|term| term.abs()).sum(),
        }
    })
    .collect()
}

/// The sums of a vector of Q8_1, as they are stored.
fn sums(bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(DType::Q8_1.block_bytes());
    blocks
        .map(|block| half::f16::from_le_bytes([block[2], block[3]]).to_f32())
        .collect()
}

/// How far a result may be from the exact one, if no term goes through more roundings than this:
/// those of the exact one's decoded elements included, and what is lost below the normal numbers.
fn check(what: &str, y: &[f32], exact: &[Exact], roundings: usize) {
    for (i, (y, exact)) in y.iter().zip(exact).enumerate() {
        let bound = roundings as f64 * EPSILON * exact.size + 2f64.powi(-130);
        let error = (f64::from(*y) - exact.value).abs();
        assert!(
            error <= bound,
            "{what}, row {i}: {y}, but exactly {}; the error is {error:e}, the bound {bound:e}",
            exact.value
        );
    }
}

/// At most 3 to decode an element of a row, 1 for one of the vector, 3 for the term, and 4 to add up
/// the partial sums; the rest are additions to a partial sum.
const FEW: usize = 11;

fn matrices(dtype: DType) -> Vec<Rows> {
    let block = dtype.block_len();
    let mut matrices = vec![
        Rows::encoded(dtype, 4, 2048),
        Rows::random(dtype, 6, 1024),
        Rows::random(dtype, 3, 256 * 7),
    ];
    // Parts of the groups that small blocks are taken in.
    matrices.extend((1..20).map(|blocks| Rows::random(dtype, 2, blocks * block)));
    matrices
}

fn encode(vector: DType, x: &[f32]) -> Vec<u8> {
    let encoded = quantlib_codecs::quantize(x, x.len(), vector, None);
    encoded.unwrap().into_data()
}

#[test]
fn every_isa_gives_the_same_near_the_exact_result() {
    for (dtype, vector) in types_with_products() {
        for rows in matrices(dtype) {
            let x = Random::new(5).normal(rows.cols);
            let exact = exact(&rows, vector, &encode(vector, &x));
            let expected = matvec_q8(&rows, &x, &on(quantlib_codecs::Isa::Scalar));
            let what = format!("{dtype}, {:?}", rows.shape());
            // Two additions for each block of 256, of a partial sum; or one for each 64 elements and
            // for each 512; or, of plain floats, one for each 16.
            let additions = match vector {
                DType::Q8K => rows.cols / 128,
                DType::Q8_0 | DType::Q8_1 => rows.cols.div_ceil(512) * 9,
                _ => rows.cols / 16,
            };
            check(&what, &expected, &exact, additions + FEW);
            for isa in available_isas() {
                let y = matvec_q8(&rows, &x, &on(isa));
                let differing = y
                    .iter()
                    .zip(&expected)
                    .position(|(a, b)| a.to_bits() != b.to_bits());
                assert_eq!(differing, None, "{what}, {isa}: {y:?} {expected:?}");
            }
        }
    }
}

#[test]
fn ggml_multiplies_with_the_same_vectors_and_comes_as_near() {
    for ggml in ggml() {
        for dtype in types() {
            let ours = Q8Vector::new(dtype, dtype.block_len()).ok();
            let ours = ours.map(|vector| vector.dtype());
            assert_eq!(ours, ggml.vector_type(dtype), "{dtype}");
        }
        for (dtype, vector) in types_with_products() {
            for rows in matrices(dtype) {
                let x = Random::new(5).normal(rows.cols);
                let x = encode(vector, &x);
                let mut y = vec![f32::NAN; rows.len()];
                ggml.matvec(dtype, &rows.data, &x, &mut y);
                let what = format!("ggml's {}, {dtype}, {:?}", ggml.name, rows.shape());
                // It adds no more often than once for each 8 elements, to any of its sums.
                check(&what, &y, &exact(&rows, vector, &x), rows.cols / 8 + FEW);
            }
        }
    }
}

/// The reference's bytes are ours (`ggml_codecs`). ggml-cpu's faster encoders of Q8_0 and Q8_1 divide
/// and round otherwise, so that codes may be one apart; that of Q8_K is the reference.
#[test]
fn ggml_encodes_vectors_alike_or_nearly() {
    let mut x = Random::new(6).normal(512 * 256);
    // Blocks whose scale is 1, with halves, which are rounded to even, or away from zero.
    for (i, x) in x.iter_mut().enumerate().take(256 * 256) {
        *x = if i % 32 == 0 {
            127.0
        } else {
            (i * 37 % 253) as f32 / 2.0 - 63.0
        };
    }
    for ggml in ggml() {
        for vector in [DType::Q8_0, DType::Q8_1, DType::Q8K] {
            let ours = encode(vector, &x);
            let mut theirs = vec![0; ours.len()];
            ggml.encode(vector, &x, &mut theirs);
            let reference = matches!(ggml.name, "x64" | "sse42") || vector == DType::Q8K;
            if reference {
                assert!(ours == theirs, "{vector}, {}", ggml.name);
                continue;
            }
            let decode = |bytes: &[u8]| quantlib_codecs::dequantize(bytes, vector).unwrap();
            let pairs = decode(&ours).into_iter().zip(decode(&theirs));
            let mut differing = 0;
            for (block, pairs) in pairs.collect::<Vec<_>>().chunks(32).enumerate() {
                let scale = &ours[block * vector.block_bytes()..][..2];
                let step = half::f16::from_le_bytes([scale[0], scale[1]]).to_f32();
                for (a, b) in pairs {
                    assert!((a - b).abs() <= 1.001 * step, "{vector}, {}", ggml.name);
                    differing += usize::from(a != b);
                }
            }
            let share = differing as f64 / x.len() as f64;
            assert!(
                share > 0.0 && share < 0.2,
                "{vector}, {}: {share}",
                ggml.name
            );
        }
    }
}

#[test]
fn a_vector_may_be_used_again() {
    let rows = Rows::encoded(DType::Q5_1, 3, 544);
    let shape = rows.shape();
    let view = TensorView::new(rows.dtype, &shape, &rows.data).unwrap();
    let options = CodecOptions::default();
    let mut vector = Q8Vector::new(DType::Q5_1, 544).unwrap();
    for seed in 0..3 {
        let x = Random::new(seed).normal(544);
        vector.set(Floats::F32(&x), &options).unwrap();
        let mut y = [f32::NAN; 3];
        quantlib_codecs::matvec_q8_into(view, &vector, &options, &mut y).unwrap();
        assert_eq!(y[..], matvec_q8(&rows, &x, &options));
        assert_eq!(
            y[..],
            quantlib_codecs::matvec_q8(view, Floats::F32(&x)).unwrap()
        );
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let rows = Rows::encoded(DType::Q4K, 301, 1024);
    let x = Random::new(4).normal(rows.cols);
    let run = |threads| {
        let mut options = CodecOptions::default();
        options.threads = threads;
        matvec_q8(&rows, &x, &options)
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

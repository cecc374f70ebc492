//! `matvec`: a vector of floats.

use crate::data::{Random, Rows, available_isas, on, types};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use quantlib_codecs::{CodecOptions, DType, Floats, TensorView};

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|y| y.to_bits()).collect()
}

fn matvec(rows: &Rows, x: Floats<'_>, options: &CodecOptions) -> Vec<f32> {
    let shape = rows.shape();
    let view = TensorView::new(rows.dtype, &shape, &rows.data).unwrap();
    let mut out = vec![f32::NAN; rows.len()];
    quantlib_codecs::matvec_into(view, x, options, &mut out).unwrap();
    out
}

/// The definition: 16 partial sums, which are added in a tree.
fn defined(rows: &Rows, x: &[f32]) -> Vec<f32> {
    let decoded = rows.decoded();
    let dot = |row: &[f32]| {
        let mut sums = [0.0f32; 16];
        for (i, (w, x)) in row.iter().zip(x).enumerate() {
            sums[i % 16] += w * x;
        }
        for apart in [8, 4, 2, 1] {
            for i in 0..apart {
                sums[i] += sums[i + apart];
            }
        }
        sums[0]
    };
    decoded.chunks_exact(rows.cols).map(dot).collect()
}

#[test]
fn every_isa_computes_what_is_defined() {
    for dtype in types() {
        let mut matrices = vec![
            Rows::encoded(dtype, 7, 1024),
            Rows::random(dtype, 5, 3 * dtype.block_len().max(32)),
            Rows::random(dtype, 3, dtype.block_len()),
        ];
        if !dtype.is_quantized() {
            matrices.extend((1..40).map(|cols| Rows::random(dtype, 3, cols)));
        }
        for rows in matrices {
            let x = Random::new(1).normal(rows.cols);
            let expected = bits(&defined(&rows, &x));
            for isa in available_isas() {
                let y = matvec(&rows, Floats::F32(&x), &on(isa));
                assert_eq!(bits(&y), expected, "{dtype}, {isa}, {:?}", rows.shape());
            }
        }
    }
}

#[test]
fn the_result_is_near_the_exact_one() {
    for dtype in types() {
        let rows = Rows::random(dtype, 9, 2048);
        let x = Random::new(2).normal(rows.cols);
        let y = matvec(&rows, Floats::F32(&x), &CodecOptions::default());
        for (row, y) in rows.decoded().chunks_exact(rows.cols).zip(y) {
            let terms = row
                .iter()
                .zip(&x)
                .map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), term| {
                (sum + term, size + term.abs())
            });
            // One rounding for the product, and one for each addition on the longest way.
            let roundings = 1 + rows.cols / 16 + 4;
            let bound = roundings as f64 * 2f64.powi(-24) * size + 2f64.powi(-130);
            assert!(
                (f64::from(y) - exact).abs() <= bound,
                "{dtype}: {y}, {exact}"
            );
        }
    }
}

#[test]
fn half_precision_vectors_are_widened() {
    let rows = Rows::encoded(DType::Q4K, 3, 512);
    let (mut halves, mut brains) = (vec![f16::ZERO; 512], vec![bf16::ZERO; 512]);
    let x = Random::new(3).normal(512);
    halves.convert_from_f32_slice(&x);
    brains.convert_from_f32_slice(&x);
    let wide: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
    let wide_brains: Vec<f32> = brains.iter().map(|x| x.to_f32()).collect();
    let matvec = |x| matvec(&rows, x, &CodecOptions::default());
    assert_eq!(matvec(Floats::F16(&halves)), matvec(Floats::F32(&wide)));
    assert_eq!(
        matvec(Floats::BF16(&brains)),
        matvec(Floats::F32(&wide_brains))
    );
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let rows = Rows::encoded(DType::Q6K, 301, 1024);
    let x = Random::new(4).normal(rows.cols);
    let run = |threads| {
        let mut options = CodecOptions::default();
        options.threads = threads;
        bits(&matvec(&rows, Floats::F32(&x), &options))
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn values_that_are_not_finite_go_on() {
    let rows = Rows::encoded(DType::Q8_0, 2, 64);
    for value in [f32::NAN, f32::INFINITY] {
        let mut x = vec![1.0; 64];
        x[40] = value;
        let y = matvec(&rows, Floats::F32(&x), &CodecOptions::default());
        assert!(y.iter().all(|y| !y.is_finite()), "{y:?}");
    }
}

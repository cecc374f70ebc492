//! What the codecs promise beside the bytes themselves: other sources, threads, experts, and clear
//! errors. The bytes are compared with ggml's in `ggml_codecs`.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use quantlib_codecs::{CodecOptions, DType, ErrorKind, Floats, NonFinite, Result};

/// A shape that every type accepts, with an odd number of rows and more than one chunk of work.
const ROWS: usize = 45;
const COLS: usize = 1024;

/// The types that have a codec.
fn types() -> impl Iterator<Item = DType> {
    let all = DType::ALL.iter().copied();
    all.filter(|dtype| quantlib_codecs::dequantize(&[], *dtype).is_ok())
}

/// Weights from -1 to 1 in no obvious order, different in every row.
fn weights() -> Vec<f32> {
    (0..ROWS * COLS)
        .map(|i| ((i * i * 7 + i * 13) % 20_011) as f32 / 10_005.5 - 1.0)
        .collect()
}

fn importance(experts: usize) -> Vec<f32> {
    (0..experts * COLS)
        .map(|i| (i % 37) as f32 + 0.25)
        .collect()
}

fn encode(
    x: Floats<'_>,
    dtype: DType,
    importance: &[f32],
    configure: impl FnOnce(&mut CodecOptions),
) -> Result<Vec<u8>> {
    let mut options = CodecOptions::default();
    configure(&mut options);
    let mut out = vec![0; x.len() / COLS * dtype.row_bytes(COLS)?];
    quantlib_codecs::quantize_into(x, COLS, dtype, Some(importance), &options, &mut out)?;
    Ok(out)
}

#[test]
fn half_precision_sources_are_widened_first() {
    let mut x = vec![f16::ZERO; ROWS * COLS];
    let mut b = vec![bf16::ZERO; ROWS * COLS];
    x.convert_from_f32_slice(&weights());
    b.convert_from_f32_slice(&weights());
    let wide_x: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    let wide_b: Vec<f32> = b.iter().map(|x| x.to_f32()).collect();
    for dtype in types() {
        let encode = |x: Floats<'_>| encode(x, dtype, &importance(1), |_| ()).unwrap();
        assert_eq!(encode(x[..].into()), encode(wide_x[..].into()), "{dtype}");
        assert_eq!(encode(b[..].into()), encode(wide_b[..].into()), "{dtype}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for dtype in types() {
        let encode = |threads| {
            let set = |options: &mut CodecOptions| options.threads = threads;
            encode(weights()[..].into(), dtype, &importance(1), set).unwrap()
        };
        let one = encode(1);
        assert_eq!(one, encode(2), "{dtype}");
        assert_eq!(one, encode(7), "{dtype}");
        let decode = |threads| {
            let mut options = CodecOptions::default();
            options.threads = threads;
            let mut out = vec![0.0; ROWS * COLS];
            quantlib_codecs::dequantize_into(&one, dtype, &options, &mut out).unwrap();
            out
        };
        assert_eq!(decode(1), decode(3), "{dtype}");
    }
}

#[test]
fn each_expert_has_its_own_importance() {
    const EXPERTS: usize = 5;
    let (x, importance) = (weights(), importance(EXPERTS));
    for dtype in types() {
        let together = encode(x[..].into(), dtype, &importance, |_| ()).unwrap();
        let experts = x.chunks(ROWS / EXPERTS * COLS).zip(importance.chunks(COLS));
        let apart =
            experts.flat_map(|(x, weights)| encode(x.into(), dtype, weights, |_| ()).unwrap());
        assert!(together.into_iter().eq(apart), "{dtype}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused_or_zeroed() {
    let (row, col) = (31, 1023);
    for dtype in types().filter(|dtype| dtype.is_quantized()) {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let [mut bad, mut zeroed] = [weights(), weights()];
            bad[row * COLS + col] = value;
            zeroed[row * COLS + col] = 0.0;

            let error = encode(bad[..].into(), dtype, &importance(1), |_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misuse);
            let place = format!("row {row}, column {col} is {value}");
            assert!(error.to_string().contains(&place), "{dtype}: {error}");

            let zero = |options: &mut CodecOptions| options.non_finite = NonFinite::Zero;
            let with_zero = encode(bad[..].into(), dtype, &importance(1), zero).unwrap();
            let expected = encode(zeroed[..].into(), dtype, &importance(1), |_| ()).unwrap();
            assert_eq!(with_zero, expected, "{dtype}");
        }
    }
}

#[test]
fn plain_floats_may_hold_anything() {
    let x = [f32::NAN, f32::INFINITY, -0.0, 1.0];
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let decoded = quantlib_codecs::quantize(&x, 4, dtype, None)
            .unwrap()
            .dequantize()
            .unwrap();
        assert!(decoded[0].is_nan());
        assert_eq!(decoded[1..], x[1..]);
        assert!(decoded[2].is_sign_negative());
    }
}

#[test]
fn lengths_that_do_not_fit_are_misuse() {
    let misuse = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Misuse);
    for dtype in types().filter(|dtype| dtype.is_quantized()) {
        let (block, bytes) = (dtype.block_len(), dtype.block_bytes());
        let x = vec![0.5; 2 * block];
        let quantize = |x: &[f32], cols, importance: Option<&[f32]>, out: &mut [u8]| {
            let options = CodecOptions::default();
            quantlib_codecs::quantize_into(x.into(), cols, dtype, importance, &options, out)
        };
        let out = &mut vec![0; 2 * bytes][..];
        misuse(quantize(&x[1..], block, None, out));
        misuse(quantize(&x, block / 2, None, out));
        misuse(quantize(&x, 0, None, out));
        misuse(quantize(&x, block, None, &mut out[1..]));
        misuse(quantize(&x, block, Some(&x[1..]), out));
        misuse(quantize(&x, block, Some(&[]), out));
        misuse(quantize(&x, block, Some(&vec![f32::NAN; block]), out));
        quantize(&x, block, Some(&x), out).unwrap();
        misuse(quantlib_codecs::dequantize(&out[1..], dtype).map(drop));
        let options = CodecOptions::default();
        let short = &mut vec![0.0; block][..];
        misuse(quantlib_codecs::dequantize_into(
            out, dtype, &options, short,
        ));
    }
}

#[test]
fn types_without_codec_are_unsupported() {
    for dtype in [DType::I32, DType::F64, DType::Bool] {
        let bytes = vec![0; dtype.block_bytes()];
        let error = quantlib_codecs::dequantize(&bytes, dtype).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{dtype}");
        let error = quantlib_codecs::quantize(&[1.0], 1, dtype, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{dtype}");
    }
}

#[test]
fn no_rows_are_no_bytes() {
    for dtype in types() {
        let cols = dtype.block_len();
        let importance = vec![1.0; cols];
        let empty = quantlib_codecs::quantize(&[], cols, dtype, Some(&importance)).unwrap();
        assert_eq!((empty.nbytes(), empty.shape()), (0, &[0, cols][..]));
        assert!(empty.dequantize().unwrap().is_empty());
    }
}

//! What is refused, and how.

use crate::data::{Rows, types};
use quantlib_codecs::{
    CodecOptions, DType, ErrorKind, Floats, NonFinite, Q8Vector, Result, TensorView,
};

fn misuse<T: std::fmt::Debug>(result: Result<T>, says: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn lengths_that_do_not_fit() {
    let options = CodecOptions::default();
    for dtype in types() {
        let cols = 2 * dtype.block_len();
        let rows = Rows::encoded(dtype, 3, cols);
        let shape = rows.shape();
        let view = TensorView::new(dtype, &shape, &rows.data).unwrap();
        let x = vec![1.0; cols];
        let mut y = [0.0; 3];
        let says = format!("rows have {cols}");
        misuse(quantlib_codecs::matvec(view, Floats::F32(&x[1..])), &says);
        let short = quantlib_codecs::matvec_into(view, Floats::F32(&x), &options, &mut y[1..]);
        misuse(short, "the output has 2 elements");
        let Ok(mut vector) = Q8Vector::new(dtype, cols) else {
            continue;
        };
        misuse(
            quantlib_codecs::matvec_q8(view, Floats::F32(&x[1..])),
            &says,
        );
        misuse(vector.set(Floats::F32(&x[1..]), &options), &says);
        let short = quantlib_codecs::matvec_q8_into(view, &vector, &options, &mut y[1..]);
        misuse(short, "the output has 2 elements");
        let other = Q8Vector::new(dtype, dtype.block_len()).unwrap();
        misuse(
            quantlib_codecs::matvec_q8_into(view, &other, &options, &mut y),
            &says,
        );
        if dtype.is_quantized() {
            misuse(Q8Vector::new(dtype, cols + 1).map(drop), "a multiple of");
        }
    }
}

#[test]
fn vectors_for_other_types() {
    let rows = Rows::encoded(DType::Q4K, 3, 256);
    let view = TensorView::new(DType::Q4K, &[3, 256], &rows.data).unwrap();
    let vector = Q8Vector::new(DType::Q4_0, 256).unwrap();
    let result =
        quantlib_codecs::matvec_q8_into(view, &vector, &CodecOptions::default(), &mut [0.0; 3]);
    misuse(result, "with a vector of q8_k, but this one is of q8_0");
}

#[test]
fn types_that_have_no_product() {
    let unsupported = |result: Result<Vec<f32>>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
    };
    for dtype in [DType::I32, DType::F64, DType::Bool] {
        let data = vec![0; dtype.block_bytes()];
        let view = TensorView::new(dtype, &[1, 1], &data).unwrap();
        unsupported(quantlib_codecs::matvec(view, Floats::F32(&[1.0])));
        unsupported(quantlib_codecs::matvec_q8(view, Floats::F32(&[1.0])));
    }
    for dtype in [DType::Q8_1, DType::Q8K] {
        let x = vec![1.0; dtype.block_len()];
        let rows = Rows::encoded(dtype, 1, x.len());
        let shape = rows.shape();
        let view = TensorView::new(dtype, &shape, &rows.data).unwrap();
        unsupported(quantlib_codecs::matvec_q8(view, Floats::F32(&x)));
        assert_eq!(
            quantlib_codecs::matvec(view, Floats::F32(&x))
                .unwrap()
                .len(),
            1
        );
    }
}

#[test]
fn vectors_that_are_not_finite() {
    for dtype in [DType::Q4_0, DType::Q4_1, DType::Q4K, DType::F16] {
        let rows = Rows::encoded(dtype, 2, 768);
        let view = TensorView::new(dtype, &[2, 768], &rows.data).unwrap();
        let [mut bad, mut zeroed] = [vec![1.5; 768], vec![1.5; 768]];
        for at in [600, 700] {
            (bad[at], zeroed[at]) = (f32::NAN, 0.0);
        }
        let result = quantlib_codecs::matvec_q8(view, Floats::F32(&bad));
        if dtype == DType::F16 {
            assert!(result.unwrap()[0].is_nan());
            continue;
        }
        misuse(result, "element 600 of the vector is NaN");
        let mut options = CodecOptions::default();
        options.non_finite = NonFinite::Zero;
        let mut vector = Q8Vector::new(dtype, 768).unwrap();
        vector.set(Floats::F32(&bad), &options).unwrap();
        let mut y = [0.0; 2];
        quantlib_codecs::matvec_q8_into(view, &vector, &options, &mut y).unwrap();
        assert_eq!(
            y[..],
            quantlib_codecs::matvec_q8(view, Floats::F32(&zeroed)).unwrap()
        );
    }
}

#[test]
fn nothing_to_multiply() {
    for (shape, data) in [([0, 64], &[][..]), ([3, 0], &[])] {
        let view = TensorView::new(DType::Q8_0, &shape, data).unwrap();
        let x = vec![1.0; shape[1]];
        let zeros = vec![0.0; shape[0]];
        assert_eq!(
            quantlib_codecs::matvec(view, Floats::F32(&x)).unwrap(),
            zeros
        );
        assert_eq!(
            quantlib_codecs::matvec_q8(view, Floats::F32(&x)).unwrap(),
            zeros
        );
    }
}

#[test]
fn a_call_that_is_cancelled_ends() {
    let rows = Rows::encoded(DType::Q8_0, 2, 64);
    let view = TensorView::new(DType::Q8_0, &[2, 64], &rows.data).unwrap();
    let mut options = CodecOptions::default();
    options.cancel = Some(std::sync::Arc::new(true.into()));
    let result =
        quantlib_codecs::matvec_into(view, Floats::F32(&[1.0; 64]), &options, &mut [0.0; 2]);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
}

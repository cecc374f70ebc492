//! Lossless transcoding: every pair decodes to the same numbers, both ways where there is a way back,
//! and what does not fit is refused with a reason.

use quantlib::affine::{Element, Group, Packing, Zero};
use quantlib::transcode::{Encoded, EncodedView, TargetWish, block_target, target, transcode_with};
use quantlib::{
    AffineSpec, AffineTensor, CodecOptions, DType, Encoding, ErrorKind, QuantizedTensor,
    quantize_affine, transcode,
};

/// Weights of several magnitudes, with groups of zeros among them.
fn weights(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let element = |i: usize| match i / 32 % 11 {
        0 => 0.0,
        group => next() * 2f32.powi(group as i32 - 8),
    };
    (0..rows * cols).map(element).collect()
}

fn blocks(dtype: DType, rows: usize, cols: usize, seed: u64) -> QuantizedTensor {
    quantlib::quantize(&weights(rows, cols, seed), cols, dtype, None).unwrap()
}

/// Blocks of any bytes, but with scales that are finite: codes and signs that no encoder writes.
fn any_blocks(dtype: DType, rows: usize, cols: usize, seed: u64) -> QuantizedTensor {
    let mut data = blocks(dtype, rows, cols, seed).into_data();
    let noise = weights(1, data.len(), seed + 99);
    let header = match dtype {
        DType::Mxfp4 => 1,
        DType::Q4_1 | DType::Q5_1 | DType::Nvfp4 => 4,
        _ => 2,
    };
    for (i, (byte, x)) in data.iter_mut().zip(noise).enumerate() {
        let at = i % dtype.block_bytes();
        if at >= header {
            *byte = x.to_bits().wrapping_mul(0x0101_4593) as u8;
        } else if at == 1 && header == 2 {
            *byte ^= x.to_bits() as u8 & 0x80;
        }
    }
    QuantizedTensor::new(dtype, vec![rows, cols], data).unwrap()
}

#[track_caller]
fn same(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a, b, "element {i}");
    }
}

fn named(source: EncodedView<'_>, name: &str) -> Encoding {
    target(source, name, &TargetWish::default()).unwrap()
}

/// There and back again: the same numbers there, the same bytes back.
#[track_caller]
fn there_and_back(q: &QuantizedTensor, to: &Encoding) -> Encoded {
    let there = transcode(q, to).unwrap();
    same(&there.dequantize().unwrap(), &q.dequantize().unwrap());
    let back = transcode(&there, &Encoding::Block(q.dtype())).unwrap();
    assert_eq!(&back.into_block().unwrap(), q, "{to:?}");
    there
}

#[test]
fn symmetric_blocks_go_to_every_layout_and_back() {
    for dtype in [DType::Q4_0, DType::Q5_0, DType::Q8_0] {
        for (rows, cols) in [(1, 32), (7, 96), (64, 256), (300, 512)] {
            for q in [
                blocks(dtype, rows, cols, 1),
                any_blocks(dtype, rows, cols, 2),
            ] {
                for layout in ["mlx", "matmulnbits", "qdq", "openvino"] {
                    there_and_back(&q, &named((&q).into(), layout));
                }
                for scale in [DType::F16, DType::F32] {
                    let wish = TargetWish {
                        scale: Some(scale),
                        symmetric: Some(false),
                        ..TargetWish::default()
                    };
                    for layout in ["mlx", "matmulnbits", "qdq"] {
                        there_and_back(&q, &target((&q).into(), layout, &wish).unwrap());
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_with_minima_go_to_mlx_and_back() {
    for dtype in [DType::Q4_1, DType::Q5_1] {
        for (rows, cols) in [(1, 32), (9, 96), (130, 512)] {
            for q in [
                blocks(dtype, rows, cols, 3),
                any_blocks(dtype, rows, cols, 4),
            ] {
                let there = there_and_back(&q, &named((&q).into(), "mlx"));
                let spec = there.into_affine().unwrap().spec().clone();
                assert_eq!((spec.scale, spec.zero), (DType::F16, Zero::Bias));
            }
        }
    }
}

#[test]
fn four_bit_floats_keep_their_bytes() {
    for (dtype, layouts) in [
        (DType::Mxfp4, &["mlx", "gpt-oss"][..]),
        (DType::Nvfp4, &["mlx"]),
    ] {
        for (rows, cols) in [(1, 64), (5, 192), (200, 512)] {
            for q in [
                blocks(dtype, rows, cols, 5),
                any_blocks(dtype, rows, cols, 6),
            ] {
                for layout in layouts {
                    there_and_back(&q, &named((&q).into(), layout));
                }
            }
        }
    }
    // gpt-oss and MLX differ in shapes only.
    let q = any_blocks(DType::Mxfp4, 6, 128, 7);
    let mlx = transcode(&q, &named((&q).into(), "mlx")).unwrap();
    let oss = transcode(&mlx, &named((&mlx).into(), "gpt-oss")).unwrap();
    let (mlx, oss) = (mlx.into_affine().unwrap(), oss.into_affine().unwrap());
    assert_eq!((mlx.codes(), mlx.scales()), (oss.codes(), oss.scales()));
    assert_eq!(mlx.layout().codes().shape, [6, 16]);
    assert_eq!(oss.layout().codes().shape, [6, 4, 16]);
    assert_eq!(oss.spec(), &AffineSpec::gpt_oss());
}

#[test]
fn products_of_scales_need_f32() {
    for (dtype, bits) in [(DType::Q4K, 4), (DType::Q5K, 5)] {
        let q = blocks(dtype, 40, 512, 8);
        let mlx = transcode(&q, &named((&q).into(), "mlx")).unwrap();
        same(&mlx.dequantize().unwrap(), &q.dequantize().unwrap());
        let spec = mlx.into_affine().unwrap().spec().clone();
        assert_eq!(spec, AffineSpec::mlx(bits, 32, DType::F32));
        let same = block_target(dtype, "mlx", &TargetWish::default());
        assert_eq!(same.unwrap(), Encoding::Affine(spec));
        let half = Encoding::Affine(AffineSpec::mlx(bits, 32, DType::F16));
        let error = transcode(&q, &half).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(
            text.contains("not exact in f16") && text.contains("row 0, columns"),
            "{text}"
        );
    }
    let q = blocks(DType::Q6K, 9, 256, 8);
    let ort = transcode(&q, &named((&q).into(), "matmulnbits")).unwrap();
    same(&ort.dequantize().unwrap(), &q.dequantize().unwrap());
    refused(
        &q,
        &named((&q).into(), "mlx"),
        "groups of 32, 64 or 128, not 16",
    );
}

#[test]
fn table_values_are_integers_of_eight_bits() {
    let q = any_blocks(DType::Iq4Nl, 11, 96, 9);
    let q8_0 = transcode(&q, &Encoding::Block(DType::Q8_0)).unwrap();
    same(&q8_0.dequantize().unwrap(), &q.dequantize().unwrap());
    refused(&q, &Encoding::Block(DType::Q4_0), "the codes reach from");
}

#[test]
fn more_bits_hold_fewer() {
    let q = any_blocks(DType::Q4_0, 11, 96, 9);
    for dtype in [DType::Q5_0, DType::Q8_0, DType::Q4_1, DType::Q5_1] {
        there_and_back(&q, &Encoding::Block(dtype));
    }
}

/// onnxruntime's own weights, of every group size and with both kinds of zero.
#[test]
fn matmulnbits_and_dequantizelinear_hold_the_same() {
    let x = weights(24, 256, 10);
    for (bits, n) in [(4, 16), (4, 32), (4, 128), (8, 32), (2, 64)] {
        for symmetric in [true, false] {
            for cols in [256, 100, 20] {
                let rows = x.len() / 256;
                let spec = AffineSpec::matmul_nbits(bits, n, symmetric, DType::F32);
                let ort = quantize_affine(x[..rows * cols].into(), &[rows, cols], &spec).unwrap();
                for axis in [-1, 0] {
                    let mut spec =
                        AffineSpec::qdq(bits, Group::Blocks(n), axis, symmetric, DType::F32);
                    spec.axis = axis;
                    let qdq = transcode(&ort, &Encoding::Affine(spec))
                        .unwrap()
                        .into_affine()
                        .unwrap();
                    let want = ort.dequantize().unwrap();
                    if axis == 0 {
                        assert_eq!(qdq.shape(), [cols, rows]);
                        same(&transposed(&qdq.dequantize().unwrap(), cols), &want);
                    } else {
                        same(&qdq.dequantize().unwrap(), &want);
                    }
                    let back = transcode(&qdq, &Encoding::Affine(ort.spec().clone())).unwrap();
                    let back = back.into_affine().unwrap();
                    assert_eq!(back.scales(), ort.scales());
                    assert_eq!(back.zeros(), ort.zeros());
                    same(&back.dequantize().unwrap(), &want);
                    if cols % n == 0 {
                        assert_eq!(back.codes(), ort.codes());
                    }
                }
            }
        }
    }
}

fn transposed(x: &[f32], rows: usize) -> Vec<f32> {
    let cols = x.len() / rows;
    (0..x.len())
        .map(|i| x[i % rows * cols + i / rows])
        .collect()
}

#[test]
fn onnx_weights_become_blocks_if_scales_are_halves() {
    let x = weights(16, 256, 11);
    let spec = AffineSpec::matmul_nbits(4, 128, true, DType::F32);
    let ort = quantize_affine(x[..].into(), &[16, 256], &spec).unwrap();
    let q4_0 = Encoding::Block(DType::Q4_0);
    refused(&ort, &q4_0, "not exact in f16");
    let half = AffineSpec {
        scale: DType::F16,
        ..spec
    };
    let ort = quantize_affine(x[..].into(), &[16, 256], &half).unwrap();
    let blocks = transcode(&ort, &q4_0).unwrap();
    same(&blocks.dequantize().unwrap(), &ort.dequantize().unwrap());
    // Groups of 128 are four blocks each, and the scales of these are alike.
    let back = transcode(&blocks, &Encoding::Affine(half))
        .unwrap()
        .into_affine()
        .unwrap();
    assert_eq!((back.codes(), back.scales()), (ort.codes(), ort.scales()));
    // Zero points need a minimum.
    let asymmetric = AffineSpec::matmul_nbits(4, 32, false, DType::F16);
    let ort = quantize_affine(x[..].into(), &[16, 256], &asymmetric).unwrap();
    refused(&ort, &q4_0, "the codes reach from");
    minima_hold_zero_points(&ort);
}

/// Scales are rounded to few digits first, so that their products with zero points are exact.
fn minima_hold_zero_points(ort: &AffineTensor) {
    let mut scales = ort.scales().to_vec();
    scales.iter_mut().step_by(2).for_each(|low| *low &= 0xc0);
    let ort = AffineTensor::new(
        ort.spec(),
        ort.shape().to_vec(),
        ort.codes().to_vec(),
        scales,
        ort.zeros().to_vec(),
    )
    .unwrap();
    let blocks = transcode(&ort, &Encoding::Block(DType::Q4_1)).unwrap();
    same(&blocks.dequantize().unwrap(), &ort.dequantize().unwrap());
    let back = transcode(&blocks, &Encoding::Affine(ort.spec().clone())).unwrap();
    let back = back.into_affine().unwrap();
    assert_eq!((back.codes(), back.zeros()), (ort.codes(), ort.zeros()));
}

#[track_caller]
fn refused<'a>(source: impl Into<EncodedView<'a>>, to: &Encoding, why: &str) {
    let error = transcode(source, to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let q4_0 = blocks(DType::Q4_0, 8, 256, 12);
    let q4_1 = blocks(DType::Q4_1, 8, 256, 12);
    let mxfp4 = blocks(DType::Mxfp4, 8, 256, 12);
    refused(
        &q4_0,
        &Encoding::Affine(AffineSpec::mlx(4, 64, DType::F16)),
        "one for 64",
    );
    refused(
        &q4_0,
        &Encoding::Affine(AffineSpec::mlx(3, 32, DType::F16)),
        "codes reach from",
    );
    refused(
        &q4_0,
        &Encoding::Affine(AffineSpec::mlx(4, 32, DType::BF16)),
        "not exact in bf16",
    );
    refused(&q4_0, &Encoding::Block(DType::Mxfp4), "4-bit floats");
    refused(&q4_0, &Encoding::Block(DType::Q4K), "q4_k cannot be made");
    refused(
        &q4_0,
        &Encoding::Block(DType::Iq4Nl),
        "iq4_nl cannot be made",
    );
    refused(&q4_0, &Encoding::Block(DType::Iq2S), "iq2_s is no grid");
    refused(
        &q4_1,
        &named((&q4_1).into(), "matmulnbits"),
        "no multiple of the scale",
    );
    refused(
        &mxfp4,
        &Encoding::Block(DType::Nvfp4),
        "not exact in f8_e4m3",
    );
    refused(
        &blocks(DType::F16, 8, 256, 1),
        &Encoding::Block(DType::Q8_0),
        "f16 is no grid",
    );
    let per_channel = AffineSpec::qdq(8, Group::Axis, 0, true, DType::F32);
    let x = weights(8, 64, 1);
    let channels = quantize_affine(x[..].into(), &[8, 64], &per_channel).unwrap();
    refused(
        &channels,
        &Encoding::Block(DType::Q8_0),
        "not made of groups",
    );
    let error = transcode(&q4_0, &Encoding::Affine(AffineSpec::mlx(7, 32, DType::F16)));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Misuse);
    let error = target((&q4_0).into(), "gguf", &TargetWish::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

/// Scales that formats read differently: infinities, NaN, signs.
#[test]
fn scales_that_are_no_numbers_are_refused() {
    let block = |dtype, byte: usize, value: u8| {
        let mut data = blocks(dtype, 2, 64, 13).into_data();
        data[byte] = value;
        QuantizedTensor::new(dtype, vec![2, 64], data).unwrap()
    };
    let infinite = block(DType::Q8_0, 1, 0x7c);
    refused(
        &infinite,
        &named((&infinite).into(), "mlx"),
        "row 0, columns 0 to 31",
    );
    let none = block(DType::Mxfp4, 17, 255);
    refused(
        &none,
        &named((&none).into(), "mlx"),
        "row 0, columns 32 to 63",
    );
    // ggml ignores the sign of NVFP4's scales and takes NaN for zero; MLX does neither.
    for code in [0x7f, 0x80 | 0x38] {
        let q = block(DType::Nvfp4, 2, code);
        let mlx = transcode(&q, &named((&q).into(), "mlx")).unwrap();
        same(&mlx.dequantize().unwrap(), &q.dequantize().unwrap());
    }
    let spec = AffineSpec::mlx_float("nvfp4").unwrap();
    let negative = AffineTensor::new(&spec, vec![1, 64], vec![0x22; 32], vec![0xb8; 4], vec![]);
    refused(
        &negative.unwrap(),
        &Encoding::Block(DType::Nvfp4),
        "none below zero",
    );
}

/// Scales of many digits: equal as real numbers is not enough, decoded numbers must be equal.
#[test]
fn biases_that_would_round_are_refused() {
    let spec = AffineSpec::matmul_nbits(8, 32, true, DType::F32);
    let scale = 1.0f32 + f32::EPSILON;
    let codes = (0..32).map(|i| 100 + i * 3).collect();
    let ort = AffineTensor::new(
        &spec,
        vec![1, 32],
        codes,
        scale.to_le_bytes().to_vec(),
        vec![],
    );
    refused(
        &ort.unwrap(),
        &Encoding::Affine(AffineSpec::mlx(8, 32, DType::F32)),
        "rounds to another f32",
    );
}

#[test]
fn results_do_not_depend_on_threads_and_isa() {
    let q = any_blocks(DType::Q4_0, 1000, 512, 14);
    let to = named((&q).into(), "mlx");
    let want = transcode(&q, &to).unwrap().into_affine().unwrap();
    for isa in quantlib::Isa::ALL
        .iter()
        .copied()
        .filter(|isa| isa.is_available())
    {
        for threads in [1, 2, 3] {
            let mut options = CodecOptions::default();
            (options.threads, options.isa) = (threads, Some(isa));
            let have = transcode_with(&q, &to, &options)
                .unwrap()
                .into_affine()
                .unwrap();
            assert_eq!((have.codes(), have.scales()), (want.codes(), want.scales()));
        }
    }
    let mut options = CodecOptions::default();
    options.cancel = Some(std::sync::Arc::new(true.into()));
    let error = transcode_with(&q, &to, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn the_first_tile_that_does_not_fit_is_named() {
    let mut data = blocks(DType::Q8_0, 2000, 256, 17).into_data();
    for row in [1100, 1500, 1999] {
        data[row * 8 * 34 + 1] = 0x7c;
    }
    let q = QuantizedTensor::new(DType::Q8_0, vec![2000, 256], data).unwrap();
    for _ in 0..20 {
        refused(&q, &named((&q).into(), "mlx"), "row 1100, columns 0 to 31");
    }
}

#[test]
fn shapes_are_kept() {
    let x = weights(6, 64, 15);
    let data = quantlib::quantize(&x, 64, DType::Mxfp4, None)
        .unwrap()
        .into_data();
    let q = QuantizedTensor::new(DType::Mxfp4, vec![2, 3, 64], data).unwrap();
    let oss = transcode(&q, &named((&q).into(), "gpt-oss")).unwrap();
    let oss = oss.into_affine().unwrap();
    assert_eq!(
        (oss.shape(), &oss.layout().codes().shape[..]),
        (&[2, 3, 64][..], &[2, 3, 2, 16][..])
    );
    let spec = oss.spec();
    assert_eq!(
        (spec.element, spec.packing),
        (Element::E2M1, Packing::MatMulNBits)
    );
    for shape in [vec![0, 32], vec![2, 0]] {
        let empty = QuantizedTensor::new(DType::Q8_0, shape.clone(), vec![]).unwrap();
        let mlx = transcode(&empty, &named((&empty).into(), "mlx")).unwrap();
        assert_eq!(mlx.into_affine().unwrap().shape(), shape);
    }
}

#[test]
fn planes_of_wrong_lengths_are_refused() {
    let q = blocks(DType::Q4_0, 8, 64, 16);
    let mlx = transcode(&q, &named((&q).into(), "mlx"))
        .unwrap()
        .into_affine()
        .unwrap();
    let mut planes = mlx.planes();
    planes.scales = &planes.scales[1..];
    let view = EncodedView::Affine {
        layout: mlx.layout(),
        shape: mlx.shape(),
        planes,
    };
    let error = transcode(view, &Encoding::Block(DType::Q4_0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

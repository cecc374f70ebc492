//! candle's encoders and decoders, one thread. Its encoders do not promise ggml's bytes, so the table
//! tells how many of the bytes are the same; what it decodes must be.

use crate::codecs::options;
use crate::data::normal;
use crate::timing::{Effort, Middle, in_turn, thread_time};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, Device, Tensor};
use quantlib::DType;

const ROWS: usize = 32;
const COLS: usize = 4096;

/// Prints the table of the types that candle has.
pub(crate) fn table(types: &[DType], effort: Effort) {
    println!(
        "\n| candle | encode, M elements/s | quantlib | equal bytes | decode, M elements/s | quantlib |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    let x = normal(ROWS * COLS);
    for &dtype in types {
        let Some(theirs) = name(dtype) else { continue };
        let ours = quantlib::quantize(&x, COLS, dtype, None).unwrap();
        let equal = equal_bytes(theirs, &x, ours.data());
        let (encode, encode_ratio) = encode(dtype, theirs, &x, effort);
        let (decode, decode_ratio) = decode(dtype, theirs, ours.data(), effort);
        println!(
            "| {dtype} | {encode:.1} | {encode_ratio} | {equal:.1}% | {decode:.1} | {decode_ratio} |"
        );
    }
}

fn name(dtype: DType) -> Option<GgmlDType> {
    Some(match dtype {
        DType::Q4_0 => GgmlDType::Q4_0,
        DType::Q4_1 => GgmlDType::Q4_1,
        DType::Q5_0 => GgmlDType::Q5_0,
        DType::Q5_1 => GgmlDType::Q5_1,
        DType::Q8_0 => GgmlDType::Q8_0,
        DType::Q2K => GgmlDType::Q2K,
        DType::Q3K => GgmlDType::Q3K,
        DType::Q4K => GgmlDType::Q4K,
        DType::Q5K => GgmlDType::Q5K,
        DType::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

fn equal_bytes(theirs: GgmlDType, x: &[f32], ours: &[u8]) -> f64 {
    let tensor = Tensor::from_slice(x, (ROWS, COLS), &Device::Cpu).unwrap();
    let quantized = QTensor::quantize(&tensor, theirs).unwrap();
    let data = quantized.data().unwrap();
    assert_eq!(data.len(), ours.len());
    let equal = data.iter().zip(ours).filter(|(a, b)| a == b).count();
    100.0 * equal as f64 / ours.len() as f64
}

/// M elements a second of candle, and how many times faster quantlib is.
fn encode(dtype: DType, theirs: GgmlDType, x: &[f32], effort: Effort) -> (f64, Middle) {
    let mut blocks = theirs.cpu_zeros(x.len());
    let mut bytes = vec![0; dtype.tensor_bytes(&[x.len()]).unwrap()];
    let mut candle = || blocks.from_float(x);
    let mut quantlib = || {
        quantlib::quantize_into(x.into(), COLS, dtype, None, &options(None, 1), &mut bytes)
            .unwrap();
    };
    race(&mut candle, &mut quantlib, effort)
}

fn decode(dtype: DType, theirs: GgmlDType, data: &[u8], effort: Effort) -> (f64, Middle) {
    let blocks = theirs.from_data(data.into());
    let mut out = vec![0.0; ROWS * COLS];
    quantlib::dequantize_into(data, dtype, &options(None, 1), &mut out).unwrap();
    let CpuStorage::F32(expected) = blocks.dequantize(out.len()).unwrap() else {
        panic!("candle decodes {dtype} to something else than f32");
    };
    assert!(out == expected, "{dtype}: candle decodes something else");
    let mut candle = || drop(blocks.dequantize(ROWS * COLS).unwrap());
    let mut quantlib = || {
        quantlib::dequantize_into(data, dtype, &options(None, 1), &mut out).unwrap();
    };
    race(&mut candle, &mut quantlib, effort)
}

fn race(candle: &mut dyn FnMut(), quantlib: &mut dyn FnMut(), effort: Effort) -> (f64, Middle) {
    let times = in_turn(&mut [candle, quantlib], effort, thread_time);
    let speed = (ROWS * COLS) as f64 / Middle::of(&times[0]).median / 1e6;
    (speed, Middle::ratio(&times[0], &times[1]))
}

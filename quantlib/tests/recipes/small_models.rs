//! The small models of tests/peers/small_models.py: the same files, made without Python.

use half::{bf16, f16};
use quantlib::DType;
use quantlib::model::{Array, Metadata, TensorInfo, Value};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct SmallModel {
    pub(crate) metadata: Metadata,
    tensors: Vec<Layers>,
}

/// Equal layers that follow each other; `{}` in a name stands for the layer.
#[derive(Deserialize)]
struct Layers {
    first: usize,
    layers: usize,
    tensors: Vec<String>,
}

impl SmallModel {
    pub(crate) fn tensors(&self) -> Vec<TensorInfo> {
        let layers = |part: &Layers| part.first..part.first + part.layers;
        let lines = self.tensors.iter().flat_map(|part| {
            layers(part).flat_map(|layer| part.tensors.iter().map(move |line| (layer, line)))
        });
        lines.map(|(layer, line)| tensor(layer, line)).collect()
    }

    /// The GGUF file; other series have other values.
    pub(crate) fn file(&self, series: u64) -> Vec<u8> {
        let tensors = self.tensors();
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3u32.to_le_bytes());
        count(&mut out, tensors.len());
        count(&mut out, self.metadata.len());
        for (key, value) in &self.metadata {
            string(&mut out, key.as_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0;
        for tensor in &tensors {
            string(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for &dim in tensor.shape.iter().rev() {
                count(&mut out, dim);
            }
            out.extend(tensor.dtype.ggml_id().unwrap().to_le_bytes());
            count(&mut out, offset);
            offset += tensor.nbytes().next_multiple_of(ALIGNMENT);
        }
        pad(&mut out);
        for (seed, tensor) in tensors.iter().enumerate() {
            out.extend(values(
                tensor.dtype,
                tensor.elements(),
                seed as u64 + series,
            ));
            pad(&mut out);
        }
        out
    }
}

const ALIGNMENT: usize = 32;

fn tensor(layer: usize, line: &str) -> TensorInfo {
    let words: Vec<_> = line.split(' ').collect();
    let [name, dtype, shape] = words[..] else {
        panic!("{line}");
    };
    TensorInfo {
        name: name.replace("{}", &layer.to_string()),
        dtype: dtype.parse().unwrap(),
        shape: shape.split('x').map(|dim| dim.parse().unwrap()).collect(),
    }
}

fn count(out: &mut Vec<u8>, number: usize) {
    out.extend((number as u64).to_le_bytes());
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend(bytes);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// The type's number, then the value.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    let mut put = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::I8(v) => put(1, &v.to_le_bytes()),
        Value::U16(v) => put(2, &v.to_le_bytes()),
        Value::U32(v) => put(4, &v.to_le_bytes()),
        Value::I32(v) => put(5, &v.to_le_bytes()),
        Value::F32(v) => put(6, &v.to_le_bytes()),
        Value::Bool(v) => put(7, &[(*v).into()]),
        Value::String(v) => {
            put(8, &[]);
            string(out, v);
        }
        Value::Array(array) => {
            put(9, &[]);
            put_array(out, array);
        }
        _ => panic!("no small model has {value:?}"),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    let kind: u32 = match array {
        Array::I32(_) => 5,
        Array::F32(_) => 6,
        Array::Bool(_) => 7,
        Array::String(_) => 8,
        _ => panic!("no small model has {array:?}"),
    };
    out.extend(kind.to_le_bytes());
    count(out, array.len());
    match array {
        Array::I32(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        Array::F32(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        Array::Bool(v) => v.iter().for_each(|x| out.push((*x).into())),
        Array::String(v) => v.iter().for_each(|x| string(out, x)),
        _ => {}
    }
}

/// splitmix64 of positions from 1 on, with the seed in the upper half.
fn hashes(len: usize, seed: u64) -> impl Iterator<Item = u64> {
    (1..=len as u64).map(move |position| {
        let mut x = (position + (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    })
}

/// The sums of four fields of so many bits of the hashes.
fn fields(len: usize, seed: u64, bits: u32) -> impl Iterator<Item = i64> {
    let mask = (1u64 << bits) - 1;
    hashes(len, seed).map(move |x| (0..4).map(|k| ((x >> (16 * k)) & mask) as i64).sum())
}

/// Nearly normal values that need no rounding.
fn centred(len: usize, seed: u64, bits: u32) -> impl Iterator<Item = f32> {
    let middle = 2 * ((1i64 << bits) - 1);
    let scale = 0.5f32.powi(bits as i32 + 3);
    fields(len, seed, bits).map(move |sum| (sum - middle) as f32 * scale)
}

fn values(dtype: DType, len: usize, seed: u64) -> Vec<u8> {
    let halves = |len| centred(len, seed, 9).map(|x| f16::from_f32(x).to_le_bytes());
    match dtype {
        DType::F32 => centred(len, seed, 16).flat_map(f32::to_le_bytes).collect(),
        DType::F16 => halves(len).flatten().collect(),
        DType::BF16 => centred(len, seed, 6)
            .flat_map(|x| bf16::from_f32(x).to_le_bytes())
            .collect(),
        DType::Q8_0 => {
            let codes: Vec<_> = hashes(len, seed + 1000).map(|x| x as u8).collect();
            let blocks = halves(len / 32).zip(codes.chunks(32));
            blocks
                .flat_map(|(scale, codes)| [&scale[..], codes].concat())
                .collect()
        }
        _ => panic!("no small model has {dtype}"),
    }
}

/// Positive importance weights of the tensor at this place.
pub(crate) fn importance(len: usize, index: usize) -> Vec<f32> {
    let scale = 0.5f32.powi(18);
    fields(len, index as u64 + 2000, 16)
        .map(|sum| (sum + 1) as f32 * scale)
        .collect()
}

/// The sums and counts of a tensor with its weights among as many experts, at this place: each has
/// its own count, and some have none.
pub(crate) fn statistics(len: usize, experts: usize, index: usize) -> (Vec<f32>, Vec<u64>) {
    let scale = 0.5f32.powi(10);
    let sums = fields(len, index as u64 + 3000, 16).map(|sum| (sum + 1) as f32 * scale);
    let counts = hashes(experts, index as u64 + 4000).map(|x| match experts {
        2.. if x % 4 == 0 => 0,
        _ => x % 3000 + 1,
    });
    (sums.collect(), counts.collect())
}

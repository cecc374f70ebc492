//! Small adapter folders.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A Llama model of 2 million parameters, in f16.
pub(crate) fn tiny_llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m")
}

/// A tensor of a file to be written.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// An f32 tensor; its values follow from its name.
pub(crate) fn random(name: &str, shape: &[usize]) -> Tensor {
    let mut state = name
        .bytes()
        .fold(7u32, |h, b| h.wrapping_mul(31) + u32::from(b));
    let values = (0..shape.iter().product()).flat_map(|_| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes()
    });
    Tensor {
        name: name.to_owned(),
        dtype: "F32",
        shape: shape.to_vec(),
        data: values.collect(),
    }
}

pub(crate) fn f32s(tensor: &Tensor) -> Vec<f32> {
    let values = tensor.data.chunks_exact(4);
    values
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

pub(crate) fn write_safetensors(path: &Path, tensors: &[Tensor]) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for tensor in tensors {
        let offsets = [data.len(), data.len() + tensor.data.len()];
        header.insert(
            tensor.name.clone(),
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}),
        );
        data.extend_from_slice(&tensor.data);
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// Writes an adapter; `config` is added to one of rank 4 and alpha 6.
pub(crate) fn write_adapter(folder: &Path, config: Value, tensors: &[Tensor]) {
    std::fs::create_dir_all(folder).unwrap();
    let mut all = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 6});
    let own = config.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(own);
    std::fs::write(folder.join("adapter_config.json"), all.to_string()).unwrap();
    write_safetensors(&folder.join("adapter_model.safetensors"), tensors);
}

/// The factors of a linear layer with weights of `[rows, cols]`.
pub(crate) fn factors(module: &str, rank: usize, rows: usize, cols: usize) -> [Tensor; 2] {
    [
        random(
            &format!("base_model.model.{module}.lora_A.weight"),
            &[rank, cols],
        ),
        random(
            &format!("base_model.model.{module}.lora_B.weight"),
            &[rows, rank],
        ),
    ]
}

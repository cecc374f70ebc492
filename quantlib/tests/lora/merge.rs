//! Merging while converting against converting what was merged naively before.

use crate::support::{Tensor, f32s, factors, random, tiny_llama, write_adapter, write_safetensors};
use half::f16;
use quantlib::arch::{ConvertOptions, Lora};
use quantlib::job::{JobOptions, Quantization, convert_model, quantize_model};
use quantlib::recipe::Recipe;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const Q: &str = "model.layers.0.self_attn.q_proj";
const K: &str = "model.layers.1.self_attn.k_proj";
const DOWN: &str = "model.layers.1.mlp.down_proj";
const EMBED: &str = "model.embed_tokens";

/// The base model's weights, widened.
fn weights() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let model = quantlib::open(tiny_llama()).unwrap();
    let read = |tensor: &quantlib::model::TensorInfo| {
        let bytes = model.read(&tensor.name).unwrap();
        let values = bytes.chunks_exact(2);
        let values = values.map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
        (
            tensor.name.clone(),
            (tensor.shape.clone(), values.collect()),
        )
    };
    model.tensors().iter().map(read).collect()
}

/// Adds `scale · (b · a)`, or its transpose, before anything is rounded.
fn add(weights: &mut (Vec<usize>, Vec<f32>), a: &Tensor, b: &Tensor, scale: f32, transpose: bool) {
    let (rank, cols, rows) = (a.shape[0], a.shape[1], b.shape[0]);
    let (a, b) = (f32s(a), f32s(b));
    for i in 0..rows {
        for j in 0..cols {
            let sum = (0..rank).fold(0.0, |sum, k| sum + b[i * rank + k] * a[k * cols + j]);
            let at = if transpose {
                j * rows + i
            } else {
                i * cols + j
            };
            weights.1[at] += scale * sum;
        }
    }
}

/// A copy of the base model's folder with other weights, rounded to f16.
fn write_merged(folder: &Path, weights: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(tiny_llama()).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
    }
    let tensors: Vec<_> = weights
        .iter()
        .map(|(name, (shape, values))| Tensor {
            name: name.clone(),
            dtype: "F16",
            shape: shape.clone(),
            data: values
                .iter()
                .flat_map(|x| f16::from_f32(*x).to_le_bytes())
                .collect(),
        })
        .collect();
    write_safetensors(&folder.join("model.safetensors"), &tensors);
}

fn convert(src: &Path, loras: Vec<Lora>, outtype: &str, out: PathBuf) -> Vec<u8> {
    let mut wish = ConvertOptions::default();
    wish.outtype = outtype.parse().unwrap();
    wish.loras = loras;
    convert_model(src, &out, &wish, JobOptions::default()).unwrap();
    std::fs::read(out).unwrap()
}

#[test]
fn merging_on_the_way_equals_merging_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut merged = weights();
    let mut first = Vec::new();
    // Rank and alpha by pattern, and one of each that the whole adapter has.
    for (module, rank, alpha) in [(Q, 4, 6.0), (K, 2, 6.0), (DOWN, 4, 1.0)] {
        let shape = merged[&format!("{module}.weight")].0.clone();
        let [a, b] = factors(module, rank, shape[0], shape[1]);
        let scale = (0.5 * (alpha / (rank as f64))) as f32;
        add(
            merged.get_mut(&format!("{module}.weight")).unwrap(),
            &a,
            &b,
            scale,
            false,
        );
        first.extend([a, b]);
    }
    let config = json!({"rank_pattern": {"k_proj": 2}, "alpha_pattern": {"mlp.down_proj": 1}});
    write_adapter(&dir.path().join("first"), config, &first);

    // A second one on the same tensor, embeddings, and a tensor that is replaced.
    let [a, b] = factors(Q, 4, 256, 256);
    let embedding = [
        random(
            "base_model.model.model.embed_tokens.lora_embedding_A",
            &[4, 1024],
        ),
        random(
            "base_model.model.model.embed_tokens.lora_embedding_B",
            &[256, 4],
        ),
    ];
    let norm = random("base_model.model.model.norm.weight", &[256]);
    add(
        merged.get_mut(&format!("{Q}.weight")).unwrap(),
        &a,
        &b,
        3.0,
        false,
    );
    let [c, d] = &embedding;
    add(
        merged.get_mut(&format!("{EMBED}.weight")).unwrap(),
        c,
        d,
        3.0,
        true,
    );
    merged.get_mut("model.norm.weight").unwrap().1 = f32s(&norm);
    let [c, d] = embedding;
    let config = json!({"use_rslora": true, "modules_to_save": ["norm"]});
    write_adapter(&dir.path().join("second"), config, &[a, b, c, d, norm]);

    let folder = dir.path().join("tiny-llama-2m");
    write_merged(&folder, &merged);
    let loras = vec![
        Lora::new(dir.path().join("first")).scaled(0.5).unwrap(),
        Lora::new(dir.path().join("second")),
    ];
    for outtype in ["lossless", "q8_0"] {
        let before = convert(&folder, vec![], outtype, dir.path().join("before.gguf"));
        let way = convert(
            &tiny_llama(),
            loras.clone(),
            outtype,
            dir.path().join("way.gguf"),
        );
        assert!(before == way, "{outtype}");
    }
    let mut wish = Quantization::new(Recipe::Q4KM);
    let quantize = |src: &Path, wish: &Quantization, name: &str| {
        let out = dir.path().join(name);
        let mut options = JobOptions::default();
        options.memory_limit = 2 << 20;
        quantize_model(src, &out, wish, options).unwrap();
        std::fs::read(out).unwrap()
    };
    let before = quantize(&folder, &wish, "q-before.gguf");
    wish.convert.loras = loras;
    assert!(before == quantize(&tiny_llama(), &wish, "q-way.gguf"));
}

/// GPT-2 stores its matrices with inputs as rows; here a plain one takes that part.
#[test]
fn matrices_with_inputs_as_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut merged = weights();
    let [a, b] = factors(Q, 4, 256, 256);
    let [c, d] = factors(K, 4, 256, 128);
    add(
        merged.get_mut(&format!("{Q}.weight")).unwrap(),
        &a,
        &b,
        1.5,
        true,
    );
    add(
        merged.get_mut(&format!("{K}.weight")).unwrap(),
        &c,
        &d,
        1.5,
        true,
    );
    let adapter = dir.path().join("adapter");
    write_adapter(&adapter, json!({"fan_in_fan_out": true}), &[a, b, c, d]);
    let folder = dir.path().join("tiny-llama-2m");
    write_merged(&folder, &merged);
    let before = convert(&folder, vec![], "f16", dir.path().join("before.gguf"));
    let way = convert(
        &tiny_llama(),
        vec![Lora::new(adapter)],
        "f16",
        dir.path().join("way.gguf"),
    );
    assert!(before == way);
}

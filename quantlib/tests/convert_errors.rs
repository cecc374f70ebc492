//! Folders that cannot be converted: an error that names the file, key or tensor and says why.
#![cfg(feature = "hf")]

use quantlib::arch::{ConvertOptions, convert_plan};
use quantlib::format::hf::Folder;
use quantlib::{Error, ErrorKind};
use serde_json::{Value, json};
use std::path::Path;

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8,
        "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 4
    })
}

/// Writes a folder with one tensor of zeros in f32.
fn write(dir: &Path, config: &Value, tensor: &str, shape: &[usize]) {
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let bytes = 4 * shape.iter().product::<usize>();
    let info = json!({"dtype": "F32", "shape": shape, "data_offsets": [0, bytes]});
    let header = json!({ tensor: info }).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    std::fs::write(dir.join("model.safetensors"), file).unwrap();
}

fn error(dir: &Path) -> Error {
    let model = quantlib::open(dir).unwrap();
    let folder = Folder::open(dir).unwrap();
    convert_plan(&folder, &model, &ConvertOptions::default()).unwrap_err()
}

/// The error for a configuration with `changes`, and the kind and words that it must have.
fn check(changes: Value, tensor: &str, shape: &[usize], kind: ErrorKind, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    write(dir.path(), &config, tensor, shape);
    expect(&error(dir.path()), kind, words);
}

fn expect(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

#[test]
fn architectures_that_nothing_is_known_of() {
    let changes = json!({"architectures": ["LlamaForCausalML"]});
    let words = [
        "config.json",
        "LlamaForCausalML",
        "BertModel",
        "closest is LlamaForCausalLM",
    ];
    check(
        changes,
        "model.norm.weight",
        &[8],
        ErrorKind::Unsupported,
        &words,
    );
}

#[test]
fn weights_that_are_quantized() {
    let changes = json!({"quantization_config": {"quant_method": "awq"}});
    let words = ["config.json", "quantization_config", "quantized already"];
    check(
        changes,
        "model.norm.weight",
        &[8],
        ErrorKind::Unsupported,
        &words,
    );
}

#[test]
fn tensors_without_a_place() {
    let unsupported = ErrorKind::Unsupported;
    for tensor in [
        "model.surprise.weight",
        "model.layers.1.mlp.up_proj.weight",
        "lm_head.scale",
    ] {
        check(json!({}), tensor, &[8], unsupported, &[tensor, "no place"]);
    }
}

#[test]
fn shapes_that_do_not_fit_the_heads() {
    let tensor = "model.layers.0.self_attn.q_proj.weight";
    for (heads, rows) in [(2, 6), (0, 8), (1u64 << 40, 8)] {
        let changes = json!({"num_attention_heads": heads, "head_dim": 4});
        check(changes, tensor, &[rows, 8], ErrorKind::Malformed, &[""]);
    }
}

#[test]
fn numbers_of_a_wrong_kind() {
    for (key, value) in [
        ("hidden_size", json!(-1)),
        ("num_hidden_layers", json!("two")),
    ] {
        let words = ["config.json", key];
        check(
            json!({ key: value }),
            "model.norm.weight",
            &[8],
            ErrorKind::Malformed,
            &words,
        );
    }
    let scaling = json!({"rope_type": "linear", "factor": "x"});
    let words = ["config.json", "factor"];
    let changes = json!({ "rope_scaling": scaling });
    check(
        changes,
        "model.norm.weight",
        &[8],
        ErrorKind::Malformed,
        &words,
    );
}

#[test]
fn model_cards_with_a_number_for_a_text() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &config(), "model.norm.weight", &[8]);
    std::fs::write(dir.path().join("README.md"), "---\nversion: 1.5\n---\n").unwrap();
    let words = ["README.md", "version", "quotes"];
    expect(&error(dir.path()), ErrorKind::Malformed, &words);
}

#[test]
fn rerankers() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config["architectures"] = json!(["Qwen3ForCausalLM"]);
    write(dir.path(), &config, "model.norm.weight", &[8]);
    std::fs::write(dir.path().join("README.md"), "# Qwen3-Reranker-0.6B\n").unwrap();
    expect(&error(dir.path()), ErrorKind::Unsupported, &["reranker"]);
}

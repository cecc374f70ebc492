//! Adapters that cannot be merged: an error that names the file and the tensor or key, and no file.

use crate::support::{factors, random, tiny_llama, write_adapter};
use quantlib::ErrorKind::{self, Io, Malformed, Misuse, Unsupported};
use quantlib::arch::{ConvertOptions, Lora};
use quantlib::job::{JobOptions, convert_model};
use serde_json::json;
use std::path::Path;

const Q: &str = "model.layers.0.self_attn.q_proj";

/// The error of merging the adapters; nothing may be written.
#[track_caller]
fn refused(loras: &[&Path], kind: ErrorKind, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let mut wish = ConvertOptions::default();
    wish.loras = loras.iter().map(|path| Lora::new(*path)).collect();
    let error = convert_model(tiny_llama(), &out, &wish, JobOptions::default()).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn files_that_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    refused(&[&dir.path().join("nowhere")], Io, &["nowhere"]);
    refused(&[dir.path()], Io, &["adapter_config.json"]);
    std::fs::write(dir.path().join("adapter_config.json"), "{").unwrap();
    refused(&[dir.path()], Malformed, &["adapter_config.json", "JSON"]);
    write_adapter(dir.path(), json!({}), &[]);
    std::fs::remove_file(dir.path().join("adapter_model.safetensors")).unwrap();
    refused(&[dir.path()], Io, &["adapter_model.safetensors"]);
}

#[test]
fn configurations() {
    let dir = tempfile::tempdir().unwrap();
    for (config, kind, key) in [
        (json!({"peft_type": "IA3"}), Unsupported, "peft_type"),
        (json!({"r": 0}), Malformed, "r"),
        (json!({"lora_alpha": null}), Malformed, "lora_alpha"),
        (json!({"use_dora": true}), Unsupported, "use_dora"),
        (
            json!({"init_lora_weights": "pissa"}),
            Unsupported,
            "init_lora_weights",
        ),
    ] {
        write_adapter(dir.path(), config, &factors(Q, 4, 256, 256));
        refused(
            &[dir.path()],
            kind,
            &["adapter_config.json", &format!("key '{key}'")],
        );
    }
    std::fs::write(
        dir.path().join("adapter_config.json"),
        r#"{"peft_type": "LORA", "r": 4, "lora_alpha": NaN}"#,
    )
    .unwrap();
    refused(&[dir.path()], Malformed, &["adapter_config.json"]);
}

#[test]
fn tensors() {
    let dir = tempfile::tempdir().unwrap();
    let with = |tensors: &[_], kind, words: &[&str]| {
        write_adapter(dir.path(), json!({}), tensors);
        let words = [
            &["adapter_model.safetensors", "tensor 'base_model.model."],
            words,
        ]
        .concat();
        refused(&[dir.path()], kind, &words);
    };
    let name = |end: &str| format!("base_model.model.{Q}.{end}");
    let a = || random(&name("lora_A.weight"), &[4, 256]);
    with(&factors(Q, 3, 256, 256), Malformed, &["rank 3", "says 4"]);
    with(
        &factors(Q, 4, 255, 256),
        Malformed,
        &["[255, 256]", "[256, 256]"],
    );
    with(
        &factors("model.layers.9.self_attn.q_proj", 4, 256, 256),
        Malformed,
        &["layers.9"],
    );
    with(&[a()], Malformed, &["lora_B"]);
    with(
        &[a(), random(&name("lora_B.weight"), &[256, 3])],
        Malformed,
        &["[256, 3]", "[4, 256]"],
    );
    with(
        &[a(), random(&name("lora_B.weight"), &[256, 4, 1])],
        Unsupported,
        &["[256, 4, 1]"],
    );
    with(
        &[random(&name("lora_magnitude_vector"), &[256])],
        Unsupported,
        &["PEFT"],
    );
    with(
        &[random("base_model.model.model.norm.weight", &[255])],
        Malformed,
        &["[255]"],
    );
    with(
        &[random("base_model.model.score.weight", &[2, 256])],
        Malformed,
        &["score"],
    );
    let mut integers = a();
    integers.dtype = "I32";
    with(
        &[integers, random(&name("lora_B.weight"), &[256, 4])],
        Unsupported,
        &["i32"],
    );
}

#[test]
fn adapters_that_replace_what_others_change() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    write_adapter(&first, json!({}), &factors(Q, 4, 256, 256));
    let whole = random(&format!("base_model.model.{Q}.weight"), &[256, 256]);
    write_adapter(&second, json!({}), &[whole]);
    refused(&[&first, &second], Misuse, &["second", "one by one"]);
}

#[test]
fn other_sources_than_folders() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.gguf");
    convert_model(
        tiny_llama(),
        &base,
        &ConvertOptions::default(),
        JobOptions::default(),
    )
    .unwrap();
    let mut wish = quantlib::Quantization::new(quantlib::Recipe::Q8_0);
    wish.convert.loras = vec![Lora::new("x")];
    let out = dir.path().join("out.gguf");
    let error = quantlib::quantize_model(&base, &out, &wish, JobOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Unsupported);
    assert!(error.to_string().contains("base.gguf"), "{error}");
}

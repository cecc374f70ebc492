//! Wrong input: an error that says what is wrong, and nothing written.

use crate::support::{convert, tiny_llama, wish};
use quantlib::{Error, ErrorKind};
use serde_json::{Value, json};
use std::path::Path;

/// tiny-llama with a changed config.json.
fn changed(folder: &Path, change: impl FnOnce(&mut Value)) {
    let source = tiny_llama();
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(source.join("config.json")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    change(&mut config);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

fn refused(src: &Path, mode: &str) -> Error {
    let out = src.with_extension("out");
    let error = convert(src, &out, &wish(mode)).unwrap_err();
    assert!(!out.exists());
    error
}

#[test]
fn configurations_that_mlx_lm_cannot_read() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str, &str, ErrorKind); 6] = [
        (
            |c| c["model_type"] = json!("mamba"),
            "mlx-4bit",
            "no models of type 'mamba'",
            ErrorKind::Unsupported,
        ),
        (
            |c| c["model_type"] = json!(3),
            "mlx-4bit",
            "model_type",
            ErrorKind::Malformed,
        ),
        (
            |c| c["architectures"] = json!(["BertModel"]),
            "mlx-4bit",
            "no models of type 'llama'",
            ErrorKind::Unsupported,
        ),
        (
            |c| c["num_hidden_layers"] = json!(1),
            "mlx-4bit",
            "model.layers.1.",
            ErrorKind::Unsupported,
        ),
        (
            |c| c["quantization_config"] = json!({"quant_method": "awq"}),
            "auto",
            "quantized already",
            ErrorKind::Unsupported,
        ),
        (|_| (), "mlx-4bit:48", "groups of 48", ErrorKind::Misuse),
    ];
    for (change, mode, words, kind) in changes {
        let folder = tempfile::tempdir().unwrap();
        changed(folder.path(), change);
        let error = refused(folder.path(), mode);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn models_without_their_output_matrix() {
    let folder = tempfile::tempdir().unwrap();
    changed(folder.path(), |_| ());
    let weights = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    // A name of the same length that another place of the model has not.
    let at = bytes
        .windows(14)
        .position(|w| w == b"lm_head.weight")
        .unwrap();
    let mut renamed = bytes.clone();
    renamed[at..at + 14].copy_from_slice(b"lm_hood.weight");
    std::fs::write(&weights, &renamed).unwrap();
    let error = refused(folder.path(), "mlx-4bit");
    assert!(error.to_string().contains("lm_hood.weight"), "{error}");
    // As it is, names do not matter.
    let mut as_is = wish("mlx-4bit");
    as_is.as_is = true;
    let out = folder.path().with_extension("as-is");
    let report = convert(folder.path(), &out, &as_is).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!(
        report
            .tensors
            .iter()
            .filter(|t| t.name.contains("lm_hood"))
            .count(),
        1
    );
    // The embeddings take its place only if config.json says so.
    std::fs::write(&weights, bytes).unwrap();
    changed(folder.path(), |c| c["tie_word_embeddings"] = json!(true));
    let report = convert(folder.path(), &out, &wish("mlx-4bit")).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert!(!report.tensors.iter().any(|t| t.name.contains("lm_head")));
}

#[test]
fn folders_are_replaced_only_by_force() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine.txt"), "mine").unwrap();
    let error = convert(&tiny_llama(), &out, &wish("mlx-4bit")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("not empty"), "{error}");
    assert!(out.join("mine.txt").exists());
    let mut force = wish("mlx-4bit");
    force.force = true;
    convert(&tiny_llama(), &out, &force).unwrap();
    assert!(!out.join("mine.txt").exists());
    assert!(out.join("tokenizer.model").exists());
    let error = convert(&out, &out, &wish("auto")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    // Nothing of the attempts is left beside.
    let names: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["out"]);
}

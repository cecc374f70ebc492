//! Real vocabularies: folders rebuilt from llama.cpp's `models/ggml-vocab-*.gguf` are recognized and
//! give back the same tokens, types and merges.
#![cfg(feature = "hf")]

use quantlib::format::hf::{Folder, VocabOptions, VocabStyle, vocab};
use quantlib::model::{Array, Metadata, Value};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// llama.cpp's source: `QUANTLIB_LLAMA_CPP_DIR`, or what scripts/get-llama-cpp fetched.
fn llama_cpp() -> Option<PathBuf> {
    let fetched = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers/llama.cpp");
    let dir = std::env::var_os("QUANTLIB_LLAMA_CPP_DIR").map_or_else(fetched, PathBuf::from);
    dir.join("models/ggml-vocab-gpt-2.gguf")
        .is_file()
        .then_some(dir)
}

fn byte_level(regex: bool) -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex})
}

fn split(pattern: &str) -> Json {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn in_turn(steps: &[Json]) -> Json {
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// The models' own ways to split texts, by vocabulary.
fn pre_tokenizer(name: &str) -> Json {
    let words = |digits: &str| {
        format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
    let digits = |single: bool| json!({"type": "Digits", "individual_digits": single});
    match name {
        "qwen2" => in_turn(&[split(&words("")), byte_level(false)]),
        "llama-bpe" => in_turn(&[split(&words("{1,3}")), byte_level(false)]),
        "starcoder" | "refact" | "command-r" => in_turn(&[digits(true), byte_level(true)]),
        "falcon" => in_turn(&[
            json!({"type": "Punctuation", "behavior": "Contiguous"}),
            byte_level(true),
            digits(false),
            split("[0-9][0-9][0-9]"),
        ]),
        "deepseek-coder" => in_turn(&[
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split("[一-龥ࠀ-一가-퟿]+"),
            digits(true),
            byte_level(false),
        ]),
        _ => byte_level(true),
    }
}

fn strings(keys: &Metadata, key: &str) -> Vec<String> {
    match &keys[key] {
        Value::Array(Array::String(strings)) => strings.iter().map(ToString::to_string).collect(),
        other => panic!("{key}: {other:?}"),
    }
}

/// A folder with the vocabulary of a GGUF file. Padding tokens are left out: the converter adds them.
fn rebuild(name: &str, real: &Metadata, dir: &Path) {
    let tokens = strings(real, "tokenizer.ggml.tokens");
    let Value::Array(Array::I32(types)) = &real["tokenizer.ggml.token_type"] else {
        panic!("{name} has no token types");
    };
    let typed = || tokens.iter().zip(types).enumerate();
    let last = typed()
        .filter(|(_, (_, kind))| **kind == 1)
        .map(|(id, _)| id)
        .max()
        .unwrap();
    let is_padding = |text: &str| text.starts_with("[PAD");
    let added: Vec<Json> = typed()
        .filter(|(_, (text, kind))| **kind != 1 && !is_padding(text))
        .map(|(id, (text, kind))| {
            json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": *kind == 4, "special": *kind == 3})
        })
        .collect();
    let vocab: serde_json::Map<_, _> = typed()
        .filter(|(id, (text, kind))| **kind == 1 || (*id <= last && !is_padding(text)))
        .map(|(id, (text, _))| (text.clone(), json!(id)))
        .collect();
    let normalizer = match name {
        "qwen2" | "command-r" => json!({"type": "NFC"}),
        _ => Json::Null,
    };
    let add_bos = real.get("tokenizer.ggml.add_bos_token") == Some(&Value::Bool(true));
    let bos = &tokens[real["tokenizer.ggml.bos_token_id"].as_u64().unwrap() as usize];
    let post = match name == "llama-bpe" || add_bos {
        true => json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [real["tokenizer.ggml.bos_token_id"].as_u64()], "tokens": [bos]}}}),
        false => byte_level(true),
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer(name), "post_processor": post,
        "decoder": byte_level(true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": name == "llama-bpe", "vocab": vocab,
            "merges": strings(real, "tokenizer.ggml.merges")},
    });
    let config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama"});
    let write = |file: &str, json: Json| std::fs::write(dir.join(file), json.to_string()).unwrap();
    write("tokenizer.json", tokenizer);
    write("config.json", config);
    write(
        "tokenizer_config.json",
        json!({"tokenizer_class": "PreTrainedTokenizerFast"}),
    );
}

#[test]
fn real_vocabularies_come_back() {
    let Some(source) = llama_cpp() else {
        eprintln!("NOT RUN: llama.cpp's source is not there; scripts/get-llama-cpp fetches it");
        return;
    };
    let names = [
        "qwen2",
        "llama-bpe",
        "gpt-2",
        "starcoder",
        "refact",
        "falcon",
        "command-r",
        "deepseek-coder",
    ];
    for name in names {
        let file = source.join(format!("models/ggml-vocab-{name}.gguf"));
        let real = quantlib::open(&file).unwrap();
        let real = real.metadata();
        let dir = tempfile::tempdir().unwrap();
        rebuild(name, real, dir.path());
        let options = VocabOptions {
            vocab_size: Some(strings(real, "tokenizer.ggml.tokens").len() as u64),
            ..VocabOptions::default()
        };
        let folder = Folder::open(dir.path()).unwrap();
        let keys =
            vocab(&folder, VocabStyle::Llama, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            keys["tokenizer.ggml.pre"], real["tokenizer.ggml.pre"],
            "{name}"
        );
        assert_eq!(
            keys["tokenizer.ggml.merges"], real["tokenizer.ggml.merges"],
            "{name}"
        );
        assert_eq!(
            keys["tokenizer.ggml.tokens"], real["tokenizer.ggml.tokens"],
            "{name}"
        );
        let Value::Array(Array::I32(types)) = &keys["tokenizer.ggml.token_type"] else {
            panic!("{name} has no token types");
        };
        let Value::Array(Array::I32(real_types)) = &real["tokenizer.ggml.token_type"] else {
            panic!("{name} has no token types");
        };
        let tokens = strings(real, "tokenizer.ggml.tokens");
        for (id, text) in tokens.iter().enumerate() {
            // Older converters called padding user-defined, and trusted files that forget to mark
            // control tokens.
            let expected = match real_types[id] {
                4 if text.starts_with("[PAD") => 5,
                4 if text.starts_with("<|") || text.starts_with("<｜") || text == "<pad>" => 3,
                kind => kind,
            };
            assert_eq!(types[id], expected, "{name}: token {id} {text:?}");
        }
    }
    eprintln!(
        "{} real vocabularies of {} came back",
        names.len(),
        source.display()
    );
}

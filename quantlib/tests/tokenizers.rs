//! Tokenizer keys against those that llama.cpp's converter writes.
#![cfg(feature = "hf")]

use quantlib::ErrorKind;
use quantlib::format::hf::{Folder, VocabOptions, VocabStyle, vocab};
use quantlib::model::{Array, Metadata, Value};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest value that `expected.txt` spells out.
const LONG: usize = 300;

const PRE: &str = "tokenizer.ggml.pre";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data")
}

fn style(folder: &Folder) -> VocabStyle {
    match folder.architecture().unwrap() {
        "BertModel" => VocabStyle::Bert,
        "Qwen2ForCausalLM" | "Qwen3ForCausalLM" => VocabStyle::Qwen,
        _ => VocabStyle::Llama,
    }
}

fn options(folder: &Folder, pre: Option<&str>) -> VocabOptions {
    let number = |key: &str| folder.hparams().get(key).and_then(|v| v.as_u64());
    VocabOptions {
        pre: pre.map(str::to_owned),
        vocab_size: number("vocab_size"),
        token_types: Some(number("type_vocab_size").unwrap_or(2) as u32),
    }
}

fn keys(folder: &Folder, pre: Option<&str>) -> quantlib::Result<Metadata> {
    vocab(folder, style(folder), &options(folder, pre))
}

/// A key as `tests/peers/tokenizer_cases.py` writes it.
fn line(key: &str, value: &Value) -> String {
    let (kind, len, text) = match value {
        Value::String(s) => ("string", 1, json(&s.to_string())),
        Value::U32(v) => ("uint32", 1, v.to_string()),
        Value::Bool(v) => ("bool", 1, v.to_string()),
        Value::Array(Array::String(v)) => ("[string]", v.len(), json(v)),
        Value::Array(Array::I32(v)) => ("[int32]", v.len(), json(v)),
        Value::Array(Array::F32(v)) => {
            let bits: Vec<u32> = v.iter().map(|v| v.to_bits()).collect();
            ("[float32]", v.len(), json(&bits))
        }
        other => panic!("{key} has an unexpected type: {other:?}"),
    };
    if text.chars().count() <= LONG {
        return format!("{key} {kind} {text}\n");
    }
    let hash: String = Sha256::digest(&text)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{key} {kind} {len} sha256 {hash}\n")
}

/// JSON without spaces.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn lines(keys: &Metadata) -> String {
    keys.iter().map(|(key, value)| line(key, value)).collect()
}

/// The pre-tokenizer of a case: the hash that the real tokenizer of the folder yields.
fn expected_pre(expected: &str) -> &str {
    let line = expected.lines().find(|line| line.starts_with(PRE)).unwrap();
    line.split('"').nth(1).unwrap()
}

#[test]
fn cases_equal_the_converter() {
    let mut count = 0;
    let mut wrong = String::new();
    for entry in fs::read_dir(data().join("tokenizers")).unwrap() {
        let path = entry.unwrap().path();
        let expected = fs::read_to_string(path.join("expected.txt")).unwrap();
        let folder = Folder::open(&path).unwrap();
        let pre = expected_pre(&expected);
        if pre.len() == 64 {
            let error = keys(&folder, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let text = error.to_string();
            if !text.contains(pre) {
                wrong += &format!("{}: expected the hash {pre}: {text}\n", path.display());
            }
        }
        let keys = keys(&folder, Some(pre)).unwrap_or_else(|e| panic!("{e}"));
        let got = lines(&keys);
        if got != expected {
            wrong += &format!(
                "{}:\n--- expected\n{expected}--- got\n{got}",
                path.display()
            );
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 16, "only {count} cases");
}

#[test]
fn sentencepiece_of_a_trained_model() {
    let folder = Folder::open(data().join("tiny-llama-2m")).unwrap();
    let expected = "\
tokenizer.ggml.model string \"llama\"
tokenizer.ggml.pre string \"default\"
tokenizer.ggml.tokens [string] 1024 sha256 bb7068739184f126ce6dabdd9b352cba0fdd7c7213fab79ba29607844d35a797
tokenizer.ggml.scores [float32] 1024 sha256 9ab40dc315364e1a1c0957dfd71ae0a942b7eeb3f6dedeb71d218455a715d349
tokenizer.ggml.token_type [int32] 1024 sha256 ac7690785f138271856e26210550679fab3522819a80b0402b48090ecb2bd172
tokenizer.ggml.bos_token_id uint32 1
tokenizer.ggml.eos_token_id uint32 2
tokenizer.ggml.add_bos_token bool true
tokenizer.ggml.add_eos_token bool false
";
    assert_eq!(lines(&keys(&folder, None).unwrap()), expected);
}

/// A folder with a byte-level `tokenizer.json` made from the case `llama3`, changed by `change`.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let from = data().join("tokenizers/llama3");
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer_config.json"] {
        fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(from.join("tokenizer.json")).unwrap();
    let mut json = serde_json::from_str(&text).unwrap();
    change(&mut json);
    fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    dir
}

fn error_of(dir: &Path) -> quantlib::Error {
    let folder = Folder::open(dir).unwrap();
    keys(&folder, Some("x")).unwrap_err()
}

#[test]
fn hostile_descriptions_are_errors() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change, &str); 12] = [
        (
            "unknown merge",
            |j| j["model"]["merges"][0] = serde_json::json!(["q", "zz"]),
            "merge 0",
        ),
        (
            "long merge",
            |j| j["model"]["merges"][0] = serde_json::json!(["333", "333"]),
            "merge 0",
        ),
        (
            "odd merge",
            |j| j["model"]["merges"][0] = serde_json::json!(3),
            "merges",
        ),
        (
            "huge id",
            |j| j["model"]["vocab"]["a"] = serde_json::json!(u32::MAX),
            "id",
        ),
        (
            "wider id",
            |j| j["model"]["vocab"]["a"] = serde_json::json!(1_u64 << 40),
            "cannot be loaded",
        ),
        (
            "negative id",
            |j| j["model"]["vocab"]["a"] = serde_json::json!(-1),
            "cannot be loaded",
        ),
        (
            "no model",
            |j| j["model"] = serde_json::Value::Null,
            "cannot be loaded",
        ),
        (
            "no vocabulary",
            |j| j["model"]["vocab"] = serde_json::json!([1]),
            "cannot be loaded",
        ),
        (
            "long prefix",
            |j| j["model"]["continuing_subword_prefix"] = "x".repeat(1000).into(),
            "256",
        ),
        (
            "bad pattern",
            |j| j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(".into(),
            "cannot be loaded",
        ),
        (
            "doubling",
            |j| {
                let twice = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
                j["normalizer"] =
                    serde_json::json!({"type": "Sequence", "normalizers": vec![twice; 60]});
            },
            "lengthens",
        ),
        ("list", |j| *j = serde_json::json!([]), "not a JSON object"),
    ];
    for (name, change, what) in cases {
        let dir = changed(change);
        let error = error_of(dir.path()).to_string();
        assert!(
            error.contains(what) && error.contains("tokenizer.json"),
            "{name}: {error}"
        );
    }
    let dir = changed(|_| {});
    fs::write(dir.path().join("tokenizer.json"), "[".repeat(1 << 20)).unwrap();
    assert_eq!(error_of(dir.path()).kind(), ErrorKind::Malformed);
}

#[test]
fn hostile_sentencepiece_models_are_errors() {
    let from = data().join("tokenizers/spm");
    let good = fs::read(from.join("tokenizer.model")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let attempt = |bytes: &[u8]| {
        fs::write(dir.path().join("tokenizer.model"), bytes).unwrap();
        keys(&Folder::open(dir.path()).unwrap(), None)
    };
    attempt(&good).unwrap();
    let twice = [good.as_slice(), &good].concat();
    let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for bytes in [
        &good[..good.len() - 1],
        &twice,
        &huge,
        b"PK\x03\x04 no model",
        b"",
    ] {
        let error = attempt(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains("tokenizer.model"), "{error}");
    }
    for cut in 0..good.len() {
        let _ = attempt(&good[..cut]);
    }
}

#[test]
fn absurd_sizes_and_ids_are_errors() {
    let dir = changed(|_| {});
    let config = |size: &str| {
        let text = format!(r#"{{"architectures": ["LlamaForCausalLM"], "vocab_size": {size}}}"#);
        fs::write(dir.path().join("config.json"), text).unwrap();
        error_of(dir.path())
    };
    assert_eq!(config("1099511627776").kind(), ErrorKind::Limit);
    let error = config("10").to_string();
    assert!(error.contains("vocab_size"), "{error}");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let error = config("300").to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}

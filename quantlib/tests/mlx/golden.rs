//! Whole folders against hashes of what mlx_lm.convert writes for the same models.
//!
//! tests/peers/golden_mlx.py makes the hashes. The models come from tests/peers/hf_models/, which
//! needs Python's standard library only.

use crate::support::{convert, hash, json, make_models, root, to_gguf, wish};
use quantlib::DType;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

#[test]
fn folders_equal_mlx_lms() {
    let golden = json(&root().join("tests/data/golden/mlx.json"));
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let (mut wrong, mut cases) = (String::new(), 0);
    for (name, model) in golden.as_object().unwrap() {
        let source = match models.join(name) {
            made if made.is_dir() => made,
            _ => root().join("tests/data").join(name),
        };
        for (mode, expected) in model["modes"].as_object().unwrap() {
            let out = scratch.path().join("out");
            let result = convert(&source, &out, &wish(mode));
            let what = match (result, expected.is_null()) {
                // mlx_lm cannot; whether we can is another test's matter.
                (_, true) => Vec::new(),
                (Ok(_), false) => differences(name, &out, expected, &model["config"]),
                (Err(error), false) => vec![error.to_string()],
            };
            for what in what {
                writeln!(wrong, "{name} {mode}: {what}").unwrap();
            }
            cases += 1;
            drop(std::fs::remove_dir_all(&out));
        }
    }
    assert!(cases > 500, "{cases}");
    assert!(wrong.is_empty(), "{wrong}");
}

/// What config.json says here and not in mlx_lm's folder: mlx_lm would take the model for one with
/// other rotations, for it does not know today's spelling.
const ADDED: &[(&str, &[&str])] = &[("llama-3.2-tiny", &["rope_theta", "rope_scaling"])];

fn differences(name: &str, out: &Path, expected: &Value, config: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, ours: &Value, theirs: &Value| {
        if ours != theirs {
            wrong.push(format!("{what} {ours}, not {theirs}"));
        }
    };
    compare("tensors", &hash(out).into(), &expected["tensors"]);
    let index = json(&out.join("model.safetensors.index.json"));
    compare("index", &index["metadata"], &expected["index"]);
    let mut own = json(&out.join("config.json"));
    let entries = own.as_object_mut().unwrap();
    for name in ["quantization", "quantization_config"] {
        let quantization = entries.remove(name).unwrap_or(Value::Null);
        compare(name, &quantization, &expected["quantization"]);
    }
    let added = ADDED.iter().find(|(model, _)| *model == name);
    for key in added.map_or(&[][..], |(_, keys)| keys) {
        compare("rope", &own[*key].is_null().into(), &false.into());
        own.as_object_mut().unwrap().remove(*key);
    }
    compare("config", &own, expected.get("config").unwrap_or(config));
    wrong
}

/// Models of the architectures that have a way back from GGUF.
const BACK: &[&str] = &[
    "Tiny-Llama-0.4M-Chat-v1.5",
    "Meta-Llama-3.1-8B-Instruct",
    "llama-3.2-tiny",
    "biased_llama",
    "Mistral-7B-Instruct-v0.3-128k",
    "qwen2.5-400k-instruct",
    "Qwen3-0.3M",
    "gpt-oss-bf16",
    "tiny-llama-2m",
];

/// GGUF files that lost nothing become the folders that mlx_lm makes of the original models: rotary heads
/// are halves again, tied matrices stay left out, and rope factors are those of config.json.
#[test]
fn folders_of_gguf_files_equal_mlx_lms() {
    let golden = json(&root().join("tests/data/golden/mlx.json"));
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&models);
    let (file, out) = (
        scratch.path().join("model.gguf"),
        scratch.path().join("out"),
    );
    let mut wrong = String::new();
    for name in BACK {
        let source = match models.join(name) {
            made if made.is_dir() => made,
            _ => root().join("tests/data").join(name),
        };
        to_gguf(&source, &source, &file, true).unwrap();
        let model = &golden[*name];
        let dtype = match model["config"]["torch_dtype"].as_str() {
            Some("float16") => Some(DType::F16),
            Some("bfloat16") => Some(DType::BF16),
            _ => None,
        };
        let modes = [
            ("f16", None),
            ("bf16", None),
            ("mlx-4bit", dtype),
            ("mlx-mxfp4", dtype),
        ];
        for (mode, dtype) in modes {
            let mut wish = wish(mode);
            wish.dtype = wish.dtype.or(dtype);
            if wish.dtype.is_none() || model["modes"][mode].is_null() {
                continue;
            }
            convert(&file, &out, &wish).unwrap();
            let expected = &model["modes"][mode];
            if expected["tensors"] != hash(&out) {
                writeln!(wrong, "{name} {mode}: tensors").unwrap();
            }
            let index = json(&out.join("model.safetensors.index.json"));
            if index["metadata"] != expected["index"] {
                writeln!(wrong, "{name} {mode}: {}", index["metadata"]).unwrap();
            }
            compare_configs(&mut wrong, name, &json(&out.join("config.json")), model);
            std::fs::remove_dir_all(&out).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What both configurations say must be the same, but for how they spell it.
fn compare_configs(wrong: &mut String, name: &str, ours: &Value, model: &Value) {
    let theirs = &model["config"];
    for (key, value) in theirs.as_object().unwrap() {
        let spelled = [
            "rope_scaling",
            "architectures",
            "model_type",
            "eos_token_id",
            "quantization",
        ];
        let differs = ours
            .get(key)
            .is_some_and(|own| match (own.as_f64(), value.as_f64()) {
                (Some(a), Some(b)) => a != b,
                _ => own != value && !value.is_null(),
            });
        if differs && !spelled.contains(&key.as_str()) {
            writeln!(wrong, "{name}: {key} {} and {value}", ours[key]).unwrap();
        }
    }
    let rope = |config: &Value| {
        let nested = &config["rope_parameters"];
        let scaling = match config["rope_scaling"].is_null() {
            true => nested,
            false => &config["rope_scaling"],
        };
        let keys = [
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "beta_fast",
            "beta_slow",
        ];
        keys.map(|key| scaling[key].as_f64())
    };
    if rope(ours) != rope(theirs) {
        writeln!(wrong, "{name}: {:?} and {:?}", rope(ours), rope(theirs)).unwrap();
    }
}

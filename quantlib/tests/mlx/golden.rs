//! Whole folders against hashes of what mlx_lm.convert writes for the same models.
//!
//! tests/peers/golden_mlx.py makes the hashes. The models come from tests/peers/hf_models/, which
//! needs Python's standard library only.

use crate::support::{convert, hash, json, make_models, root, wish};
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

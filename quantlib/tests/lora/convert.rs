//! Adapters as GGUF files against hashes of what llama.cpp's converter writes for the same folders.
//!
//! The folders come from tests/peers/hf_adapters.py, which needs Python's standard library only;
//! scripts/golden-adapters makes the hashes. With QUANTLIB_CONVERTED naming the folder where it kept
//! the converter's files, the file that differs is kept there too.

use crate::support::{factors, random, tiny_llama, write_adapter};
use quantlib::ErrorKind::{self, Malformed, Misuse, Unsupported};
use quantlib::arch::ConvertOptions;
use quantlib::job::{JobOptions, convert_model};
use quantlib::{Quantization, Recipe, quantize_model};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder, then output type, then SHA-256 of the file; none where the converter itself fails.
type Hashes = BTreeMap<String, BTreeMap<String, Option<String>>>;

fn python(args: &[&Path]) {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let status = Command::new(python).args(args).status();
    assert!(status.expect("python3 runs").success());
}

fn convert(
    adapter: &Path,
    base: Option<PathBuf>,
    outtype: &str,
    out: &Path,
) -> quantlib::Result<()> {
    let mut wish = ConvertOptions::default();
    wish.outtype = outtype.parse()?;
    wish.base = base;
    convert_model(adapter, out, &wish, JobOptions::default()).map(drop)
}

#[test]
fn conversions_equal_the_converters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let golden = std::fs::read_to_string(root.join("tests/data/golden/adapters.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let hashes: Hashes = serde_json::from_value(golden["sha256"].clone()).unwrap();
    let bases: BTreeMap<String, String> = serde_json::from_value(golden["base"].clone()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (models, adapters) = (
        scratch.path().join("models"),
        scratch.path().join("adapters"),
    );
    let peers = root.join("tests/peers");
    python(&[&peers.join("make_models.py"), &models]);
    python(&[&peers.join("make_adapters.py"), &adapters, &models]);

    let mut wrong = String::new();
    let mut same = 0;
    for (name, files) in &hashes {
        for (outtype, expected) in files {
            let out = scratch.path().join("out.gguf");
            let base = Some(models.join(&bases[name]));
            let found = convert(&adapters.join(name), base, outtype, &out).map(|()| {
                let digest = Sha256::digest(std::fs::read(&out).unwrap());
                digest.iter().fold(String::new(), |mut hex, byte| {
                    write!(hex, "{byte:02x}").unwrap();
                    hex
                })
            });
            match (found, expected) {
                (Ok(_), None) => {}
                (Ok(found), Some(expected)) if found == *expected => same += 1,
                (Ok(_), Some(_)) => {
                    if let Some(kept) = std::env::var_os("QUANTLIB_CONVERTED") {
                        let name = format!("{name}-{outtype}.gguf.ours");
                        std::fs::copy(&out, PathBuf::from(kept).join(name)).unwrap();
                    }
                    writeln!(wrong, "{name} {outtype}: differs").unwrap();
                }
                (Err(error), _) => writeln!(wrong, "{name} {outtype}: {error}").unwrap(),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(same > 0);
}

/// The error of converting an adapter; nothing may be written.
#[track_caller]
fn refused(adapter: &Path, base: Option<PathBuf>, kind: ErrorKind, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let error = convert(adapter, base, "f16", &dir.path().join("out.gguf")).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_base_model_is_found_or_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let module = "model.layers.0.self_attn.q_proj";
    let write = |config| write_adapter(dir.path(), config, &factors(module, 4, 256, 256));
    write(json!({}));
    refused(dir.path(), None, Misuse, &["adapter_config.json", "--base"]);
    write(json!({"base_model_name_or_path": "org/no-such-model"}));
    refused(dir.path(), None, Misuse, &["org/no-such-model", "--base"]);
    refused(dir.path(), Some("no/such".into()), Misuse, &["no/such"]);
    write(json!({"base_model_name_or_path": tiny_llama()}));
    let out = dir.path().join("out.gguf");
    convert(dir.path(), None, "f16", &out).unwrap();
    assert_eq!(quantlib::open(&out).unwrap().tensors().len(), 2);
}

#[test]
fn what_a_gguf_adapter_cannot_have() {
    let dir = tempfile::tempdir().unwrap();
    let with = |tensors: &[_], kind, words: &[&str]| {
        write_adapter(dir.path(), json!({}), tensors);
        refused(dir.path(), Some(tiny_llama()), kind, words);
    };
    let head = random("base_model.model.lm_head.weight", &[1024, 256]);
    with(&[head], Unsupported, &["lm_head.weight", "merge"]);
    with(
        &factors("model.layers.9.self_attn.q_proj", 4, 256, 256),
        Unsupported,
        &["layers.9"],
    );
    with(
        &factors("model.layers.0.self_attn.q_proj", 4, 255, 256),
        Malformed,
        &["255 rows"],
    );

    let out = dir.path().join("out.gguf");
    let wish = Quantization::new(Recipe::Q8_0);
    let error = quantize_model(dir.path(), &out, &wish, JobOptions::default()).unwrap_err();
    assert!(error.to_string().contains("--lora"), "{error}");
    let error = convert(dir.path(), Some(tiny_llama()), "tq1_0", &out).unwrap_err();
    assert_eq!(error.kind(), Misuse, "{error}");
}

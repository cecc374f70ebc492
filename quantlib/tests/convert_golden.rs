//! Whole conversions against hashes of what llama.cpp's converter writes for the same folders.
//!
//! The folders come from tests/peers/hf_models/, which needs Python's standard library only;
//! scripts/golden-convert makes the hashes. With QUANTLIB_CONVERTED naming the folder where it kept
//! the converter's files, a difference is shown at its first byte.
#![cfg(feature = "hf")]

use quantlib::arch::{ConvertOptions, convert_plan};
use quantlib::format::gguf::Dialect;
use quantlib::format::hf::Folder;
use quantlib::job::{Job, JobOptions};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder, then output type, then SHA-256 of the file.
type Hashes = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn conversions_equal_the_converters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let hashes = golden_hashes(&root.join("tests/data/golden/convert"));
    let scratch = tempfile::tempdir().unwrap();
    let models = scratch.path().join("models");
    make_models(&root, &models);

    let mut wrong = String::new();
    for (name, files) in &hashes {
        let folder = match models.join(name) {
            made if made.is_dir() => made,
            _ => root.join("tests/data").join(name),
        };
        let pre = std::fs::read_to_string(models.join(format!("{name}.pre"))).ok();
        for (outtype, expected) in files {
            let out = scratch.path().join("out.gguf");
            let result = convert(&folder, &out, outtype, pre.clone());
            let what = match result {
                Ok(()) if sha256(&out) == *expected => continue,
                Ok(()) => difference(&out, &format!("{name}-{outtype}.gguf")),
                Err(error) => error.to_string(),
            };
            writeln!(wrong, "{name} {outtype}: {what}").unwrap();
        }
    }
    assert!(!hashes.is_empty());
    assert!(wrong.is_empty(), "{wrong}");
}

/// Those of all groups of architectures.
fn golden_hashes(folder: &Path) -> Hashes {
    let groups = std::fs::read_dir(folder).unwrap();
    let hashes = groups.flat_map(|group| {
        let golden = std::fs::read_to_string(group.unwrap().path()).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
        serde_json::from_value::<Hashes>(golden["sha256"].clone()).unwrap()
    });
    hashes.collect()
}

fn make_models(root: &Path, models: &Path) {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let script = root.join("tests/peers/make_models.py");
    let status = Command::new(python).arg(script).arg(models).status();
    assert!(status.expect("python3 runs").success());
}

fn convert(folder: &Path, out: &Path, outtype: &str, pre: Option<String>) -> quantlib::Result<()> {
    let mut options = ConvertOptions::default();
    options.outtype = outtype.parse()?;
    options.pre = pre;
    let model = quantlib::open(folder)?;
    let plan = convert_plan(&Folder::open(folder)?, &model, &options)?;
    let job = Job::new(&model, &plan)?.dialect(Dialect::GgufPy);
    job.run(out, JobOptions::default()).map(drop)
}

fn sha256(file: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(file).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a file differs from the converter's, if that is at hand.
fn difference(ours: &Path, name: &str) -> String {
    let Some(kept) = std::env::var_os("QUANTLIB_CONVERTED") else {
        return "differs".to_owned();
    };
    std::fs::copy(ours, PathBuf::from(&kept).join(format!("{name}.ours"))).unwrap();
    let (ours, theirs) = (
        std::fs::read(ours).unwrap(),
        std::fs::read(PathBuf::from(kept).join(name)).unwrap(),
    );
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    format!(
        "{} bytes, not {}; first difference at {at:?}",
        ours.len(),
        theirs.len()
    )
}

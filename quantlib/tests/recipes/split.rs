//! Models in several files, byte for byte those of llama-gguf-split and llama-quantize --keep-split.
//!
//! The golden file has hashes of their files; tests/peers/golden_split.py regenerates it. Where the
//! library and Python are found, --keep-split runs here beside ours.

use crate::cases;
use crate::files::{golden as files, sha256};
use crate::peer::Peer;
use quantlib::Result;
use quantlib::job::{JobOptions, Quantization, Report, merge_model, quantize_model, split_model};
use quantlib::model::ImportanceSummary;
use quantlib::rewrite::{SplitBy, SplitOptions};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The number of parts and their hash one after the other; none if the peer refused.
type Parts = Option<String>;

/// By the option that names a case; the inner one of `keep_split` by recipe and options.
#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "llama.cpp")]
    contract: String,
    split: BTreeMap<String, BTreeMap<String, Parts>>,
    merge: BTreeMap<String, String>,
    keep_split: BTreeMap<String, BTreeMap<String, BTreeMap<String, Parts>>>,
}

/// The division whose parts were merged again.
const MERGED: &str = "--split-max-tensors 20";

fn golden() -> Golden {
    let text = include_str!("../../../tests/data/golden/split.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.contract, quantlib::LLAMA_CPP_VERSION);
    golden
}

/// Options of llama-gguf-split.
fn division(case: &str) -> SplitOptions {
    let mut options = SplitOptions::default();
    let mut words = case.split_terminator(' ');
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word {
            "--split-max-tensors" => options.by = SplitBy::Tensors(value().parse().unwrap()),
            "--split-max-size" => {
                let (number, unit) = value().split_at(1);
                let unit = ["M", "G"].iter().position(|u| *u == unit).unwrap();
                let bytes = number.parse::<u64>().unwrap() * [1_000_000, 1_000_000_000][unit];
                options.by = SplitBy::Bytes(bytes);
            }
            "--no-tensor-first-split" => options.no_tensor_first_split = true,
            other => panic!("{other}"),
        }
    }
    options
}

/// The model that the golden file has hashes for.
fn input(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join("in.gguf");
    match files().models.get(name) {
        Some(model) => fs::write(&path, model.file(0)).unwrap(),
        None => convert(name, &path),
    }
    path
}

#[cfg(feature = "hf")]
fn convert(name: &str, out: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let mut wish = quantlib::arch::ConvertOptions::default();
    wish.outtype = "f32".parse().unwrap();
    quantlib::convert_model(folder.join(name), out, &wish, JobOptions::default()).unwrap();
}

#[cfg(not(feature = "hf"))]
fn convert(name: &str, _: &Path) {
    panic!("{name} comes from a Hugging Face folder");
}

/// The golden file's models that this build can make.
fn names<T>(golden: &BTreeMap<String, T>) -> impl Iterator<Item = (&String, &T)> {
    let files = files();
    golden
        .iter()
        .filter(move |(name, _)| cfg!(feature = "hf") || files.models.contains_key(*name))
}

/// The parts as the golden file has them; they are removed.
fn take(report: &Report) -> String {
    let mut digest = Sha256::new();
    for file in &report.files {
        let path = file.path.as_ref().unwrap();
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        digest.update(bytes);
        fs::remove_file(path).unwrap();
    }
    let hash: Vec<_> = digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{} {}", report.files.len(), hash.concat())
}

fn split(input: &Path, case: &str) -> Report {
    let prefix = input.with_file_name("parts");
    split_model(input, prefix, &division(case), JobOptions::default()).unwrap()
}

#[test]
fn parts_are_llama_gguf_splits() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (mut equal, mut more) = (0, 0);
    for (name, cases) in names(&golden.split) {
        let input = input(folder.path(), name);
        for (case, expected) in cases {
            let report = split(&input, case);
            match expected {
                Some(expected) => {
                    assert_eq!(&take(&report), expected, "{name}: {case}");
                    equal += 1;
                }
                // It gives up where the first tensor is larger than a part.
                None => {
                    assert!(report.notes[0].contains("alone takes"), "{name}: {case}");
                    take(&report);
                    more += 1;
                }
            }
        }
    }
    println!("{equal} split models equal, {more} that llama-gguf-split cannot split");
    assert!(equal >= 90 && more <= 1);
}

#[test]
fn merged_files_are_llama_gguf_splits() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in names(&golden.merge) {
        let input = input(folder.path(), name);
        let out = folder.path().join("merged.gguf");
        // However often a model was divided and whichever part is named.
        let first = split(&input, "--split-max-tensors 7");
        let again = split_model(
            first.files.last().unwrap().path.as_ref().unwrap(),
            folder.path().join("again"),
            &division(MERGED),
            JobOptions::default(),
        )
        .unwrap();
        take(&first);
        let part = again.files.last().unwrap().path.as_ref().unwrap();
        merge_model(part, &out, JobOptions::default()).unwrap();
        take(&again);
        assert_eq!(&sha256(&fs::read(&out).unwrap()), expected, "{name}");
    }
}

fn keep_split(input: &Path, case: &str) -> Result<Report> {
    let (recipe, options) = cases::parse(case, &ImportanceSummary::default());
    let mut wish = Quantization::new(recipe);
    wish.options = options;
    wish.options.keep_split = true;
    let out = input.with_file_name("ours.gguf");
    quantize_model(input, out, &wish, JobOptions::default())
}

/// The parts of a model that was divided, the first by its path.
fn divided(whole: &Path, division: &str) -> (PathBuf, Option<Report>) {
    if division.is_empty() {
        return (whole.to_path_buf(), None);
    }
    let report = split(whole, division);
    let first = report.output.as_ref().unwrap().into();
    (first, Some(report))
}

#[test]
fn kept_parts_are_llama_quantizes() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (mut equal, mut refused) = (0, 0);
    for (name, divisions) in names(&golden.keep_split) {
        let whole = input(folder.path(), name);
        for (division, cases) in divisions {
            let (first, parts) = divided(&whole, division);
            for (case, expected) in cases {
                match (keep_split(&first, case), expected) {
                    (Ok(report), Some(expected)) => {
                        assert_eq!(&take(&report), expected, "{name}: {division}: {case}");
                        equal += 1;
                    }
                    (Err(error), None) => {
                        assert!(cases::asks_for(&error, &["--allow-requantize"]), "{error}");
                        refused += 1;
                    }
                    (ours, _) => panic!("{name}: {division}: {case}: {ours:?}"),
                }
            }
            parts.as_ref().map(take);
        }
    }
    println!("{equal} models equal with --keep-split, {refused} refused by both");
    assert!(equal >= 130);
}

#[test]
fn kept_parts_are_llama_quantizes_live() {
    let Some(mut peer) = Peer::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let whole = input(folder.path(), "mixtral");
    let theirs = folder.path().join("theirs");
    for division in ["--split-max-tensors 3", "--split-max-tensors 5"] {
        let (first, parts) = divided(&whole, division);
        for case in ["q5_k_m", "iq4_xs", "copy"] {
            assert!(peer.quantize(&first, &theirs, &format!("{case} --keep-split")));
            let ours = keep_split(&first, case).unwrap();
            for file in &ours.files {
                let path = file.path.as_ref().unwrap();
                let their = path.replace("ours-", "theirs-");
                assert!(
                    fs::read(path).unwrap() == fs::read(their).unwrap(),
                    "{path}"
                );
            }
            take(&ours);
        }
        parts.as_ref().map(take);
    }
}

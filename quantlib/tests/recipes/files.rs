//! Whole files, byte for byte those of llama-quantize, for small models of several architectures.
//!
//! The golden file has hashes of llama-quantize's own files; tests/peers/golden_files.py regenerates
//! it. Where the library and Python are found, it runs here beside ours.

use crate::cases::{self, asks_for};
use crate::peer::Peer;
use crate::small_models::{self, SmallModel};
use quantlib::job::{Job, JobOptions};
use quantlib::model::{ImportanceMatrix, ImportanceSource, ImportanceSummary};
use quantlib::recipe::{self, Header};
use quantlib::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
pub(crate) struct Golden {
    #[serde(rename = "llama.cpp")]
    contract: String,
    matrix: Matrix,
    pub(crate) models: BTreeMap<String, SmallModel>,
    files: BTreeMap<String, Files>,
    /// The converter's files of tests/data/tiny-llama-2m by output type.
    #[serde(rename = "tiny-llama-2m")]
    pub(crate) tiny_llama: BTreeMap<String, Files>,
}

/// What llama-quantize was told of the importance matrix.
#[derive(Deserialize)]
pub(crate) struct Matrix {
    file: String,
    dataset: String,
    chunks: u32,
}

/// Hashes of the input and, for each recipe with options, of what llama-quantize made of it; none
/// if it refused.
#[derive(Deserialize)]
pub(crate) struct Files {
    input: String,
    pub(crate) outputs: BTreeMap<String, Option<String>>,
}

pub(crate) fn golden() -> Golden {
    let text = include_str!("../../../tests/data/golden/files.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.contract, quantlib::LLAMA_CPP_VERSION);
    golden
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A small model in a file, with the importance matrix that fits it.
struct Input {
    path: PathBuf,
    matrix: ImportanceMatrix,
    summary: ImportanceSummary,
}

impl Input {
    fn new(folder: &Path, model: &SmallModel, series: u64, about: &Matrix) -> Self {
        let path = folder.join("in.gguf");
        fs::write(&path, model.file(series)).unwrap();
        let mut matrix = ImportanceMatrix::default();
        for (index, tensor) in model.tensors().iter().enumerate() {
            let weights = small_models::importance(cases::weights(tensor), index);
            matrix.insert(&tensor.name, weights);
        }
        let mut summary = matrix.summary();
        summary.file = Some(about.file.as_str().into());
        summary.dataset = Some(about.dataset.as_str().into());
        summary.chunks = Some(about.chunks);
        Self {
            path,
            matrix,
            summary,
        }
    }

    fn quantize(&self, case: &str) -> Result<Vec<u8>> {
        let model = quantlib::format::open(&self.path)?;
        let (recipe, options) = cases::parse(case, &self.summary);
        let plan = recipe::plan(&Header::from(&model), recipe, &options)?;
        let out = self.path.with_file_name("ours.gguf");
        let mut job = JobOptions::default();
        job.importance = options.importance.as_ref().map(|_| &self.matrix as _);
        Job::new(&model, &plan)?.run(&out, job)?;
        Ok(fs::read(out).unwrap())
    }
}

/// Whether llama-quantize refuses this for the same reason.
fn is_refusal(error: &Error) -> bool {
    asks_for(error, &["--imatrix", "--allow-requantize", "--tensor-type"])
}

#[test]
fn files_are_llama_quantizes() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (mut equal, mut refused) = (0, 0);
    for (name, files) in &golden.files {
        let model = &golden.models[name];
        assert_eq!(sha256(&model.file(0)), files.input, "{name}: the input");
        let input = Input::new(folder.path(), model, 0, &golden.matrix);
        for (case, expected) in &files.outputs {
            match (input.quantize(case), expected) {
                (Ok(ours), Some(expected)) => {
                    assert_eq!(&sha256(&ours), expected, "{name}: {case}");
                    equal += 1;
                }
                (Err(error), None) if is_refusal(&error) => refused += 1,
                (Err(error), _) => panic!("{name}: {case}: {error}"),
                (Ok(_), None) => panic!("{name}: {case}: llama-quantize refuses this"),
            }
        }
    }
    println!("{equal} files equal, {refused} refused by both");
    assert!(equal >= 400 && refused >= 40);
}

/// Values other than those of the golden hashes.
const LIVE_SERIES: u64 = 1 << 20;

#[test]
fn files_are_llama_quantizes_live() {
    let Some(mut peer) = Peer::start() else {
        return;
    };
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs.gguf");
    let mut equal = 0;
    for (name, files) in &golden.files {
        let input = Input::new(
            folder.path(),
            &golden.models[name],
            LIVE_SERIES,
            &golden.matrix,
        );
        // Importance matrices come from the golden file only: there is no file of one.
        let cases = files
            .outputs
            .keys()
            .filter(|case| !case.contains("--imatrix"));
        for case in cases {
            let written = peer.quantize(&input.path, &theirs, case);
            match input.quantize(case) {
                Ok(ours) => {
                    assert!(written, "{name}: {case}: llama-quantize refuses this");
                    let theirs = fs::read(&theirs).unwrap();
                    let differing = ours.iter().zip(&theirs).position(|(a, b)| a != b);
                    assert_eq!(differing, None, "{name}: {case}: first differing byte");
                    assert_eq!(ours.len(), theirs.len(), "{name}: {case}");
                    equal += 1;
                }
                Err(error) if !written && is_refusal(&error) => {}
                Err(error) => panic!("{name}: {case}: {error}"),
            }
        }
    }
    println!("{equal} files equal to those of llama-quantize live");
    assert!(equal >= 240);
}

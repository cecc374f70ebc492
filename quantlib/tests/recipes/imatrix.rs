//! Importance matrices in files: written as llama-imatrix writes them, and whole models quantized with
//! them as llama-quantize does.
//!
//! The golden file has the hashes; tests/peers/golden_imatrix.py regenerates it. Where the library and
//! Python are found, llama.cpp's own reader and quantizer run here beside ours.

use crate::cases::{self, asks_for};
use crate::files::{golden as files, sha256};
use crate::peer::Peer;
use crate::small_models::{self, SmallModel};
use quantlib::format::imatrix::{self, Format};
use quantlib::job::{JobOptions, Quantization, quantize_model};
use quantlib::model::{ImportanceMatrix, ImportanceSource, Statistics};
use quantlib::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "llama.cpp")]
    contract: String,
    datasets: Vec<String>,
    chunk_size: NonZeroU32,
    /// Hashes of the matrices by model and file name.
    matrices: BTreeMap<String, BTreeMap<String, String>>,
    /// Hashes of what llama-quantize made by model and case; none if it refused.
    files: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

fn golden() -> Golden {
    let text = include_str!("../../../tests/data/golden/imatrix.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.contract, quantlib::LLAMA_CPP_VERSION);
    golden
}

/// The entries of a model's whole matrix, in the order of its tensors.
fn entries(model: &SmallModel) -> Vec<(String, Vec<f32>, Vec<u64>)> {
    let tensors = model.tensors();
    let matrices = tensors
        .iter()
        .enumerate()
        .filter(|(_, t)| t.shape.len() > 1);
    let entry = matrices.map(|(index, tensor)| {
        let len = cases::weights(tensor);
        let experts = len / tensor.shape.last().unwrap();
        let (sums, counts) = small_models::statistics(len, experts, index);
        (tensor.name.clone(), sums, counts)
    });
    entry.collect()
}

/// The entry of a tensor with other columns.
fn cut(entries: &mut [(String, Vec<f32>, Vec<u64>)], which: impl Fn(&str) -> bool) {
    let entry = entries.iter_mut().find(|(name, ..)| which(name)).unwrap();
    entry.1.truncate(entry.1.len() / entry.2.len() - 1);
    entry.2.truncate(1);
}

/// The matrix that a file's name stands for, without its ending.
fn variant(golden: &Golden, model: &SmallModel, name: &str) -> ImportanceMatrix {
    let mut entries = entries(model);
    match name {
        "full" => {}
        "one-count" => entries.iter_mut().for_each(|(_, _, counts)| {
            *counts = vec![counts.iter().copied().max().unwrap()];
        }),
        "holes" => {
            let numbered = entries.into_iter().enumerate();
            entries = numbered
                .filter(|(i, _)| i % 3 > 0)
                .map(|(_, e)| e)
                .collect();
        }
        "wrong" => cut(&mut entries, |name| name.starts_with("blk.1.")),
        "wrong-embeddings" => cut(&mut entries, |name| name == "token_embd.weight"),
        other => panic!("{other}"),
    }
    let mut matrix = ImportanceMatrix::default();
    matrix.datasets = golden
        .datasets
        .iter()
        .map(|name| name.as_str().into())
        .collect();
    matrix.chunk_size = golden.chunk_size;
    for (name, sums, counts) in entries {
        matrix.set(name, Statistics::new(sums, counts).unwrap());
    }
    matrix
}

/// Writes a model and its matrices into a folder, the matrices under the names of the golden file.
fn write_inputs(golden: &Golden, name: &str, series: u64, folder: &Path) {
    let model = &files().models[name];
    fs::write(folder.join("in.gguf"), model.file(series)).unwrap();
    for file in golden.matrices[name].keys() {
        let matrix = variant(golden, model, file.split_once('.').unwrap().0);
        imatrix::save(folder.join(file), &matrix, Format::of(file)).unwrap();
    }
}

/// Quantizes `in.gguf` of the folder; `file` is what the metadata shall say of the matrix.
fn quantize(folder: &Path, case: &str, file: Option<&str>) -> Result<Vec<u8>> {
    let (recipe, rest) = case.split_once(' ').unwrap();
    let (matrix, options) = rest.split_once(' ').unwrap_or((rest, ""));
    let reader = imatrix::Reader::open(folder.join(matrix))?;
    let mut summary = reader.summary();
    if let Some(file) = file {
        summary.file = Some(file.into());
    }
    let case = format!("{recipe} --imatrix {options}");
    let (recipe, options) = cases::parse(case.trim_end(), &summary);
    let mut wish = Quantization::new(recipe);
    wish.options = options;
    let mut options = JobOptions::default();
    options.importance = Some(&reader);
    let out = folder.join("ours.gguf");
    quantize_model(folder.join("in.gguf"), &out, &wish, options)?;
    Ok(fs::read(out).unwrap())
}

/// Whether llama-quantize refuses this for the same reason.
fn is_refusal(error: &Error) -> bool {
    asks_for(
        error,
        &[
            "--imatrix",
            "importance matrix of this model",
            "choose another",
        ],
    )
}

#[test]
fn matrices_are_llama_imatrixs() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let mut equal = 0;
    for (name, hashes) in &golden.matrices {
        write_inputs(&golden, name, 0, folder.path());
        for (file, expected) in hashes {
            let path = folder.path().join(file);
            assert_eq!(
                &sha256(&fs::read(&path).unwrap()),
                expected,
                "{name}: {file}"
            );
            let again = folder.path().join("again");
            let read = imatrix::load(&path).unwrap();
            imatrix::save(&again, &read, Format::of(file)).unwrap();
            // The older form has no counts, so its means are those of whole chunks from then on.
            if Format::of(file) == Format::Gguf {
                assert_eq!(
                    &sha256(&fs::read(&again).unwrap()),
                    expected,
                    "{name}: {file}"
                );
            }
            equal += 1;
        }
    }
    println!("{equal} matrices equal");
    assert!(equal >= 50);
}

#[test]
fn files_with_matrices_are_llama_quantizes() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (mut equal, mut refused) = (0, 0);
    for (name, outputs) in &golden.files {
        write_inputs(&golden, name, 0, folder.path());
        for (case, expected) in outputs {
            let matrix = case.split(' ').nth(1);
            match (quantize(folder.path(), case, matrix), expected) {
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
    assert!(equal >= 220 && refused >= 20);
}

#[test]
fn files_with_matrices_are_llama_quantizes_live() {
    let Some(mut peer) = Peer::start() else {
        return;
    };
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let (source, theirs) = (
        folder.path().join("in.gguf"),
        folder.path().join("theirs.gguf"),
    );
    let mut equal = 0;
    // With experts and without; the golden hashes cover the rest.
    for name in ["llama-mixed", "mixtral"] {
        write_inputs(&golden, name, 1 << 20, folder.path());
        for case in golden.files[name].keys() {
            let (recipe, rest) = case.split_once(' ').unwrap();
            let path = folder.path().display();
            let written = peer.quantize(
                &source,
                &theirs,
                &format!("{recipe} --imatrix {path}/{rest}"),
            );
            match quantize(folder.path(), case, None) {
                Ok(ours) => {
                    assert!(written, "{name}: {case}: llama-quantize refuses this");
                    assert!(ours == fs::read(&theirs).unwrap(), "{name}: {case}");
                    equal += 1;
                }
                Err(error) if !written && is_refusal(&error) => {}
                Err(error) => panic!("{name}: {case}: {error}"),
            }
        }
    }
    println!("{equal} files equal to those of llama-quantize live");
    assert!(equal >= 90);
}

//! `--imatrix` and the other options of `quantize` that choose types.

use crate::support::{fail, run, succeed, text, tiny_llama};
use quantlib::format::imatrix::{self, Format};
use quantlib::job::{JobOptions, Quantization, quantize_model};
use quantlib::model::ImportanceMatrix;
use quantlib::{DType, Recipe};
use std::path::Path;

const UP: &str = "blk.0.ffn_up.weight";

/// Weights for the matrices of the blocks.
fn matrix(model: &Path) -> ImportanceMatrix {
    let mut matrix = ImportanceMatrix::default();
    let opened = quantlib::open(model).unwrap();
    for (seed, tensor) in opened.tensors().iter().enumerate() {
        if tensor.shape.len() == 2 && tensor.name.starts_with("blk.") {
            let cols = tensor.shape[1];
            let rows = (0..600 * cols).map(|i| ((i * 31 + seed) % 101) as f32 / 101.0);
            let rows: Vec<f32> = rows.collect();
            matrix.accumulate(&tensor.name, cols, &rows).unwrap();
        }
    }
    matrix
}

#[test]
fn an_importance_matrix_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (model, file, out) = (path("f16.gguf"), path("m.dat"), path("out.gguf"));
    succeed(&[
        "convert",
        text(&tiny_llama()),
        "-o",
        text(&model),
        "-t",
        "f16",
    ]);
    imatrix::save(&file, &matrix(&model), Format::Dat).unwrap();
    let quantize = |options: &[&str]| {
        let command = ["quantize", text(&model), "-o", text(&out), "-t", "iq2_xs"];
        run(&[&command, options].concat())
    };
    assert_eq!(quantize(&[]).status.code(), Some(1));
    let imatrix = ["--imatrix", text(&file)];
    assert!(quantize(&imatrix).status.success());
    let reader = imatrix::Reader::open(&file).unwrap();
    let mut options = JobOptions::default();
    options.importance = Some(&reader);
    let wish = Quantization::new(Recipe::Iq2Xs);
    let expected = path("expected.gguf");
    quantize_model(&model, &expected, &wish, options).unwrap();
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&expected).unwrap());

    let without = quantize(&[&imatrix[..], &["--exclude-weights", "blk.0"]].concat());
    assert_eq!(without.status.code(), Some(1));
    let both = ["--exclude-weights", "a", "--include-weights", "b"];
    assert_eq!(
        quantize(&[&imatrix[..], &both].concat()).status.code(),
        Some(2)
    );
    let itself = ["quantize", text(&model), "-o", text(&file), "-t", "iq2_xs"];
    let error = fail(1, &[&itself[..], &imatrix].concat());
    assert!(error.contains("m.dat"), "{error}");
}

#[test]
fn the_first_type_on_the_command_line_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (tiny_llama(), dir.path().join("out.gguf"));
    let types = dir.path().join("types.txt");
    std::fs::write(&types, "ffn_up=q5_0\nffn_down=q5_1\n").unwrap();
    let quantize = |options: &[&str]| {
        let command = ["quantize", text(&model), "-o", text(&out), "-t", "q4_0"];
        succeed(&[&command, options].concat());
        let model = quantlib::open(&out).unwrap();
        let dtype = |name| model.tensor(name).unwrap().dtype;
        (dtype(UP), dtype("blk.0.ffn_down.weight"))
    };
    let (file, one) = (
        ["--tensor-type-file", text(&types)],
        ["--tensor-type", "ffn_up=q8_0"],
    );
    let buffer = ["--max-buffer-size", "64"];
    let file_first = quantize(&[&file[..], &one, &buffer].concat());
    assert_eq!(file_first, (DType::Q5_0, DType::Q5_1));
    assert_eq!(quantize(&[one, file].concat()), (DType::Q8_0, DType::Q5_1));
    let command = ["quantize", text(&model), "-o", text(&out), "-t", "q4_0"];
    let missing = ["--tensor-type-file", "no/such/file"];
    let error = fail(2, &[&command[..], &missing].concat());
    assert!(error.contains("no/such/file"), "{error}");
    fail(
        2,
        &[&command[..], &buffer, &["--memory-limit", "1G"]].concat(),
    );
}

#[test]
fn copy_is_a_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("f16.gguf"), dir.path().join("copy.gguf"));
    succeed(&[
        "convert",
        text(&tiny_llama()),
        "-o",
        text(&model),
        "-t",
        "f16",
    ]);
    succeed(&["quantize", text(&model), "-o", text(&out), "-t", "copy"]);
    let (before, after) = (
        quantlib::open(&model).unwrap(),
        quantlib::open(&out).unwrap(),
    );
    for tensor in after.tensors() {
        assert_eq!(Some(tensor), before.tensor(&tensor.name));
    }
}

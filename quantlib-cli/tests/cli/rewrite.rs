//! Splitting and merging.

use crate::support::{fail, names, succeed, text, zeros};
use quantlib::DType;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A model of five tensors of 4096 bytes each.
fn five(folder: &Path) -> PathBuf {
    let path = folder.join("five.gguf");
    let shape: &[usize] = &[4, 256];
    let tensors = ["a", "b", "c", "d", "e"].map(|name| (name, DType::F32, shape));
    zeros(&path, &tensors);
    path
}

#[test]
fn a_model_is_divided_and_joined() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    let prefix = dir.path().join("parts");
    let args = [
        "split",
        text(&input),
        "-o",
        text(&prefix),
        "--max-size",
        "9K",
    ];
    let planned = succeed(&[&args[..], &["--dry-run"]].concat());
    assert!(
        planned.contains("1 of 3") && planned.contains("a dry run"),
        "{planned}"
    );
    assert_eq!(names(dir.path()), ["five.gguf"]);
    let done: Value = serde_json::from_str(&succeed(&[&args[..], &["--json"]].concat())).unwrap();
    let counts: Vec<_> = done["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["tensors"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [2, 2, 1]);
    let parts: Vec<_> = (1..=3)
        .map(|n| format!("parts-0000{n}-of-00003.gguf"))
        .collect();
    assert_eq!(names(dir.path())[1..], parts);

    let out = dir.path().join("whole.gguf");
    succeed(&["merge", text(&dir.path().join(&parts[1])), "-o", text(&out)]);
    let whole: Value = serde_json::from_str(&succeed(&["inspect", text(&out), "--json"])).unwrap();
    assert_eq!(whole["tensors"].as_array().unwrap().len(), 5);
    assert_eq!(whole["metadata"]["split.count"]["value"], 0);

    std::fs::remove_file(dir.path().join(&parts[2])).unwrap();
    let error = fail(
        1,
        &["merge", text(&dir.path().join(&parts[0])), "-o", text(&out)],
    );
    assert!(
        error.contains(&parts[2]) && error.contains("cannot open"),
        "{error}"
    );
}

#[test]
fn parts_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    succeed(&[
        "split",
        text(&input),
        "-o",
        text(&dir.path().join("in")),
        "--max-tensors",
        "3",
    ]);
    let first = dir.path().join("in-00001-of-00002.gguf");
    let out = dir.path().join("out.gguf");
    succeed(&[
        "quantize",
        text(&first),
        "-o",
        text(&out),
        "-t",
        "f16",
        "--keep-split",
    ]);
    let expected = ["out-00001-of-00002.gguf", "out-00002-of-00002.gguf"];
    assert_eq!(names(dir.path())[3..], expected);
    let prefix = dir.path().join("in");
    let error = fail(
        1,
        &[
            "quantize",
            text(&first),
            "-o",
            text(&prefix),
            "-t",
            "f16",
            "--keep-split",
        ],
    );
    assert!(error.contains("is the input"), "{error}");
}

#[test]
fn divisions_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    let out = text(&input).replace("five", "out");
    let error = fail(
        1,
        &["split", text(&input), "-o", &out, "--max-tensors", "0"],
    );
    assert!(error.contains("at least one tensor"), "{error}");
    let error = fail(1, &["merge", text(&input), "-o", &out]);
    assert!(error.contains("no part of a split model"), "{error}");
    fail(
        2,
        &[
            "split",
            text(&input),
            "-o",
            &out,
            "--max-tensors",
            "1",
            "--max-size",
            "1M",
        ],
    );
    assert_eq!(names(dir.path()), ["five.gguf"]);
}

#[test]
fn metadata_are_edited() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    let out = dir.path().join("out.gguf");
    let args = ["edit", text(&input), "-o", text(&out)];
    let set = [
        "--set",
        "general.tags=[str]:[\"a\", \"b\"]",
        "--general-name",
        "x",
    ];
    succeed(&[&args[..], &set].concat());
    let shown: Value = serde_json::from_str(&succeed(&["inspect", text(&out), "--json"])).unwrap();
    let metadata = &shown["metadata"];
    assert_eq!(metadata["general.tags"]["value"][1], "b");
    assert_eq!(metadata["general.name"]["value"], "x");
    assert!(fail(1, &args).contains("nothing is to be changed"));
    fail(2, &[&args[..], &["--set", "key=u8:256"]].concat());
    let error = fail(
        1,
        &[&args[..], &["--remove", "general.architecture"]].concat(),
    );
    assert!(error.contains("general.architecture"), "{error}");
}

#[test]
fn models_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    let other = dir.path().join("other.gguf");
    succeed(&["edit", text(&input), "-o", text(&other), "--set", "k=u8:1"]);
    let args = ["compare", text(&input), text(&other)];
    let shown = succeed(&[&args[..], &["--worst"]].concat());
    assert!(
        shown.contains("5 compared, 5 of them identical") && shown.contains("k: none and 1"),
        "{shown}"
    );
    let code = |b: &Path| {
        let output = crate::support::run(&["compare", text(&input), text(b), "--exit-code"]);
        output.status.code()
    };
    assert_eq!((code(&input), code(&other)), (Some(0), Some(1)));
}

#[test]
fn tensors_are_found_and_extracted() {
    let dir = tempfile::tempdir().unwrap();
    let input = five(dir.path());
    let shown: Value = serde_json::from_str(&succeed(&[
        "inspect",
        text(&input),
        "--json",
        "--filter",
        "^[b-d]$",
    ]))
    .unwrap();
    assert_eq!(shown["tensors"].as_array().unwrap().len(), 3);
    let out = dir.path().join("a.npy");
    succeed(&["extract", text(&input), "a", "-o", text(&out)]);
    assert_eq!(std::fs::metadata(&out).unwrap().len(), 128 + 4096);
    let error = fail(1, &["extract", text(&input), "x", "-o", text(&out)]);
    assert!(error.contains("no tensor of this name"), "{error}");
}

//! Runs the command, and makes models for it.

use quantlib::DType;
use quantlib::format::gguf::{Dialect, layout};
use quantlib::model::{Metadata, TensorInfo, Value};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A Llama model of 2 million parameters, as a Hugging Face folder.
pub(crate) fn tiny_llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m")
}

pub(crate) fn quantlib() -> Command {
    Command::new(env!("CARGO_BIN_EXE_quantlib"))
}

/// Runs the command to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: &[S]) -> Output {
    quantlib().args(args).output().unwrap()
}

/// Runs the command, which must succeed, and returns its standard output.
pub(crate) fn succeed<S: AsRef<OsStr>>(args: &[S]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the command, which must fail with this exit code, and returns its standard error.
pub(crate) fn fail<S: AsRef<OsStr>>(code: i32, args: &[S]) -> String {
    let output = run(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    error
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes a GGUF of zeros, which take no room on most disks.
pub(crate) fn zeros(path: &Path, tensors: &[(&str, DType, &[usize])]) {
    let infos: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape)| TensorInfo {
            name: (*name).to_owned(),
            dtype: *dtype,
            shape: shape.to_vec(),
        })
        .collect();
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture".into(), Value::from("zeros"));
    let layout = layout(&infos, &metadata, Dialect::Ggml).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&layout.head).unwrap();
    file.set_len(layout.file_len).unwrap();
}

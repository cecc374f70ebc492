//! Folders to convert, and what is in the folders that come out.

use quantlib::arch::ConvertOptions;
use quantlib::format::safetensors;
use quantlib::job::{JobOptions, Report, convert_model, quantize_mlx};
use quantlib::recipe::mlx::{MlxQuantization, MlxRecipe};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The real model of two megabytes.
pub(crate) fn tiny_llama() -> PathBuf {
    root().join("tests/data/tiny-llama-2m")
}

/// Writes the random models of tests/peers/hf_models.
pub(crate) fn make_models(models: &Path) {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let script = root().join("tests/peers/make_models.py");
    let status = Command::new(python).arg(script).arg(models).status();
    assert!(status.expect("python3 runs").success());
}

/// A wish by its name in tests/data/golden/mlx.json: `mlx-3bit:64`, `f16`, `auto`.
pub(crate) fn wish(mode: &str) -> MlxQuantization {
    let (name, group_size) = match mode.split_once(':') {
        Some((name, size)) => (name, Some(size.parse().unwrap())),
        None => (mode, None),
    };
    let plain = |dtype: &str| {
        let mut wish = MlxQuantization::new(MlxRecipe::Plain);
        let outtype: quantlib::arch::OutType = dtype.parse().unwrap();
        wish.dtype = outtype.plain().unwrap();
        wish
    };
    let mut wish = match name {
        "auto" | "f16" | "bf16" => plain(name),
        recipe => MlxQuantization::new(recipe.parse().unwrap()),
    };
    wish.group_size = group_size;
    wish
}

pub(crate) fn convert(src: &Path, out: &Path, wish: &MlxQuantization) -> quantlib::Result<Report> {
    quantize_mlx(src, out, wish, JobOptions::default())
}

/// How the tokenizer of a folder made by hf_models is called.
pub(crate) fn pre(model: &Path) -> Option<String> {
    let mut file = model.as_os_str().to_owned();
    file.push(".pre");
    let pre = std::fs::read_to_string(file).ok()?;
    Some(pre.trim().to_owned())
}

/// The GGUF file of a folder made by hf_models, which says how its tokenizer is called.
pub(crate) fn to_gguf(src: &Path, model: &Path, out: &Path, exact: bool) -> quantlib::Result<()> {
    let mut wish = ConvertOptions::default();
    wish.pre = pre(model);
    wish.exact = exact;
    wish.name = Some("same".to_owned());
    convert_model(src, out, &wish, JobOptions::default()).map(drop)
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A hash of all tensors: names, types, shapes and bytes.
pub(crate) fn hash(folder: &Path) -> String {
    let model = safetensors::Reader::open(folder).unwrap();
    let mut tensors: Vec<_> = model.tensors().iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut digest = Sha256::new();
    for tensor in tensors {
        let dtype = tensor.dtype.name().to_uppercase();
        let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
        digest.update(format!("{} {dtype} {}\n", tensor.name, shape.join("x")));
        digest.update(model.read(&tensor.name).unwrap());
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

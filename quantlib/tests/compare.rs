//! Comparing models, against the formulas.

use quantlib::format::gguf::Writer;
use quantlib::measure::{CompareOptions, Comparison, compare};
use quantlib::{DType, ErrorKind, Result};
use std::path::{Path, PathBuf};

fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 20_011) as f32 / 10_005.5 - 1.0;
    (0..count).map(value).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// One tensor of more than one piece, and what each model has besides.
fn model(folder: &Path, name: &str, dtype: DType, extra: &[(&str, &[usize])]) -> PathBuf {
    let path = folder.join(name);
    let mut writer = Writer::create(&path).unwrap();
    writer.set("general.architecture", "none").unwrap();
    writer.set("general.name", name).unwrap();
    let weights = values(300 * 256, 1);
    let data = quantlib::quantize(&weights, 256, dtype, None).unwrap();
    writer.tensor("w", dtype, &[300, 256], data.data()).unwrap();
    for (name, shape) in extra {
        let data = bytes(&values(shape.iter().product(), 2));
        writer.tensor(*name, DType::F32, shape, &data).unwrap();
    }
    writer
        .tensor("ids", DType::I32, &[2], &[1, 0, 0, 0, 2, 0, 0, 0])
        .unwrap();
    writer.finish().unwrap();
    path
}

fn run(a: &Path, b: &Path, change: impl FnOnce(&mut CompareOptions<'_>)) -> Result<Comparison> {
    let mut options = CompareOptions::default();
    change(&mut options);
    compare(&quantlib::open(a)?, &quantlib::open(b)?, options)
}

#[test]
fn errors_are_those_of_the_formulas() {
    let dir = tempfile::tempdir().unwrap();
    let a = model(
        dir.path(),
        "a",
        DType::F32,
        &[("only_a", &[3]), ("turned", &[2, 3])],
    );
    let b = model(
        dir.path(),
        "b",
        DType::Q4K,
        &[("turned", &[3, 2]), ("only_b", &[1])],
    );
    let found = run(&a, &b, |_| {}).unwrap();
    let weights = values(300 * 256, 1);
    let q = quantlib::quantize(&weights, 256, DType::Q4K, None).unwrap();
    let back = q.dequantize().unwrap();
    let pairs = || {
        weights
            .iter()
            .zip(&back)
            .map(|(&a, &b)| (f64::from(a), f64::from(b)))
    };
    let sum = |f: fn((f64, f64)) -> f64| pairs().map(f).sum::<f64>();
    let (aa, bb, ab) = (
        sum(|(a, _)| a * a),
        sum(|(_, b)| b * b),
        sum(|(a, b)| a * b),
    );
    let ee = sum(|(a, b)| (a - b) * (a - b));
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-12 * theirs.abs();
    let w = &found.tensors[0];
    let errors = w.errors.as_ref().unwrap();
    assert!(near(errors.rmse, (ee / weights.len() as f64).sqrt()));
    assert!(near(errors.cosine.unwrap(), ab / (aa * bb).sqrt()));
    assert!(near(errors.sqnr_db.unwrap(), 10.0 * (aa / ee).log10()));
    let largest = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert_eq!(errors.max_error, largest);
    assert_eq!(
        (w.a, w.b, w.bits_b, w.identical),
        (DType::F32, DType::Q4K, 4.5, false)
    );

    let ids = &found.tensors[1];
    assert!(ids.identical && ids.errors.is_none());
    assert_eq!(found.only_a[0].name, "only_a");
    assert_eq!(found.only_b[0].name, "only_b");
    assert_eq!(found.reshaped[0].b, [3, 2]);
    let key = &found.metadata[0];
    assert_eq!(
        (key.key.as_str(), key.a.as_deref()),
        ("general.name", Some("\"a\""))
    );
    assert_eq!((found.metadata.len(), found.total.identical), (1, 1));
    assert!(!found.is_identical() && run(&a, &a, |_| {}).unwrap().is_identical());
}

#[test]
fn threads_do_not_change_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    let a = model(dir.path(), "a", DType::F32, &[]);
    let b = model(dir.path(), "b", DType::Q2K, &[]);
    let json = |threads, limit| {
        let found = run(&a, &b, |options| {
            options.threads = threads;
            options.memory_limit = limit;
        });
        serde_json::to_string(&found.unwrap()).unwrap()
    };
    let one = json(1, 0);
    assert!(
        [(2, 0), (7, 0), (3, 1 << 20)]
            .iter()
            .all(|&(n, limit)| json(n, limit) == one)
    );
    let error = run(&a, &b, |options| options.memory_limit = 1000).unwrap_err();
    assert_eq!(
        (error.kind(), error.tensor()),
        (ErrorKind::Limit, Some("w"))
    );
}

#[test]
fn a_filter_leaves_tensors_out() {
    let dir = tempfile::tempdir().unwrap();
    let a = model(dir.path(), "a", DType::F32, &[("only_a", &[3])]);
    let found = run(&a, &a, |options| {
        options.filter = Some("^only|x$".parse().unwrap())
    })
    .unwrap();
    assert_eq!(found.tensors.len(), 1);
}

/// A folder is compared as what it would be converted to.
#[cfg(feature = "hf")]
#[test]
fn a_folder_is_compared_with_what_was_made_of_it() {
    use quantlib::job::{JobOptions, convert_model};
    use quantlib::measure::compare_files;
    let dir = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m");
    let out = dir.path().join("out.gguf");
    let mut wish = quantlib::arch::ConvertOptions::default();
    wish.outtype = "f32".parse().unwrap();
    convert_model(&folder, &out, &wish, JobOptions::default()).unwrap();
    let found = compare_files(&folder, &out, CompareOptions::default()).unwrap();
    assert_eq!(
        found.tensors.len(),
        quantlib::open(&out).unwrap().tensors().len()
    );
    assert!(
        found
            .tensors
            .iter()
            .all(|t| t.errors.as_ref().unwrap().rmse == 0.0)
    );
    assert!(found.only_a.is_empty() && found.only_b.is_empty() && found.metadata.is_empty());
}

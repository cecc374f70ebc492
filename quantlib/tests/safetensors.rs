//! Safetensors, as the files of the small model in `tests/data` and files made here.

use quantlib::format::safetensors::{Reader, layout};
use quantlib::model::{Metadata, Model, TensorInfo, Value};
use quantlib::{DType, ErrorKind};
use std::path::{Path, PathBuf};

fn tiny_llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny-llama-2m")
}

/// Writes `tensors`, whose bytes count up, as one file.
fn write(path: &Path, tensors: &[TensorInfo], metadata: &Metadata) {
    let laid_out = layout(tensors, metadata).unwrap();
    let mut file = laid_out.head;
    file.resize(laid_out.file_len as usize, 0);
    for (info, offset) in tensors.iter().zip(laid_out.offsets) {
        file[offset as usize..][..info.nbytes()].copy_from_slice(&bytes_of(info));
    }
    std::fs::write(path, file).unwrap();
}

fn bytes_of(info: &TensorInfo) -> Vec<u8> {
    (0..info.nbytes())
        .map(|i| (i + info.name.len()) as u8)
        .collect()
}

fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
    TensorInfo {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
    }
}

fn names(model: &Model) -> Vec<&str> {
    model.tensors().iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn a_file_laid_out_again_has_the_same_bytes() {
    let path = tiny_llama().join("model.safetensors");
    let model = Reader::open(&path).unwrap();
    let laid_out = layout(model.tensors(), model.metadata()).unwrap();
    let stored = std::fs::read(&path).unwrap();
    assert_eq!(laid_out.file_len, stored.len() as u64);
    assert!(stored.starts_with(&laid_out.head));
    for (index, offset) in laid_out.offsets.iter().enumerate() {
        assert_eq!(model.location(index).unwrap().offset, *offset);
    }
}

#[test]
fn a_folder_is_its_weights() {
    let model = quantlib::open(tiny_llama()).unwrap();
    assert_eq!(model.format(), "safetensors");
    let file = quantlib::open(tiny_llama().join("model.safetensors")).unwrap();
    assert_eq!(model.tensors(), file.tensors());
    let name = "model.norm.weight";
    assert_eq!(model.read(name).unwrap(), file.read(name).unwrap());
}

#[test]
fn every_type_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    let types = [
        DType::Bool,
        DType::U8,
        DType::I8,
        DType::F8E5M2,
        DType::F8E4M3,
        DType::F8E8M0,
        DType::I16,
        DType::U16,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::U32,
        DType::F32,
        DType::F64,
        DType::I64,
        DType::U64,
    ];
    let mut tensors: Vec<_> = types.iter().map(|&t| info(t.name(), t, &[3, 2])).collect();
    tensors.push(info("scalar", DType::F32, &[]));
    tensors.push(info("empty", DType::F32, &[4, 0]));
    let metadata = Metadata::from_iter([("a \"quoted\"\n key ü".to_owned(), Value::from("b"))]);
    write(&path, &tensors, &metadata);
    let model = quantlib::open(&path).unwrap();
    assert_eq!(model.metadata(), &metadata);
    assert_eq!(model.tensors().len(), tensors.len());
    for info in &tensors {
        assert_eq!(model.tensor(&info.name), Some(info));
        assert_eq!(model.read(&info.name).unwrap(), bytes_of(info));
    }
}

#[test]
fn shards_are_joined_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (b, a) = (info("b", DType::F32, &[2]), info("a", DType::F16, &[3]));
    let c = info("c", DType::F16, &[1]);
    let format = Metadata::from_iter([("format".to_owned(), Value::from("pt"))]);
    write(
        &at("model-00002-of-00002.safetensors"),
        std::slice::from_ref(&c),
        &Metadata::new(),
    );
    write(
        &at("model-00001-of-00002.safetensors"),
        &[b.clone(), a.clone()],
        &format,
    );
    // Without an index all shards are found by their names.
    let found = quantlib::open(folder.path()).unwrap();
    assert_eq!(names(&found), ["a", "b", "c"]);
    let index = at("model.safetensors.index.json");
    let map = r#"{"metadata": {"total_size": 1}, "weight_map": {
        "c": "model-00002-of-00002.safetensors",
        "b": "model-00001-of-00002.safetensors", "a": "model-00001-of-00002.safetensors"}}"#;
    std::fs::write(&index, map).unwrap();
    for path in [folder.path(), &index] {
        let model = quantlib::open(path).unwrap();
        assert_eq!(names(&model), ["a", "b", "c"]);
        assert_eq!(model.metadata(), &format);
        assert_eq!(model.location(2).unwrap().file, 1);
        for info in [&a, &b, &c] {
            assert_eq!(model.read(&info.name).unwrap(), bytes_of(info));
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let error =
        |tensors: &[TensorInfo], metadata: &Metadata| layout(tensors, metadata).unwrap_err();
    let none = Metadata::new();
    let block = error(&[info("t", DType::Q4K, &[256])], &none);
    assert_eq!(
        (block.kind(), block.tensor()),
        (ErrorKind::Misuse, Some("t"))
    );
    let twice = error(
        &[info("t", DType::U8, &[1]), info("t", DType::U8, &[1])],
        &none,
    );
    assert_eq!(
        (twice.kind(), twice.tensor()),
        (ErrorKind::Misuse, Some("t"))
    );
    let number = Metadata::from_iter([("n".to_owned(), Value::U8(1))]);
    let number = error(&[], &number);
    assert_eq!(
        (number.kind(), number.key()),
        (ErrorKind::Misuse, Some("n"))
    );
    let huge = error(&[info("t", DType::F64, &[usize::MAX])], &none);
    assert_eq!((huge.kind(), huge.tensor()), (ErrorKind::Limit, Some("t")));
}

//! Files that gguf-py, ggml and the safetensors library wrote (`tests/peers/golden_containers.py`):
//! they read right, and written again they have the same bytes.

use quantlib::DType;
use quantlib::format::gguf::{Dialect, Writer, layout};
use quantlib::format::safetensors;
use quantlib::model::{Array, Metadata, Model, TensorInfo, Value};
use std::path::{Path, PathBuf};

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data/golden/containers")
        .join(name)
}

fn stored(name: &str) -> Vec<u8> {
    std::fs::read(peer(name)).unwrap()
}

fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
    TensorInfo {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
    }
}

/// The bytes that the script puts into a tensor.
fn data(name: &str, count: usize) -> Vec<u8> {
    let seed = name.bytes().fold(7u8, u8::wrapping_add);
    (0..count)
        .map(|i| seed.wrapping_add((i * 31) as u8))
        .collect()
}

fn keys(alignment: Option<u32>, nested: bool) -> Metadata {
    let mut keys: Vec<(&str, Value)> = vec![("general.architecture", "llama".into())];
    keys.extend(alignment.map(|alignment| ("general.alignment", alignment.into())));
    let strings = Array::String(["x", "", "yy"].into_iter().collect());
    keys.extend([
        ("u8", Value::U8(255)),
        ("i8", Value::I8(-128)),
        ("u16", Value::U16(65535)),
        ("i16", Value::I16(-32768)),
        ("u32", Value::U32(7)),
        ("i32", Value::I32(-9)),
        ("f32", Value::F32(1.5)),
        ("u64", Value::U64(1 << 63)),
        ("i64", Value::I64(-(1 << 60))),
        ("f64", Value::F64(3.25)),
        ("bool", Value::Bool(true)),
        ("string", "grüße".into()),
        ("integers", Array::I32(vec![1, 2, -3]).into()),
        ("floats", Array::F32(vec![1.5, -2.5]).into()),
        ("booleans", Array::Bool(vec![true, false]).into()),
        ("strings", strings.into()),
        ("bytes", Array::U8(b"abc".to_vec()).into()),
    ]);
    if nested {
        let inner = vec![Array::I32(vec![1, 2]), Array::I32(vec![3])];
        keys.push(("nested", Array::Array(inner).into()));
    }
    keys.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

fn tensors(others: bool) -> Vec<TensorInfo> {
    let mut tensors = vec![
        info("f32", DType::F32, &[1, 1, 5]),
        info("f16", DType::F16, &[3, 4]),
        info("scalar", DType::F32, &[]),
    ];
    if others {
        tensors.extend([
            info("f64", DType::F64, &[2, 1]),
            info("i8", DType::I8, &[7]),
            info("i16", DType::I16, &[3]),
            info("i32", DType::I32, &[3]),
            info("i64", DType::I64, &[3]),
        ]);
    }
    let quantized = [DType::Q8_0, DType::Q4K, DType::Q6K, DType::Mxfp4];
    tensors.extend(quantized.map(|dtype| info(dtype.name(), dtype, &[2, 512])));
    tensors
}

fn check(model: &Model, metadata: &Metadata, tensors: &[TensorInfo]) {
    assert_eq!(model.metadata(), metadata);
    assert_eq!(model.tensors(), tensors);
    for info in tensors {
        let expected = data(&info.name, info.nbytes());
        assert!(model.read(&info.name).unwrap() == expected, "{info:?}");
    }
}

#[test]
fn gguf_py_files_read_right_and_are_written_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("py.gguf", None, true),
        ("py-aligned-64.gguf", Some(64), false),
    ];
    for (name, alignment, more) in cases {
        let (metadata, tensors) = (keys(alignment, more), tensors(more));
        check(&quantlib::open(peer(name)).unwrap(), &metadata, &tensors);
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path).unwrap();
        for (key, value) in metadata {
            writer.set(key, value).unwrap();
        }
        for info in tensors {
            let data = data(&info.name, info.nbytes());
            writer
                .tensor(info.name, info.dtype, &info.shape, &data)
                .unwrap();
        }
        writer.finish().unwrap();
        assert!(std::fs::read(path).unwrap() == stored(name), "{name}");
    }
}

#[test]
fn big_endian_files_read_right() {
    let model = quantlib::open(peer("py-big-endian-64.gguf")).unwrap();
    check(&model, &keys(Some(64), false), &tensors(false));
}

#[test]
fn vocabularies_end_where_each_program_ends_them() {
    let metadata = keys(None, false);
    let model = quantlib::open(peer("py-vocabulary.gguf")).unwrap();
    check(&model, &metadata, &[]);
    let py = layout(&[], &metadata, Dialect::GgufPy).unwrap();
    assert_eq!(py.head, stored("py-vocabulary.gguf"));
    assert_eq!(py.file_len, py.head.len() as u64);
    let ggml = layout(&[], &metadata, Dialect::Ggml).unwrap();
    check_head(&ggml.head, ggml.file_len, "ggml-vocabulary.head");
}

#[test]
fn ggml_writes_the_same_header() {
    let laid_out = layout(&tensors(false), &keys(Some(64), false), Dialect::Ggml).unwrap();
    check_head(&laid_out.head, laid_out.offsets[0], "ggml-aligned-64.head");
}

/// ggml's header goes up to the first tensor; what we leave to zeros must be zeros.
fn check_head(head: &[u8], end: u64, name: &str) {
    let mut padded = head.to_vec();
    padded.resize(end as usize, 0);
    assert!(padded == stored(name), "{name}");
}

#[test]
fn split_models_of_gguf_py() {
    for part in 1..=3 {
        let path = peer(&format!("split-{part:05}-of-00003.gguf"));
        let model = quantlib::open(path).unwrap();
        let tensors: Vec<_> = (0..5)
            .map(|i| info(&format!("t{i}"), DType::F32, &[3, 5]))
            .collect();
        check(&model, &model.metadata().clone(), &tensors);
        assert_eq!(model.metadata()["split.no"], Value::U16(0));
    }
}

#[test]
fn safetensors_of_torch_are_laid_out_the_same() {
    let model = quantlib::open(peer("torch.safetensors")).unwrap();
    assert_eq!(model.tensors().len(), 17);
    for info in model.tensors() {
        let data = match info.dtype {
            DType::Bool => data("bool", 6).iter().map(|byte| byte % 2).collect(),
            _ => data(&info.name, info.nbytes()),
        };
        assert_eq!(model.read(&info.name).unwrap(), data, "{info:?}");
    }
    assert_eq!(model.tensor("quoted \"ü\"\n").unwrap().shape, [0, 3]);
    assert_eq!(model.tensor("float8_e8m0fnu").unwrap().dtype, DType::F8E8M0);
    let laid_out = safetensors::layout(model.tensors(), model.metadata()).unwrap();
    let stored = stored("torch.safetensors");
    assert!(stored.starts_with(&laid_out.head));
    assert_eq!(laid_out.file_len, stored.len() as u64);
    for (index, offset) in laid_out.offsets.iter().enumerate() {
        assert_eq!(model.location(index).unwrap().offset, *offset);
    }
}

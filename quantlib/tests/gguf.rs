//! GGUF written and read: every kind of value, every type, both byte orders, several files.

mod gguf_bytes;

use gguf_bytes::Bytes;
use proptest::prelude::*;
use quantlib::format::gguf::{Dialect, Reader, Writer, layout};
use quantlib::model::{Array, Metadata, StringArray, TensorInfo, Value};
use quantlib::{DType, ErrorKind};
use std::path::Path;

fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
    TensorInfo {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
    }
}

/// Bytes that differ from tensor to tensor and from place to place.
fn bytes_of(info: &TensorInfo) -> Vec<u8> {
    let seed = info.name.bytes().fold(7u8, u8::wrapping_add);
    (0..info.nbytes())
        .map(|i| seed.wrapping_add((i * 31) as u8))
        .collect()
}

fn write(path: &Path, dialect: Dialect, metadata: &Metadata, tensors: &[TensorInfo]) {
    let mut writer = Writer::create_with(path, dialect).unwrap();
    for info in tensors {
        let data = bytes_of(info);
        writer
            .start_tensor(&info.name, info.dtype, &info.shape)
            .unwrap();
        for piece in data.chunks(7) {
            writer.write(piece).unwrap();
        }
    }
    for (key, value) in metadata {
        writer.set(key, value.clone()).unwrap();
    }
    writer.finish().unwrap();
}

fn every_value() -> Metadata {
    let strings = StringArray::from_iter([&b"a"[..], b"", b"\xff\0 no text"]);
    let nested = vec![
        Array::Array(vec![Array::U8(vec![1, 2]), Array::Bool(vec![true, false])]),
        Array::String(strings.clone()),
        Array::Array(vec![]),
    ];
    let values: Vec<Value> = vec![
        Value::U8(u8::MAX),
        Value::I8(i8::MIN),
        Value::U16(u16::MAX),
        Value::I16(i16::MIN),
        Value::U32(u32::MAX),
        Value::I32(i32::MIN),
        Value::F32(-0.0),
        Value::Bool(true),
        Value::from("grüße"),
        Value::String(b"\xff\0\xfe".into()),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(f64::MIN_POSITIVE),
        Array::U8(vec![0, 255]).into(),
        Array::I8(vec![-1]).into(),
        Array::U16(vec![1, 2]).into(),
        Array::I16(vec![-1, 2]).into(),
        Array::U32(vec![3]).into(),
        Array::I32(vec![-3]).into(),
        Array::F32(vec![0.5, f32::INFINITY]).into(),
        Array::Bool(vec![false, true]).into(),
        Array::String(strings).into(),
        Array::Array(nested).into(),
        Array::U64(vec![]).into(),
        Array::I64(vec![i64::MAX]).into(),
        Array::F64(vec![1e300]).into(),
    ];
    let keys = (0..values.len()).map(|i| format!("key.{i}"));
    keys.zip(values).collect()
}

fn every_type() -> Vec<TensorInfo> {
    DType::ALL
        .iter()
        .filter(|dtype| dtype.ggml_id().is_some())
        .map(|&dtype| info(dtype.name(), dtype, &[3, 2 * dtype.block_len()]))
        .collect()
}

#[test]
fn every_value_and_type_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.gguf");
    let (metadata, tensors) = (every_value(), every_type());
    write(&path, Dialect::GgufPy, &metadata, &tensors);
    let model = quantlib::open(&path).unwrap();
    assert_eq!(model.format(), "gguf");
    assert_eq!(model.metadata(), &metadata);
    assert_eq!(model.tensors(), tensors);
    for info in &tensors {
        assert_eq!(model.read(&info.name).unwrap(), bytes_of(info));
    }
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "temporaries were left: {names:?}");
}

#[test]
fn declared_tensors_make_the_same_file_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let (spooled, declared) = (folder.path().join("a"), folder.path().join("b"));
    let (metadata, tensors) = (every_value(), every_type());
    write(&spooled, Dialect::GgufPy, &metadata, &tensors);
    let mut writer = Writer::create(&declared).unwrap();
    for (key, value) in &metadata {
        writer.set(key, value.clone()).unwrap();
    }
    writer.declare(tensors.clone()).unwrap();
    for info in tensors.iter().rev() {
        let data = bytes_of(info);
        writer
            .tensor(&info.name, info.dtype, &info.shape, &data)
            .unwrap();
    }
    writer.finish().unwrap();
    assert!(std::fs::read(spooled).unwrap() == std::fs::read(declared).unwrap());
}

/// The bytes that ggml and gguf-py write, put together by hand from the format's description.
#[test]
fn dialects() {
    let tensors = [
        info("a", DType::F32, &[1, 1, 3]),
        info("b", DType::F16, &[]),
    ];
    let metadata = Metadata::from_iter([("k".to_owned(), Value::Bool(true))]);
    let head = || Bytes::start(2, 1).string("k").u32(7).u8(1);
    let ggml = head()
        .string("a")
        .tensor_rest(&[3], 0, 0)
        .string("b")
        .tensor_rest(&[1], 1, 32);
    let py = head()
        .string("a")
        .tensor_rest(&[3, 1, 1], 0, 0)
        .string("b")
        .tensor_rest(&[], 1, 32);
    for (dialect, expected) in [(Dialect::Ggml, ggml), (Dialect::GgufPy, py)] {
        let laid_out = layout(&tensors, &metadata, dialect).unwrap();
        assert_eq!(laid_out.head, expected.0);
        let data = expected.0.len().next_multiple_of(32) as u64;
        assert_eq!(laid_out.offsets, [data, data + 32]);
        assert_eq!(laid_out.file_len, data + 64);
    }
    let empty = |dialect| layout(&[], &metadata, dialect).unwrap().file_len;
    assert_eq!(empty(Dialect::GgufPy), 38);
    assert_eq!(empty(Dialect::Ggml), 64);
}

#[test]
fn the_alignment_is_honoured() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [info("a", DType::F16, &[3]), info("b", DType::F16, &[3])];
    for alignment in [1u32, 8, 64, 4096] {
        let path = folder.path().join(format!("{alignment}.gguf"));
        let metadata =
            Metadata::from_iter([("general.alignment".to_owned(), Value::U32(alignment))]);
        write(&path, Dialect::Ggml, &metadata, &tensors);
        let model = quantlib::open(&path).unwrap();
        for (index, info) in tensors.iter().enumerate() {
            let at = model.location(index).unwrap().offset;
            assert!(at.is_multiple_of(alignment.into()));
            assert_eq!(model.read(&info.name).unwrap(), bytes_of(info));
        }
        let last = model.location(1).unwrap().offset;
        let len = std::fs::metadata(&path).unwrap().len();
        assert_eq!(len, (last + 6).next_multiple_of(alignment.into()));
    }
}

#[test]
fn parts_of_a_split_model_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |n: u16| folder.path().join(format!("m-{n:05}-of-00003.gguf"));
    let tensors = [
        info("a", DType::F32, &[5]),
        info("b", DType::Q8_0, &[2, 32]),
        info("c", DType::F16, &[7]),
    ];
    for (number, info) in (0u16..).zip(&tensors) {
        let mut metadata = Metadata::new();
        if number == 0 {
            metadata.insert("general.name".to_owned(), Value::from("split"));
        }
        metadata.insert("split.no".to_owned(), Value::U16(number));
        metadata.insert("split.count".to_owned(), Value::U16(3));
        metadata.insert("split.tensors.count".to_owned(), Value::I32(3));
        write(
            &at(number + 1),
            Dialect::Ggml,
            &metadata,
            std::slice::from_ref(info),
        );
    }
    for opened in 1..=3 {
        let model = quantlib::open(at(opened)).unwrap();
        assert_eq!(model.tensors(), tensors);
        assert_eq!(model.metadata()["general.name"], Value::from("split"));
        assert_eq!(model.files(), [at(1), at(2), at(3)]);
        for (index, info) in tensors.iter().enumerate() {
            assert_eq!(model.read(&info.name).unwrap(), bytes_of(info));
            let location = model.location(index).unwrap();
            let file = std::fs::read(model.files()[location.file]).unwrap();
            assert!(file[location.offset as usize..].starts_with(&bytes_of(info)));
        }
    }
}

/// A big-endian file of two tensors, put together by hand: the numbers of each block are turned
/// around, the codes are not.
#[test]
fn big_endian_files_read_as_little_endian() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.gguf");
    let blocks = |parts: &[(usize, usize)]| -> (Vec<u8>, Vec<u8>) {
        let (mut stored, mut expected) = (Vec::new(), Vec::new());
        for (i, &(len, count)) in parts.iter().cycle().take(parts.len() * 3).enumerate() {
            for j in 0..count {
                let number: Vec<u8> = (0..len).map(|k| (i * 50 + j * len + k) as u8).collect();
                expected.extend(&number);
                stored.extend(number.iter().rev());
            }
        }
        (stored, expected)
    };
    // Type, then the block's parts as (bytes of a number, how many).
    let types: [(DType, &[(usize, usize)]); 8] = [
        (DType::F32, &[(4, 1)]),
        (DType::BF16, &[(2, 1)]),
        (DType::I8, &[(1, 1)]),
        (DType::F64, &[(8, 1)]),
        (DType::Q8_0, &[(2, 1), (1, 32)]),
        (DType::Q4K, &[(2, 2), (1, 140)]),
        (DType::Q6K, &[(1, 208), (2, 1)]),
        (DType::Mxfp4, &[(1, 17)]),
    ];
    let mut head = Bytes::new().raw(b"GGUF").raw(&3u32.to_be_bytes());
    head = head.raw(&8u64.to_be_bytes()).raw(&2u64.to_be_bytes());
    let big = |bytes: Bytes, text: &str| {
        bytes
            .raw(&(text.len() as u64).to_be_bytes())
            .raw(text.as_bytes())
    };
    head = big(head, "n")
        .raw(&4u32.to_be_bytes())
        .raw(&7u32.to_be_bytes());
    head = big(head, "list")
        .raw(&9u32.to_be_bytes())
        .raw(&3u32.to_be_bytes());
    head = head
        .raw(&2u64.to_be_bytes())
        .raw(&(-2i16).to_be_bytes())
        .raw(&5i16.to_be_bytes());
    let (mut data, mut expected) = (Vec::new(), Vec::new());
    for (dtype, parts) in types {
        let (stored, values) = blocks(parts);
        head = big(head, dtype.name()).raw(&1u32.to_be_bytes());
        head = head.raw(&(3 * dtype.block_len() as u64).to_be_bytes());
        head = head.raw(&dtype.id().to_be_bytes());
        head = head.raw(&(data.len() as u64).to_be_bytes());
        data.extend(stored);
        data.resize(data.len().next_multiple_of(32), 0);
        expected.push((dtype.name(), values));
    }
    std::fs::write(&path, head.data(0).raw(&data).0).unwrap();
    let model = quantlib::open(&path).unwrap();
    assert_eq!(model.metadata()["n"], Value::U32(7));
    assert_eq!(model.metadata()["list"], Array::I16(vec![-2, 5]).into());
    for (name, values) in expected {
        assert_eq!(model.read(name).unwrap(), values, "{name}");
        let index = model.index_of(name).unwrap();
        for start in 0..values.len() {
            let end = (start + 1 + start % 97).min(values.len());
            let mut part = vec![0; end - start];
            model.read_at(index, start as u64, &mut part).unwrap();
            assert_eq!(part, values[start..end], "{name} {start}..{end}");
        }
    }
}

#[test]
fn the_writer_refuses_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    std::fs::write(&path, "old").unwrap();
    let check = |result: quantlib::Result<()>, says: &str, names: Option<&str>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        assert!(
            error.to_string().contains(says),
            "'{says}' is not in: {error}"
        );
        assert_eq!(error.file(), Some(path.as_path()), "{error}");
        assert_eq!(error.tensor().or(error.key()), names, "{error}");
    };
    let create = || Writer::create(&path).unwrap();
    let mut writer = create();
    check(writer.set("", 1u8), "must have a name", None);
    let key = Some("general.alignment");
    check(writer.set("general.alignment", 3u32), "power of two", key);
    check(writer.set("general.alignment", 32u64), "type u32", key);
    check(writer.write(&[0]), "start a tensor", None);
    let t = Some("t");
    check(
        writer.start_tensor("t", DType::U8, &[1]),
        "no type for u8",
        t,
    );
    check(
        writer.start_tensor("t", DType::F32, &[1; 5]),
        "at most 4",
        t,
    );
    check(
        writer.start_tensor("t", DType::Q4K, &[100]),
        "multiple of 256",
        t,
    );
    let long = "x".repeat(64);
    check(
        writer.start_tensor(&long, DType::F32, &[1]),
        "less than 64",
        Some(&long),
    );
    writer.start_tensor("t", DType::F32, &[2]).unwrap();
    writer.write(&[0; 4]).unwrap();
    check(writer.write(&[0; 5]), "only 4 are left", t);
    check(
        writer.start_tensor("u", DType::F32, &[2]),
        "4 were written",
        t,
    );
    check(writer.finish(), "4 were written", t);

    let mut writer = create();
    writer.tensor("t", DType::F32, &[1], &[0; 4]).unwrap();
    check(writer.start_tensor("t", DType::F32, &[1]), "already", t);
    check(writer.declare(vec![]), "declared once", None);
    drop(writer);

    let mut writer = create();
    let twice = vec![info("t", DType::F32, &[1]), info("t", DType::F32, &[1])];
    check(writer.declare(twice), "two tensors", t);
    writer.declare(vec![info("t", DType::F32, &[1])]).unwrap();
    check(writer.set("k", 1u8), "before the tensors", Some("k"));
    check(
        writer.start_tensor("u", DType::F32, &[1]),
        "not declared",
        Some("u"),
    );
    check(
        writer.start_tensor("t", DType::F16, &[1]),
        "declared as f32",
        t,
    );
    check(writer.finish(), "not written", t);
    // Nothing of all this touched the old file, and nothing is left.
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<f64>().prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|s| Value::String(s.into())),
    ]
}

fn arrays() -> impl Strategy<Value = Array> {
    let flat = prop_oneof![
        proptest::collection::vec(any::<i16>(), 0..9).prop_map(Array::I16),
        proptest::collection::vec(any::<bool>(), 0..9).prop_map(Array::Bool),
        proptest::collection::vec(any::<f64>(), 0..9).prop_map(Array::F64),
        proptest::collection::vec(".{0,5}", 0..9)
            .prop_map(|s| Array::String(s.into_iter().collect())),
    ];
    flat.prop_recursive(4, 20, 4, |inner| {
        proptest::collection::vec(inner, 0..4).prop_map(Array::Array)
    })
}

fn documents() -> impl Strategy<Value = Metadata> {
    let value = prop_oneof![scalars(), arrays().prop_map(Value::Array)];
    proptest::collection::vec((".{1,12}", value), 0..8).prop_map(Metadata::from_iter)
}

fn tensors() -> impl Strategy<Value = Vec<TensorInfo>> {
    let dtype = proptest::sample::select(vec![
        DType::F32,
        DType::BF16,
        DType::Q4_0,
        DType::I8,
        DType::Q6K,
    ]);
    let shape = proptest::collection::vec(0usize..4, 0..=4);
    let tensor = (dtype, shape).prop_map(|(dtype, mut shape)| {
        match shape.last_mut() {
            Some(cols) => *cols *= dtype.block_len(),
            None if dtype.is_quantized() => shape.push(dtype.block_len()),
            None => {}
        }
        (dtype, shape)
    });
    proptest::collection::vec(tensor, 0..6).prop_map(|tensors| {
        let named = tensors.into_iter().enumerate();
        named
            .map(|(i, (dtype, shape))| info(&format!("t.{i}"), dtype, &shape))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn written_read_and_written_again_is_the_same(
        metadata in documents(),
        tensors in tensors(),
        alignment in proptest::option::of(0u32..8),
        ggml in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1.gguf"), folder.path().join("2.gguf"));
        let dialect = if ggml { Dialect::Ggml } else { Dialect::GgufPy };
        let mut metadata = metadata;
        if let Some(power) = alignment {
            metadata.insert("general.alignment".to_owned(), Value::U32(1 << power));
        }
        write(&first, dialect, &metadata, &tensors);
        let model = Reader::open(&first).unwrap();
        for (stored, given) in model.tensors().iter().zip(&tensors) {
            prop_assert_eq!(&stored.name, &given.name);
            prop_assert_eq!(stored.elements(), given.elements());
            prop_assert_eq!(model.read(&stored.name).unwrap(), bytes_of(given));
            if !ggml {
                prop_assert_eq!(stored, given);
            }
        }
        write(&second, dialect, model.metadata(), model.tensors());
        prop_assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
    }
}

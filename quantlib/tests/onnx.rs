//! ONNX files: what is read, and that what is written is what was read.

mod onnx_bytes;

use onnx_bytes::{bytes, external, int, model, tensor, varint};
use quantlib::format::onnx::{Document, ExternalData, Message, SaveOptions, Tensor, Value};
use quantlib::job::{JobOptions, quantize_onnx};
use quantlib::model::Value as Meta;
use quantlib::recipe::onnx::{OnnxQuantization, OnnxRecipe};
use quantlib::{DType, ErrorKind};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const INITIALIZER: u32 = 5;

fn folder_with(name: &str, content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn copied(path: &Path, external_data: ExternalData) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.onnx");
    let mut options = SaveOptions::default();
    options.external_data = external_data;
    Document::open(path).unwrap().save(&out, &options).unwrap();
    (folder, out)
}

#[track_caller]
fn comes_back(content: &[u8]) {
    let (_folder, path) = folder_with("model.onnx", content);
    let (_out_folder, out) = copied(&path, ExternalData::Auto);
    assert_eq!(std::fs::read(out).unwrap(), content);
}

fn floats(count: u32) -> Vec<u8> {
    (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

#[test]
fn unknown_fields_come_back_in_their_order() {
    let group = [
        varint(99 << 3 | 3),
        int(1, 5),
        varint(98 << 3 | 3),
        varint(98 << 3 | 4),
        varint(99 << 3 | 4),
    ];
    let node = [
        bytes(4, "Relu"),
        bytes(77, "future"),
        int(78, u64::MAX),
        bytes(1, "x"),
    ]
    .concat();
    let mut graph = [bytes(1, node), group.concat(), bytes(2, "g")].concat();
    graph.extend([varint(60 << 3 | 5), vec![1, 2, 3, 4]].concat());
    graph.extend([varint(61 << 3 | 1), vec![1, 2, 3, 4, 5, 6, 7, 8]].concat());
    graph.extend(bytes(INITIALIZER, tensor("w", &[2, 200], &floats(400))));
    comes_back(&[model(graph), bytes(500, vec![7; 5000]), int(1, 10)].concat());
}

#[test]
fn padded_numbers_come_back_padded() {
    // The tag, the length and a number, each with bytes that say nothing.
    let graph = [
        vec![0x92, 0x80, 0x00, 0x83, 0x80, 0x80, 0x00],
        b"abc".to_vec(),
    ]
    .concat();
    comes_back(&[vec![0x08, 0x8a, 0x80, 0x00], bytes(7, graph)].concat());
}

#[test]
fn edits_change_lengths_and_nothing_else() {
    let (folder, path) = folder_with("model.onnx", &model(bytes(2, "short")));
    let mut document = Document::open(&path).unwrap();
    let long = "long".repeat(100);
    let graph = document.model_mut().message_mut(7).unwrap();
    graph.set(2, long.as_str());
    let out = folder.path().join("out.onnx");
    document.save(&out, &SaveOptions::default()).unwrap();
    assert_eq!(std::fs::read(out).unwrap(), model(bytes(2, &long)));
}

#[test]
fn every_way_to_store_elements_reads_alike() {
    let head =
        |name: &str, dtype: u64| [int(1, 2), int(1, 2), int(2, dtype), bytes(8, name)].concat();
    let packed: Vec<u8> = [1u64, 300, u64::MAX, 0]
        .into_iter()
        .flat_map(varint)
        .collect();
    let one_by_one: Vec<u8> = [1u64, 300, u64::MAX, 0]
        .into_iter()
        .flat_map(|n| int(5, n))
        .collect();
    let f32s: Vec<u8> = floats(4)
        .chunks(4)
        .flat_map(|f| [varint(4 << 3 | 5), f.to_vec()].concat())
        .collect();
    let tensors = [
        tensor("raw", &[2, 2], &floats(4)),
        [head("float_data", 1), bytes(4, floats(4))].concat(),
        [head("unpacked", 1), f32s].concat(),
        [
            head("two", 1),
            bytes(4, floats(1)),
            bytes(4, &floats(4)[4..]),
        ]
        .concat(),
        [head("i32", 6), bytes(5, &packed)].concat(),
        [head("i32 unpacked", 6), one_by_one].concat(),
        [head("i16", 5), bytes(5, &packed)].concat(),
        [head("u8", 2), bytes(5, &packed)].concat(),
        [head("i64", 7), bytes(7, &packed)].concat(),
    ];
    let graph: Vec<u8> = tensors.iter().flat_map(|t| bytes(INITIALIZER, t)).collect();
    let (_folder, path) = folder_with("model.onnx", &model(graph));
    let model = quantlib::open(path).unwrap();
    for name in ["raw", "float_data", "unpacked", "two"] {
        assert_eq!(model.tensor(name).unwrap().dtype, DType::F32);
        assert_eq!(model.read(name).unwrap(), floats(4), "{name}");
    }
    let i32s: Vec<u8> = [1i32, 300, -1, 0]
        .into_iter()
        .flat_map(i32::to_le_bytes)
        .collect();
    assert_eq!(model.read("i32").unwrap(), i32s);
    assert_eq!(model.read("i32 unpacked").unwrap(), i32s);
    assert_eq!(model.read("i16").unwrap(), [1, 0, 44, 1, 255, 255, 0, 0]);
    assert_eq!(model.read("u8").unwrap(), [1, 44, 255, 0]);
    let i64s: Vec<u8> = [1i64, 300, -1, 0]
        .into_iter()
        .flat_map(i64::to_le_bytes)
        .collect();
    assert_eq!(model.read("i64").unwrap(), i64s);
}

#[test]
fn long_lists_of_varints_are_read_by_position() {
    let numbers: Vec<i64> = (0..100_000).map(|i| (i * 7919) % 1_000_003 - 5).collect();
    let packed: Vec<u8> = numbers.iter().flat_map(|&n| varint(n as u64)).collect();
    let tensor = [int(1, 100_000), int(2, 7), bytes(8, "n"), bytes(7, packed)].concat();
    let (_folder, path) = folder_with("model.onnx", &model(bytes(INITIALIZER, tensor)));
    let model = quantlib::open(path).unwrap();
    let whole: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    assert_eq!(model.read("n").unwrap(), whole);
    for (offset, len) in [
        (0, 3),
        (5, 20),
        (32_765, 9),
        (65_536 * 8 - 1, 70_000),
        (799_999, 1),
    ] {
        let mut piece = vec![0; len];
        model.read_at(0, offset as u64, &mut piece).unwrap();
        assert_eq!(piece, whole[offset..][..len], "{offset}");
    }
}

#[test]
fn metadata_say_what_the_graph_is() {
    let dim = |field: u32, text: &[u8]| {
        bytes(
            1,
            if field == 1 {
                int(1, 3)
            } else {
                bytes(2, text)
            },
        )
    };
    let shape = [dim(1, b""), dim(2, b"batch")].concat();
    let input_type = bytes(1, [int(1, 7), bytes(2, shape)].concat());
    let input = [bytes(1, "ids"), bytes(2, input_type)].concat();
    let relu = bytes(1, [bytes(4, "Relu")].concat());
    let nested = bytes(
        1,
        [bytes(4, "MatMulNBits"), bytes(7, "com.microsoft")].concat(),
    );
    let branch = [
        nested,
        bytes(INITIALIZER, tensor("inner", &[1], &floats(1))),
    ]
    .concat();
    let attribute = bytes(5, [bytes(1, "then_branch"), bytes(6, branch)].concat());
    let iff = bytes(1, [bytes(4, "If"), attribute].concat());
    let string = bytes(
        INITIALIZER,
        [int(1, 1), int(2, 8), bytes(8, "text"), bytes(6, "hello")].concat(),
    );
    let graph = [
        relu.clone(),
        relu,
        iff,
        bytes(2, "main"),
        bytes(11, input),
        string,
    ]
    .concat();
    let property = bytes(14, [bytes(1, "author"), bytes(2, "me")].concat());
    let (_folder, path) = folder_with("model.onnx", &[model(graph), property].concat());
    let model = quantlib::open(path).unwrap();
    let text = |key: &str| match &model.metadata()[key] {
        Meta::String(text) => text.to_string(),
        Meta::Array(quantlib::model::Array::String(strings)) => {
            strings.iter().map(|s| s.to_string()).collect()
        }
        other => format!("{other:?}"),
    };
    assert_eq!(model.format(), "onnx");
    assert_eq!(text("onnx.ir_version"), "I64(10)");
    assert_eq!(text("onnx.opset.ai.onnx"), "I64(21)");
    assert_eq!(text("onnx.inputs"), "ids: i64[3,batch]");
    assert_eq!(text("onnx.graph"), "main");
    assert_eq!(text("onnx.nodes"), "U64(4)");
    assert_eq!(text("onnx.nodes.Relu"), "U64(2)");
    assert_eq!(text("onnx.nodes.com.microsoft.MatMulNBits"), "U64(1)");
    assert_eq!(text("onnx.subgraphs"), "U64(1)");
    assert_eq!(text("onnx.subgraph_initializers"), "U64(1)");
    assert_eq!(text("onnx.other_initializers.string"), "U64(1)");
    assert_eq!(text("onnx.property.author"), "me");
    assert!(model.tensors().is_empty());
}

#[test]
fn external_data_move_out_and_in() {
    let small = bytes(INITIALIZER, tensor("small", &[3], &floats(3)));
    let large = bytes(INITIALIZER, tensor("large", &[20, 20], &floats(400)));
    let typed = [
        int(1, 400),
        int(2, 1),
        bytes(8, "typed"),
        bytes(4, floats(400)),
    ]
    .concat();
    let whole = model([small, large, bytes(INITIALIZER, typed)].concat());
    let (_folder, path) = folder_with("model.onnx", &whole);
    let (folder, out) = copied(&path, ExternalData::Always);
    let data = std::fs::read(folder.path().join("out.onnx.data")).unwrap();
    assert_eq!(data, [floats(400), floats(400)].concat());
    let document = Document::open(&out).unwrap();
    let graph = document.graph();
    let tensors: Vec<_> = graph.messages(INITIALIZER).map(Tensor::new).collect();
    assert_eq!(
        tensors.iter().map(Tensor::is_external).collect::<Vec<_>>(),
        [false, true, true]
    );
    let opened = quantlib::open(&out).unwrap();
    assert_eq!(opened.files().len(), 2);
    for (name, count) in [("small", 3), ("large", 400), ("typed", 400)] {
        assert_eq!(opened.read(name).unwrap(), floats(count));
    }
    // A copy keeps data outside; asked to, it takes them back in.
    let (again, out_again) = copied(&out, ExternalData::Auto);
    assert_eq!(
        std::fs::read(&out_again).unwrap(),
        std::fs::read(&out).unwrap()
    );
    assert_eq!(
        std::fs::read(again.path().join("out.onnx.data")).unwrap(),
        data
    );
    let (alone, out_alone) = copied(&out, ExternalData::Never);
    assert_eq!(std::fs::read_dir(alone.path()).unwrap().count(), 1);
    assert_eq!(
        quantlib::open(out_alone).unwrap().read("typed").unwrap(),
        floats(400)
    );
}

#[test]
fn data_lie_in_the_folder_or_below_it() {
    let fields = [
        ("location", "weights/w.bin"),
        ("offset", "3"),
        ("length", "16"),
        ("checksum", "abc"),
    ];
    let (folder, path) = folder_with("model.onnx", &model(bytes(INITIALIZER, external(&fields))));
    std::fs::create_dir(folder.path().join("weights")).unwrap();
    std::fs::write(
        folder.path().join("weights/w.bin"),
        [vec![9; 3], floats(4)].concat(),
    )
    .unwrap();
    assert_eq!(quantlib::open(&path).unwrap().read("w").unwrap(), floats(4));
    let (_out, out) = copied(&path, ExternalData::Auto);
    let written = std::fs::read(out).unwrap();
    let fields = [
        ("location", "out.onnx.data"),
        ("offset", "0"),
        ("length", "16"),
        ("checksum", "abc"),
    ];
    assert_eq!(written, model(bytes(INITIALIZER, external(&fields))));
}

#[test]
#[cfg(unix)]
fn a_cache_of_links_opens_and_a_link_out_of_the_folder_does_not() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (folder.path().join("blobs"), folder.path().join("snapshot"));
    std::fs::create_dir(&blobs).unwrap();
    std::fs::create_dir(&snapshot).unwrap();
    let content = model(bytes(
        INITIALIZER,
        external(&[("location", "model.onnx_data")]),
    ));
    std::fs::write(blobs.join("0"), content.clone()).unwrap();
    std::fs::write(blobs.join("1"), floats(4)).unwrap();
    symlink("../blobs/0", snapshot.join("model.onnx")).unwrap();
    symlink("../blobs/1", snapshot.join("model.onnx_data")).unwrap();
    let model = quantlib::open(snapshot.join("model.onnx")).unwrap();
    assert_eq!(model.read("w").unwrap(), floats(4));
    // The same data, but the model is no link: they lie outside.
    std::fs::remove_file(snapshot.join("model.onnx")).unwrap();
    std::fs::write(snapshot.join("model.onnx"), content).unwrap();
    let error = quantlib::open(snapshot.join("model.onnx")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains("leads out of the folder"),
        "{error}"
    );
    assert_eq!(error.key(), Some("external_data.location"));
}

#[test]
fn the_output_is_no_input() {
    let content = model(bytes(
        INITIALIZER,
        external(&[("location", "model.onnx.data")]),
    ));
    let (folder, path) = folder_with("model.onnx", &content);
    let data = folder.path().join("model.onnx.data");
    std::fs::write(&data, floats(4)).unwrap();
    let document = Document::open(&path).unwrap();
    for out in [&path, &folder.path().join("model.onnx.data")] {
        let error = document.save(out, &SaveOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(std::fs::read(&data).unwrap(), floats(4));
}

#[test]
fn messages_are_edited_in_place() {
    let mut message = Message::default();
    message.push(3, "a");
    message.push(4, 1);
    message.push(3, "b");
    message.set(3, "c");
    assert_eq!(message.texts(3).collect::<Vec<_>>(), ["a", "c"]);
    message.set(5, -1);
    assert_eq!((message.int(5), message.text(3)), (Some(-1), "c"));
    message.remove(3);
    assert_eq!(message.fields().len(), 2);
    assert_eq!(message.get(4), Some(&Value::Varint(1)));
}

/// `y = x · w`, and how `w` comes out quantized with these options.
fn int4_of(path: &Path, options: JobOptions<'_>) -> Vec<u8> {
    let out = path.with_extension("int4.onnx");
    let mut wish = OnnxQuantization::new(OnnxRecipe::Int4);
    wish.block_size = 16;
    quantize_onnx(path, &out, &wish, options).unwrap();
    std::fs::read(out).unwrap()
}

#[test]
fn quantized_weights_do_not_depend_on_threads_or_memory() {
    let (k, n) = (200, 75);
    let values = (0..k * n).map(|i| ((i * 7919 % 1013) as f32 - 500.0) / 300.0);
    let raw: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let node = [
        bytes(1, "x"),
        bytes(1, "w"),
        bytes(2, "y"),
        bytes(4, "MatMul"),
        bytes(99, "new"),
    ];
    let graph = [
        bytes(1, node.concat()),
        bytes(5, tensor("w", &[k, n], &raw)),
    ]
    .concat();
    let (_folder, path) = folder_with("model.onnx", &model(graph));
    let expected = int4_of(&path, JobOptions::default());
    for (threads, memory_limit) in [(1, 72 << 10), (3, 96 << 10), (2, 1 << 20)] {
        let mut options = JobOptions::default();
        options.threads = threads;
        options.memory_limit = memory_limit;
        assert!(
            int4_of(&path, options) == expected,
            "{threads} threads, {memory_limit} bytes"
        );
    }
    let quantized = quantlib::open(path.with_extension("int4.onnx")).unwrap();
    let shapes: Vec<_> = quantized
        .tensors()
        .iter()
        .map(|t| (&t.name[..], &t.shape[..]))
        .collect();
    let blocks = (k as usize).div_ceil(16);
    assert_eq!(
        shapes,
        [
            ("w_Q4", &[75, blocks, 8][..]),
            ("w_scales", &[75, blocks]),
            ("w_zero_points", &[75, blocks.div_ceil(2)]),
        ]
    );
}

#[test]
fn too_little_memory_leaves_nothing() {
    let node = [
        bytes(1, "x"),
        bytes(1, "w"),
        bytes(2, "y"),
        bytes(4, "MatMul"),
    ]
    .concat();
    let graph = [
        bytes(1, node),
        bytes(5, tensor("w", &[64, 64], &[0; 64 * 64 * 4])),
    ]
    .concat();
    let (folder, path) = folder_with("model.onnx", &model(graph));
    let mut options = JobOptions::default();
    options.memory_limit = 100;
    let wish = OnnxQuantization::new(OnnxRecipe::Int4);
    let out = folder.path().join("out.onnx");
    let error = quantize_onnx(&path, out, &wish, options).unwrap_err();
    assert_eq!(
        (error.kind(), error.tensor()),
        (ErrorKind::Limit, Some("w_Q4")),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

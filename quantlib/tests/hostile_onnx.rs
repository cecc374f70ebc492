//! ONNX files that lie: each must be refused at once, with an error that says what and where.

mod onnx_bytes;

use onnx_bytes::{bytes, external, int, model, tensor, varint};
use quantlib::format::onnx::{Document, Reader};
use quantlib::io::Limits;
use quantlib::{Error, ErrorKind};

use ErrorKind::{Io, Limit, Malformed, Unsupported};

fn refused_with(content: &[u8], limits: &Limits) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.onnx");
    std::fs::write(&path, content).unwrap();
    let error = Reader::open_with(&path, limits).expect_err("a hostile file was accepted");
    assert_eq!(error.file(), Some(path.as_path()), "{error}");
    error
}

/// What an error must be: its kind, a part of its sentence, and the tensor or key it names.
#[track_caller]
fn refused(content: &[u8], kind: ErrorKind, says: &str, names: Option<&str>) {
    expect(
        &refused_with(content, &Limits::default()),
        kind,
        says,
        names,
    );
}

#[track_caller]
fn expect(error: &Error, kind: ErrorKind, says: &str, names: Option<&str>) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(
        error.to_string().contains(says),
        "'{says}' is not in: {error}"
    );
    assert_eq!(error.tensor().or(error.key()), names, "{error}");
}

/// A model whose graph has one initializer.
fn with(tensor: impl AsRef<[u8]>) -> Vec<u8> {
    model(bytes(5, tensor))
}

#[test]
fn every_truncation_is_refused() {
    let node = [
        bytes(4, "Relu"),
        bytes(5, [bytes(1, "a"), int(3, 7)].concat()),
    ]
    .concat();
    let graph = [bytes(1, node), bytes(5, tensor("w", &[2], &[0; 8]))].concat();
    let whole = [int(1, 10), bytes(7, graph)].concat();
    for len in 0..whole.len() {
        let error = refused_with(&whole[..len], &Limits::default());
        assert_eq!(error.kind(), Malformed, "{len}: {error}");
    }
}

#[test]
fn whatever_byte_is_damaged_nothing_panics() {
    let node = [
        bytes(4, "If"),
        bytes(5, [bytes(1, "a"), bytes(6, bytes(2, "g"))].concat()),
    ]
    .concat();
    let graph = [
        bytes(1, node),
        bytes(5, tensor("w", &[2], &[0; 8])),
        bytes(11, bytes(1, "x")),
    ]
    .concat();
    let whole = model(graph);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.onnx");
    for at in 0..whole.len() {
        for value in [0, 1, 0x0b, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            std::fs::write(&path, &damaged).unwrap();
            if let Ok(opened) = Reader::open(&path) {
                for info in opened.tensors() {
                    assert_eq!(opened.read(&info.name).unwrap().len(), info.nbytes());
                }
            }
        }
    }
}

#[test]
fn lengths_that_lie() {
    let lying = |len: u64| [int(1, 10), varint(7 << 3 | 2), varint(len), vec![0; 3]].concat();
    for len in [4, 1 << 31, 1 << 62, u64::MAX] {
        refused(&lying(len), Malformed, "says that it has", None);
    }
    // Within the file, but not within the message that it lies in.
    let name = [varint(8 << 3 | 2), varint(20), b"w".to_vec()].concat();
    let content = [with(name), vec![0; 100]].concat();
    refused(
        &content,
        Malformed,
        "field name",
        Some("graph.initializer[0]"),
    );
}

#[test]
fn numbers_that_are_none() {
    let endless = [vec![0x08], vec![0xff; 12]].concat();
    refused(&endless, Malformed, "more than 64 bits", None);
    let too_large = [vec![0x08], vec![0xff; 9], vec![0x02]].concat();
    refused(&too_large, Malformed, "more than 64 bits", None);
    refused(&[0x08, 0xff], Malformed, "ends inside a field", None);
    refused(&[0x00, 0x00], Malformed, "impossible number", None);
    let number = [varint((1 << 32) << 3), vec![0]].concat();
    refused(&number, Malformed, "impossible number", None);
}

#[test]
fn wire_types_and_groups() {
    for wire_type in [4, 6, 7] {
        let content = model(varint(3 << 3 | wire_type));
        refused(&content, Malformed, "wire type", Some("graph"));
    }
    let open = varint(99 << 3 | 3);
    refused(
        &model(open.clone()),
        Malformed,
        "ends inside a field",
        Some("graph"),
    );
    let crossed = [open.clone(), varint(98 << 3 | 4)].concat();
    refused(
        &model(crossed),
        Malformed,
        "ends as that of field 98",
        Some("graph"),
    );
    refused(
        &model(open.repeat(1000)),
        Limit,
        "nested too deeply",
        Some("graph"),
    );
}

#[test]
fn nesting_is_limited() {
    let mut graph = bytes(2, "innermost");
    for _ in 0..10_000 {
        graph = bytes(1, bytes(5, bytes(6, graph)));
    }
    let error = refused_with(&model(graph), &Limits::default());
    assert_eq!(error.kind(), Limit);
    assert!(
        error
            .key()
            .unwrap()
            .starts_with("graph.node[0].attribute[0].g.node[0]"),
        "{error}"
    );
}

#[test]
fn counts_are_limited() {
    let nodes = model(bytes(1, "").repeat(2000));
    let mut limits = Limits::default();
    limits.fields = 1000;
    expect(
        &refused_with(&nodes, &limits),
        Limit,
        "more fields",
        Some("graph"),
    );
    let mut limits = Limits::default();
    limits.tensors = 1;
    let tensors = [
        bytes(5, tensor("a", &[0], &[])),
        bytes(5, tensor("b", &[0], &[])),
    ]
    .concat();
    expect(
        &refused_with(&model(tensors), &limits),
        Limit,
        "2 tensors",
        None,
    );
    let mut limits = Limits::default();
    limits.header_bytes = 100;
    let texts = model(bytes(10, "x".repeat(200)));
    expect(
        &refused_with(&texts, &limits),
        Limit,
        "besides its tensors",
        Some("graph"),
    );
    let long = with(tensor(&"n".repeat(1 << 17), &[1], &[0; 4]));
    refused(&long, Limit, "131072 bytes", Some("graph.initializer[0]"));
    let dims = with(tensor("w", &[1; 9], &[0; 4]));
    refused(&dims, Limit, "9 dimensions", Some("w"));
}

#[test]
fn what_is_no_model() {
    refused(b"", Malformed, "has no graph", None);
    refused(b"<html>Not found</html>", Malformed, "", None);
    refused(&int(1, 10), Malformed, "has no graph", None);
    refused(&bytes(7, ""), Malformed, "no IR version", None);
    let twice = [model(""), bytes(7, "")].concat();
    refused(&twice, Malformed, "graph is there twice", None);
    let name = with(
        [
            int(1, 1),
            int(2, 1),
            bytes(8, b"\xff\xfe"),
            bytes(9, [0; 4]),
        ]
        .concat(),
    );
    refused(&name, Malformed, "not UTF-8", Some("graph.initializer[0]"));
}

#[test]
fn tensors_that_lie() {
    let short = with(tensor("w", &[2, 3], &[0; 20]));
    refused(&short, Malformed, "has 20 bytes", Some("w"));
    let negative = with(tensor("w", &[u64::MAX], &[]));
    refused(&negative, Malformed, "dimension of -1", Some("w"));
    let huge = with(tensor("w", &[1 << 40, 1 << 40], &[]));
    refused(&huge, Limit, "too large", Some("w"));
    let huge = with(tensor("w", &[0, 1 << 40, 1 << 40], &[]));
    refused(&huge, Limit, "too large", Some("w"));
    let few = with([int(1, 3), int(2, 6), bytes(8, "w"), bytes(5, [1, 2])].concat());
    refused(&few, Malformed, "has 2 numbers", Some("w"));
    let cut = with([int(1, 2), int(2, 6), bytes(8, "w"), bytes(5, [1, 0x82])].concat());
    refused(&cut, Malformed, "numbers", Some("w"));
    let dims = with([bytes(1, [0x80]), int(2, 6), bytes(8, "w")].concat());
    refused(&dims, Malformed, "ends inside a field", Some("w"));
    let twice = bytes(5, tensor("w", &[1], &[0; 4])).repeat(2);
    refused(
        &model(twice),
        Malformed,
        "two tensors of this name",
        Some("w"),
    );
    let part = [bytes(5, vec![1; 2000]), bytes(5, vec![1; 2000])].concat();
    let pieces = with([int(1, 4000), int(2, 6), bytes(8, "w"), part].concat());
    refused(&pieces, Unsupported, "several long pieces", Some("w"));
}

#[test]
fn external_data_stay_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), [0; 16]).unwrap();
    std::fs::create_dir(folder.path().join("model")).unwrap();
    let path = folder.path().join("model/model.onnx");
    let absolute = folder.path().join("secret").display().to_string();
    let refused = |location: &str, kind: ErrorKind, says: &str| {
        std::fs::write(&path, with(external(&[("location", location)]))).unwrap();
        let error = Document::open(&path).expect_err(location);
        expect(&error, kind, says, Some("w"));
        assert_eq!(error.key(), Some("external_data.location"), "{error}");
        assert!(error.file().is_some(), "{error}");
    };
    for location in ["../secret", "x/../../secret", "..", "x\\..\\..\\secret"] {
        refused(location, Malformed, "the folder of the model");
    }
    for location in [
        &absolute[..],
        "/etc/passwd",
        "\\\\server\\share",
        "C:\\secret",
        "C:secret",
    ] {
        refused(location, Malformed, "the folder of the model");
    }
    refused("", Malformed, "names no file");
    refused("a\0b", Malformed, "names no file");
    refused("missing", Io, "missing");
    std::fs::create_dir(folder.path().join("model/folder")).unwrap();
    refused("folder", ErrorKind::Misuse, "not a regular file");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret", folder.path().join("model/link")).unwrap();
        refused("link", Malformed, "leads out of the folder");
        std::os::unix::fs::symlink("..", folder.path().join("model/up")).unwrap();
        refused("up/secret", Malformed, "leads out of the folder");
    }
}

#[test]
fn external_data_have_the_bytes_they_claim() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(folder.path().join("data"), [0; 16]).unwrap();
    let refused = |offset: &str, length: &str, says: &str, key: &str| {
        let fields = [("location", "data"), ("offset", offset), ("length", length)];
        std::fs::write(&path, with(external(&fields))).unwrap();
        let error = Document::open(&path).expect_err(says);
        expect(&error, Malformed, says, Some("w"));
        assert_eq!(error.key(), Some(key), "{error}");
    };
    refused("1", "16", "only 16", "external_data.length");
    refused("0", "17", "only 16", "external_data.length");
    refused("0", "15", "elements for 16", "external_data.length");
    refused(
        "18446744073709551615",
        "16",
        "only 16",
        "external_data.length",
    );
    refused("-1", "16", "no number of bytes", "external_data.offset");
    refused(
        "0",
        "99999999999999999999",
        "no number of bytes",
        "external_data.length",
    );
    let mut limits = Limits::default();
    limits.files = 1;
    std::fs::write(&path, with(external(&[("location", "data")]))).unwrap();
    let error = Document::open_with(&path, &limits).unwrap_err();
    expect(&error, Limit, "more than 1 files", Some("w"));
}

//! Safetensors that lie: each must be refused at once, with an error that says what and where.

mod report;

use quantlib::format::safetensors::Reader;
use quantlib::io::Limits;
use quantlib::{Error, ErrorKind};
use report::not_run;
use std::path::Path;

/// A file of this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Opens `bytes` as a file and returns the error, which must name the file.
fn refused_with(bytes: &[u8], limits: &Limits) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let error = Reader::open_with(&path, limits).expect_err("a hostile file was accepted");
    assert_eq!(error.file(), Some(path.as_path()), "{error}");
    error
}

fn refused(header: &str, data: usize) -> Error {
    refused_with(&file(header, data), &Limits::default())
}

/// What an error must be: its kind, a part of its sentence, and the tensor or key it names.
#[track_caller]
fn expect(error: &Error, kind: ErrorKind, says: &str, names: Option<&str>) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(
        error.to_string().contains(says),
        "'{says}' is not in: {error}"
    );
    assert_eq!(error.tensor().or(error.key()), names, "{error}");
}

use ErrorKind::{Limit, Malformed, Unsupported};

const VALID: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}"#;

#[test]
fn the_valid_file_that_the_others_are_made_from_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("valid.safetensors");
    std::fs::write(&path, file(VALID, 22)).unwrap();
    assert_eq!(Reader::open(path).unwrap().tensors().len(), 2);
}

#[test]
fn lengths_of_the_header() {
    let limits = Limits::default();
    for len in [1u64, 1 << 31, 1 << 62, u64::MAX] {
        let error = refused_with(&len.to_le_bytes(), &limits);
        expect(&error, Malformed, "but only 0 follow", None);
    }
    expect(&refused_with(b"", &limits), Malformed, "truncated", None);
    expect(&refused("", 0), Malformed, "does not begin with '{'", None);
    expect(
        &refused(" {}", 0),
        Malformed,
        "does not begin with '{'",
        None,
    );
    let mut small = Limits::default();
    small.header_bytes = 20;
    expect(
        &refused_with(&file(VALID, 22), &small),
        Limit,
        "more than the limit of 20",
        None,
    );
}

/// A file that is long only on paper does not make the reader read or allocate as much.
#[test]
fn a_header_as_long_as_a_sparse_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.safetensors");
    std::fs::write(&path, (1u64 << 39).to_le_bytes()).unwrap();
    let sparse = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    if let Err(error) = sparse.set_len(1 << 40) {
        not_run(&format!("the file system has no sparse files: {error}"));
        return;
    }
    let error = Reader::open(&path).unwrap_err();
    expect(&error, Limit, "more than the limit of 100000000", None);
}

#[test]
fn every_truncation_is_an_error() {
    let whole = file(VALID, 22);
    for len in 0..whole.len() {
        let error = refused_with(&whole[..len], &Limits::default());
        assert_eq!(error.kind(), Malformed, "at {len}");
    }
}

#[test]
fn headers_that_are_no_objects_of_tensors() {
    for header in ["{", "{]", "{}{}", "{\"a\":}", "{\"a\":1,}"] {
        expect(&refused(header, 0), Malformed, "no valid JSON object", None);
    }
    let mut bytes = file("{\"xx\":1}", 0);
    bytes[10] = 0xFF;
    let error = refused_with(&bytes, &Limits::default());
    expect(&error, Malformed, "not UTF-8", None);
    let entries = [
        "1",
        "[]",
        "null",
        "{}",
        r#"{"dtype":"F32","shape":[1]}"#,
        r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#,
        r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}"#,
        r#"{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}"#,
    ];
    for entry in entries {
        let error = refused(&format!("{{\"t\":{entry}}}"), 4);
        expect(&error, Malformed, "entry in the header is wrong", Some("t"));
    }
}

#[test]
fn deep_values() {
    let deep = format!("{{\"t\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused(&deep, 0).kind(), Malformed);
}

#[test]
fn duplicates() {
    let twice = r#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    expect(&refused(twice, 2), Malformed, "two entries 't'", None);
    let escaped = r#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0074":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    expect(&refused(escaped, 2), Malformed, "two entries 't'", None);
    let metadata = r#"{"__metadata__":{"k":"1","k":"2"}}"#;
    expect(
        &refused(metadata, 0),
        Malformed,
        "two entries 'k'",
        Some("__metadata__"),
    );
    let number = r#"{"__metadata__":{"k":1}}"#;
    expect(
        &refused(number, 0),
        Malformed,
        "object of strings",
        Some("__metadata__"),
    );
}

#[test]
fn types() {
    for name in ["F4", "F6_E2M3", "F8_E4M3FNUZ", "C64", "f32", "Q4_K", ""] {
        let header = format!(r#"{{"t":{{"dtype":"{name}","shape":[2],"data_offsets":[0,1]}}}}"#);
        expect(
            &refused(&header, 1),
            Unsupported,
            &format!("'{name}'"),
            Some("t"),
        );
    }
}

#[test]
fn shapes_and_offsets() {
    let tensor = |shape: &str, offsets: &str, data| {
        let header =
            format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        refused(&header, data)
    };
    for shape in [
        "[18446744073709551615]",
        "[9223372036854775808,2]",
        "[4294967296,4294967296,4294967296]",
    ] {
        expect(
            &tensor(shape, "[0,4]", 4),
            Malformed,
            "impossible shape",
            Some("t"),
        );
    }
    let many = format!("[{}1]", "1,".repeat(1000));
    expect(
        &tensor(&many, "[0,4]", 4),
        Limit,
        "1001 dimensions",
        Some("t"),
    );
    for offsets in [
        "[0,3]",
        "[0,5]",
        "[4,0]",
        "[1,0]",
        "[0,18446744073709551615]",
    ] {
        expect(
            &tensor("[1]", offsets, 8),
            Malformed,
            "do not hold the 4 bytes",
            Some("t"),
        );
    }
    let far = "[18446744073709551611,18446744073709551615]";
    expect(&tensor("[1]", far, 4), Malformed, "ends behind", Some("t"));
    expect(
        &tensor("[1]", "[4,8]", 8),
        Malformed,
        "the one before ends at 0",
        Some("t"),
    );
    expect(
        &tensor("[1]", "[0,4]", 5),
        Malformed,
        "1 bytes that belong to no tensor",
        None,
    );
    let overlap = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}"#;
    expect(
        &refused(overlap, 7),
        Malformed,
        "inside another tensor",
        Some("b"),
    );
    let gap = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}"#;
    expect(
        &refused(gap, 9),
        Malformed,
        "the one before ends at 4",
        Some("b"),
    );
}

#[test]
fn limits() {
    let mut few = Limits::default();
    few.tensors = 2;
    expect(
        &refused_with(&file(VALID, 22), &few),
        Limit,
        "3 tensors",
        None,
    );
    let mut short = Limits::default();
    short.name_bytes = 2;
    let header = r#"{"abc":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let error = refused_with(&file(header, 1), &short);
    expect(&error, Limit, "3 bytes", Some("abc"));
}

/// Writes two shards and an index of this text, and opens the index.
fn indexed(folder: &Path, index: &str) -> Error {
    let shard = |name| format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
    std::fs::write(folder.join("1.safetensors"), file(&shard("a"), 1)).unwrap();
    std::fs::write(folder.join("2.safetensors"), file(&shard("b"), 1)).unwrap();
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, index).unwrap();
    Reader::open(&path).expect_err("a hostile index was accepted")
}

#[test]
fn indices() {
    let folder = tempfile::tempdir().unwrap();
    let check = |map: &str, kind, says: &str, names: Option<&str>| {
        let error = indexed(folder.path(), &format!("{{\"weight_map\":{{{map}}}}}"));
        expect(&error, kind, says, names);
        assert!(error.file().is_some(), "{error}");
    };
    let (a, b) = (r#""a":"1.safetensors""#, r#""b":"2.safetensors""#);
    let weights = Some("weight_map");
    for outside in [
        "../1.safetensors",
        "/etc/passwd",
        "x/1.safetensors",
        "",
        ".",
        "..",
        "./x",
    ] {
        check(
            &format!(r#""a":"{outside}""#),
            Malformed,
            "is no file name",
            weights,
        );
    }
    check(
        r#""a":"none.safetensors""#,
        ErrorKind::Io,
        "cannot open",
        None,
    );
    check(
        &format!(r#"{a},{b},"c":"2.safetensors""#),
        Malformed,
        "no shard has it",
        Some("c"),
    );
    check(&format!(r#"{a},{a}"#), Malformed, "two entries 'a'", None);
    check(
        &format!(r#"{b},"b2":"1.safetensors""#),
        Malformed,
        "no shard has it",
        Some("b2"),
    );
    std::fs::write(folder.path().join("more.safetensors"), file(VALID, 22)).unwrap();
    check(
        r#""a":"more.safetensors""#,
        Malformed,
        "does not name it",
        Some("b"),
    );
    check(
        &format!(r#"{a},"b":"more.safetensors""#),
        Malformed,
        "two tensors",
        Some("a"),
    );
    for text in [
        "",
        "[]",
        "{}",
        "{\"weight_map\":[]}",
        "{\"weight_map\":{\"a\":1}}",
    ] {
        let error = indexed(folder.path(), text);
        expect(&error, Malformed, "no valid index", None);
    }
}

#[test]
fn other_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], says: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = quantlib::open(&path).unwrap_err();
        expect(&error, Unsupported, says, None);
        assert_eq!(error.file(), Some(path.as_path()));
    };
    check(
        "pytorch_model.bin",
        b"PK\x03\x04rest of an archive",
        "PyTorch",
    );
    check(
        "old.pt",
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        "PyTorch",
    );
    check("weights.bin", b"anything", "PyTorch");
    check("ggml-model.bin", b"lmgg\x01\0\0\0", "before GGUF");
    check("ggjt.bin", b"tjgg\x03\0\0\0", "before GGUF");
    check(
        "notes.txt",
        b"just a text, of some length",
        ".gguf, .safetensors",
    );
    check("empty", b"", ".gguf, .safetensors");
    let empty = tempfile::tempdir().unwrap();
    let error = quantlib::open(empty.path()).unwrap_err();
    expect(&error, Unsupported, "no model*.safetensors", None);
    let missing = quantlib::open(folder.path().join("missing.gguf")).unwrap_err();
    expect(&missing, ErrorKind::Io, "cannot open", None);
}

/// Headers of this length look like the start of a pickle.
#[test]
fn a_header_length_like_a_pickle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let header = format!("{VALID:640}");
    std::fs::write(&path, file(&header, 22)).unwrap();
    assert_eq!(quantlib::open(&path).unwrap().format(), "safetensors");
}

#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.safetensors");
    let whole = file(VALID, 22);
    let mut state = 1u64;
    let mut below = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 33) as usize) % end
    };
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..=below(2) {
            let at = below(bytes.len());
            bytes[at] = match below(3) {
                0 => bytes[at] ^ (1 << below(8)),
                1 => b"0123456789[]{},\":"[below(17)],
                _ => below(256) as u8,
            };
        }
        std::fs::write(&path, &bytes).unwrap();
        match Reader::open(&path) {
            Ok(model) => {
                opened += 1;
                for info in model.tensors() {
                    assert_eq!(model.read(&info.name).unwrap().len(), info.nbytes());
                }
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.file(), Some(path.as_path()), "{error}");
            }
        }
    }
    assert!(
        opened > 100 && refused > 100,
        "{opened} opened, {refused} refused"
    );
}

//! GGUF files that lie: each must be refused at once, with an error that says what and where.

mod gguf_bytes;
mod report;

use gguf_bytes::{Bytes, valid};
use quantlib::format::gguf::Reader;
use quantlib::io::Limits;
use quantlib::{Error, ErrorKind};
use report::not_run;
use std::path::Path;

/// Opens `bytes` as a file and returns the error, which must name the file.
fn refused_with(bytes: &[u8], limits: &Limits) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.gguf");
    std::fs::write(&path, bytes).unwrap();
    let error = Reader::open_with(&path, limits).expect_err("a hostile file was accepted");
    assert_eq!(error.file(), Some(path.as_path()), "{error}");
    error
}

fn refused(bytes: &[u8]) -> Error {
    refused_with(bytes, &Limits::default())
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

#[test]
fn the_valid_file_that_the_others_are_made_from_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("valid.gguf");
    std::fs::write(&path, valid()).unwrap();
    let model = Reader::open(path).unwrap();
    assert_eq!(model.tensors().len(), 2);
    assert_eq!(model.metadata().len(), 6);
}

#[test]
fn magic_and_version() {
    expect(&refused(b""), Malformed, "ends inside its header", None);
    expect(&refused(b"GGU"), Malformed, "ends inside its header", None);
    expect(&refused(b"GGML\x03\0\0\0"), Malformed, "with 'GGML'", None);
    expect(&refused(b"GGUF"), Malformed, "ends inside its header", None);
    let versions = [
        (0u32, Malformed, "version is 0"),
        (1, Unsupported, "version 1"),
        (4, Unsupported, "version 4"),
        (0x0100_0000, Unsupported, "version 1"),
        (0x0400_0000, Unsupported, "version 4"),
        (u32::MAX, Unsupported, "version 4294967295"),
    ];
    for (version, kind, says) in versions {
        let file = Bytes::new().raw(b"GGUF").u32(version).u64(0).u64(0);
        expect(&refused(&file.0), kind, says, None);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let whole = valid();
    for len in 0..whole.len() {
        assert_eq!(refused(&whole[..len]).kind(), Malformed, "at {len}");
    }
}

#[test]
fn counts_beyond_the_file() {
    for count in [3u64, 1 << 20, 1 << 40, 1 << 63, u64::MAX] {
        let tensors = Bytes::start(count, 0).zeros(50);
        expect(&refused(&tensors.0), Malformed, "tensors, but only", None);
        let keys = Bytes::start(0, count).zeros(30);
        expect(
            &refused(&keys.0),
            Malformed,
            "metadata keys, but only",
            None,
        );
        for element in 0..=12 {
            let array = Bytes::start(0, 1)
                .string("k")
                .u32(9)
                .u32(element)
                .u64(count);
            let error = refused(&array.zeros(2).0);
            expect(&error, Malformed, "but only 2 bytes follow", Some("k"));
        }
    }
}

#[test]
fn lengths_beyond_the_file() {
    for len in [9u64, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
        let key = Bytes::start(0, 1).u64(len).raw(b"12345678");
        expect(
            &refused(&key.0),
            Malformed,
            "bytes of text, but only 8",
            None,
        );
        let value = Bytes::start(0, 1)
            .string("k")
            .u32(8)
            .u64(len)
            .raw(b"12345678");
        expect(&refused(&value.0), Malformed, "bytes of text", Some("k"));
        let name = Bytes::start(1, 0).u64(len.max(17)).zeros(16);
        expect(
            &refused(&name.0),
            Malformed,
            "bytes of text, but only 16",
            None,
        );
    }
}

#[test]
fn counts_beyond_the_limits() {
    let mut limits = Limits::default();
    limits.tensors = 1;
    limits.metadata_keys = 1;
    let error = refused_with(&valid(), &limits);
    expect(&error, Limit, "2 tensors, more than the limit of 1", None);
    let keys = Bytes::start(0, 2)
        .string("a")
        .u32(0)
        .u8(0)
        .string("b")
        .u32(0)
        .u8(0);
    let error = refused_with(&keys.zeros(8).0, &limits);
    expect(
        &error,
        Limit,
        "2 metadata keys, more than the limit of 1",
        None,
    );
}

#[test]
fn names_and_headers_beyond_the_limits() {
    let mut limits = Limits::default();
    limits.name_bytes = 3;
    let key = Bytes::start(0, 1).string("abcd").u32(0).u8(0);
    let error = refused_with(&key.0, &limits);
    expect(&error, Limit, "4 bytes, more than the limit of 3", None);
    let mut limits = Limits::default();
    limits.header_bytes = 100;
    let long = Bytes::start(0, 1)
        .string("k")
        .u32(8)
        .string(&"x".repeat(200));
    let error = refused_with(&long.0, &limits);
    expect(&error, Limit, "limit of 100 bytes", Some("k"));
}

/// A file that is long only on paper does not make the reader read or allocate as much.
#[test]
fn claims_that_a_sparse_file_backs() {
    let count = 1u64 << 33;
    let array = |element: u32| {
        Bytes::start(0, 1)
            .string("k")
            .u32(9)
            .u32(element)
            .u64(count)
    };
    let header = "longer than the limit of 1073741824 bytes";
    let cases = [
        (array(0), header, Some("k")),
        (array(8), header, Some("k")),
        (array(9), header, Some("k")),
        (
            Bytes::start(0, 1).string("k").u32(8).u64(count),
            header,
            Some("k"),
        ),
        (
            Bytes::start(0, 1).u64(1 << 29),
            "more than the limit of 65536",
            None,
        ),
        (
            Bytes::start(1, 0).u64(1 << 29),
            "more than the limit of 65536",
            None,
        ),
        (
            Bytes::start(1 << 21, 0),
            "more than the limit of 1048576",
            None,
        ),
        (
            Bytes::start(0, 1 << 17),
            "more than the limit of 65536",
            None,
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.gguf");
    for (start, says, names) in cases {
        std::fs::write(&path, start.0).unwrap();
        let sparse = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = sparse.set_len(1 << 42) {
            not_run(&format!("the file system has no sparse files: {error}"));
            return;
        }
        let started = std::time::Instant::now();
        expect(&Reader::open(&path).unwrap_err(), Limit, says, names);
        assert!(
            started.elapsed().as_secs() < 5,
            "{says}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn keys() {
    let empty = Bytes::start(0, 1).string("").u32(0).u8(1).zeros(8);
    expect(&refused(&empty.0), Malformed, "without a name", None);
    let twice = Bytes::start(0, 2)
        .string("k")
        .u32(0)
        .u8(1)
        .string("k")
        .u32(0)
        .u8(1);
    expect(&refused(&twice.0), Malformed, "two values", Some("k"));
    let bytes = Bytes::start(0, 1).u64(2).raw(b"\xff\xfe").u32(0).u8(1);
    expect(
        &refused(&bytes.0),
        Malformed,
        r"not UTF-8: '\xff\xfe'",
        None,
    );
}

#[test]
fn values() {
    for unknown in [13u32, 255, u32::MAX] {
        let scalar = Bytes::start(0, 1).string("k").u32(unknown).zeros(16);
        expect(
            &refused(&scalar.0),
            Malformed,
            "types go from 0 to 12",
            Some("k"),
        );
        let array = Bytes::start(0, 1)
            .string("k")
            .u32(9)
            .u32(unknown)
            .u64(0)
            .zeros(16);
        expect(
            &refused(&array.0),
            Malformed,
            "types go from 0 to 12",
            Some("k"),
        );
    }
    let flag = Bytes::start(0, 1).string("k").u32(7).u8(2);
    expect(&refused(&flag.0), Malformed, "0 or 1, but is 2", Some("k"));
    let flags = Bytes::start(0, 1)
        .string("k")
        .u32(9)
        .u32(7)
        .u64(2)
        .u8(1)
        .u8(255);
    expect(
        &refused(&flags.0),
        Malformed,
        "0 or 1, but is 255",
        Some("k"),
    );
}

#[test]
fn deep_arrays() {
    let mut deep = Bytes::start(0, 1).string("k").u32(9);
    for _ in 0..1_000_000 {
        deep = deep.u32(9).u64(1);
    }
    expect(
        &refused(&deep.u32(0).u64(0).0),
        Limit,
        "more than 64 deep",
        Some("k"),
    );
}

#[test]
fn alignments() {
    for bad in [0u32, 3, 33, u32::MAX] {
        let file = Bytes::start(0, 1)
            .string("general.alignment")
            .u32(4)
            .u32(bad);
        expect(
            &refused(&file.0),
            Malformed,
            "power of two",
            Some("general.alignment"),
        );
    }
    let wide = Bytes::start(0, 1)
        .string("general.alignment")
        .u32(10)
        .u64(32);
    expect(
        &refused(&wide.0),
        Malformed,
        "type u32",
        Some("general.alignment"),
    );
}

#[test]
fn tensor_names() {
    let tensor = |name: &[u8]| Bytes::new().u64(name.len() as u64).raw(name);
    let twice = Bytes::start(2, 0)
        .raw(&tensor(b"t").0)
        .tensor_rest(&[8], 0, 0)
        .raw(&tensor(b"t").0)
        .tensor_rest(&[8], 0, 32);
    expect(
        &refused(&twice.data(64).0),
        Malformed,
        "two tensors of this name",
        Some("t"),
    );
    let bytes = Bytes::start(1, 0)
        .raw(&tensor(b"\xc3\x28").0)
        .tensor_rest(&[8], 0, 0);
    expect(&refused(&bytes.data(32).0), Malformed, "not UTF-8", None);
}

#[test]
fn dimensions() {
    for count in [5u32, 1 << 31, u32::MAX] {
        let file = Bytes::start(1, 0).string("t").u32(count).zeros(64);
        expect(&refused(&file.0), Malformed, "at most 4", Some("t"));
    }
    for dim in [1u64 << 63, u64::MAX] {
        let file = Bytes::tensor("t", &[dim], 0, 0).data(64);
        expect(&refused(&file.0), Malformed, "beyond 2^63", Some("t"));
    }
    let overflows: [&[u64]; 4] = [
        &[1 << 62],
        &[1 << 32, 1 << 32],
        &[1 << 31, 1 << 31, 1 << 31, 1 << 31],
        &[u64::MAX >> 1, u64::MAX >> 1],
    ];
    for dims in overflows {
        let file = Bytes::tensor("t", dims, 0, 0).data(64);
        expect(&refused(&file.0), Malformed, "impossible shape", Some("t"));
    }
    let partial = Bytes::tensor("t", &[100, 2], 12, 0).data(144);
    expect(
        &refused(&partial.0),
        Malformed,
        "multiple of 256",
        Some("t"),
    );
}

#[test]
fn tensor_types() {
    for unknown in [4u32, 5, 31, 38, 43, 1000, 1007, u32::MAX] {
        let file = Bytes::tensor("t", &[8], unknown, 0).data(64);
        expect(
            &refused(&file.0),
            Unsupported,
            &format!("type number {unknown}"),
            Some("t"),
        );
    }
}

#[test]
fn offsets() {
    for misaligned in [1u64, 16, 33] {
        let file = Bytes::tensor("t", &[8], 0, misaligned).data(256);
        expect(
            &refused(&file.0),
            Malformed,
            "no multiple of the alignment",
            Some("t"),
        );
    }
    for outside in [32u64, 1 << 40, 1 << 63, u64::MAX - 31] {
        let file = Bytes::tensor("t", &[8], 0, outside).data(32);
        expect(
            &refused(&file.0),
            Malformed,
            "the file is incomplete",
            Some("t"),
        );
    }
    let longer = Bytes::tensor("t", &[1 << 40], 0, 0).data(32);
    expect(
        &refused(&longer.0),
        Malformed,
        "the file is incomplete",
        Some("t"),
    );
    let overlap = Bytes::start(2, 0)
        .string("a")
        .tensor_rest(&[9], 0, 0)
        .string("b")
        .tensor_rest(&[8], 0, 32);
    expect(
        &refused(&overlap.data(64).0),
        Malformed,
        "overlap those of tensor 'a'",
        Some("b"),
    );
    let same = Bytes::start(2, 0)
        .string("a")
        .tensor_rest(&[8], 0, 0)
        .string("b")
        .tensor_rest(&[8], 0, 0);
    expect(&refused(&same.data(32).0), Malformed, "overlap", Some("b"));
}

#[test]
fn big_endian_types_without_a_layout() {
    // Q5_0 in a file of the other byte order.
    let file = Bytes::new()
        .raw(b"GGUF")
        .raw(&3u32.to_be_bytes())
        .raw(&1u64.to_be_bytes())
        .raw(&0u64.to_be_bytes())
        .raw(&1u64.to_be_bytes())
        .raw(b"t")
        .raw(&1u32.to_be_bytes())
        .raw(&32u64.to_be_bytes())
        .raw(&6u32.to_be_bytes())
        .raw(&0u64.to_be_bytes());
    expect(
        &refused(&file.data(22).0),
        Unsupported,
        "q5_0 in a big-endian file",
        Some("t"),
    );
}

/// A part of a split model: its keys, and one tensor of this name.
fn part(number: u16, count: u16, total: u32, name: &str) -> Vec<u8> {
    let head = Bytes::start(1, 3)
        .string("split.no")
        .u32(2)
        .u16(number)
        .string("split.count")
        .u32(2)
        .u16(count)
        .string("split.tensors.count")
        .u32(5)
        .u32(total);
    head.string(name).tensor_rest(&[8], 0, 0).data(32).0
}

/// Writes the parts and opens the first.
fn open_parts(
    folder: &Path,
    parts: &[(&str, Vec<u8>)],
) -> quantlib::Result<quantlib::model::Model> {
    for (name, bytes) in parts {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    Reader::open(folder.join(parts[0].0))
}

#[test]
fn split_models() {
    const A: &str = "m-00001-of-00002.gguf";
    const B: &str = "m-00002-of-00002.gguf";
    let check = |parts: &[(&str, Vec<u8>)], at: &str, kind: ErrorKind, says: &str, names| {
        let folder = tempfile::tempdir().unwrap();
        let error = open_parts(folder.path(), parts).expect_err(says);
        assert_eq!(
            error.file(),
            Some(folder.path().join(at).as_path()),
            "{error}"
        );
        expect(&error, kind, says, names);
    };
    let (first, second) = (part(0, 2, 2, "a"), part(1, 2, 2, "b"));
    let folder = tempfile::tempdir().unwrap();
    let model = open_parts(folder.path(), &[(B, second), (A, first.clone())]).unwrap();
    assert_eq!(model.tensors().len(), 2);

    let (count, no) = (Some("split.count"), Some("split.no"));
    let total = Some("split.tensors.count");
    check(&[(A, first.clone())], B, ErrorKind::Io, "cannot open", None);
    let renamed = [("renamed.gguf", first.clone())];
    check(
        &renamed,
        "renamed.gguf",
        Malformed,
        "must end in '-00001-of-00002.gguf'",
        None,
    );
    let twice = [(A, first.clone()), (B, first.clone())];
    check(&twice, B, Malformed, "should be part 2 of 2", no);
    let of_three = [(A, first.clone()), (B, part(1, 3, 2, "b"))];
    check(&of_three, B, Malformed, "should be part 2 of 2", no);
    let mixed = [(A, first.clone()), (B, part(1, 2, 7, "b"))];
    check(&mixed, B, Malformed, "of different models", total);
    let short = [(A, part(0, 2, 3, "a")), (B, part(1, 2, 3, "b"))];
    check(
        &short,
        A,
        Malformed,
        "says 3 tensors, but the files have 2",
        total,
    );
    check(
        &[(A, part(2, 2, 2, "a"))],
        A,
        Malformed,
        "part 2 (from 0) of 2",
        no,
    );
    check(
        &[(A, part(0, u16::MAX, 2, "a"))],
        A,
        Limit,
        "65535 files",
        count,
    );
    let same = [(A, first), (B, part(1, 2, 2, "a"))];
    check(&same, A, Malformed, "two tensors of this name", Some("a"));
}

/// Opening a pipe would wait for somebody to write into it.
#[cfg(unix)]
#[test]
fn pipes_and_folders_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let error = Reader::open(folder.path()).unwrap_err();
    expect(&error, ErrorKind::Misuse, "not a regular file", None);
    let path = folder.path().join("pipe.gguf");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        not_run("there is no mkfifo command");
        return;
    }
    let error = quantlib::open(&path).unwrap_err();
    expect(&error, ErrorKind::Misuse, "not a regular file", None);
}

/// A small deterministic generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) as usize) % end
    }
}

#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    let whole = valid();
    let mut random = Random(1);
    let (mut opened, mut refused) = (0, 0);
    for round in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = match random.below(4) {
                0 => bytes[at] ^ (1 << random.below(8)),
                1 => 0,
                2 => 0xFF,
                _ => random.below(256) as u8,
            };
        }
        if round % 4 == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        match Reader::open(&path) {
            Ok(model) => {
                opened += 1;
                for info in model.tensors() {
                    assert!(info.nbytes() <= bytes.len());
                    assert_eq!(model.read(&info.name).unwrap().len(), info.nbytes());
                }
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.file(), Some(path.as_path()), "{error}");
            }
        }
    }
    // Damage to names and numbers goes unnoticed, damage to the structure does not.
    assert!(
        opened > 100 && refused > 100,
        "{opened} opened, {refused} refused"
    );
}

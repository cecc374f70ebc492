//! Importance matrices: what is accumulated, and files that are not what they seem.

use quantlib::format::imatrix::{self, Format};
use quantlib::io::Limits;
use quantlib::model::{
    Array, ImportanceMatrix, ImportanceSource, Metadata, Statistics, StringArray,
};
use quantlib::{DType, Error, ErrorKind};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn rows_are_summed_in_order_and_in_f32() {
    let mut matrix = ImportanceMatrix::default();
    let rows: Vec<f32> = (0..50).map(|i| 1.0 + 0.1 * i as f32).collect();
    matrix.accumulate("a", 5, &rows[..20]).unwrap();
    matrix.accumulate("a", 5, &rows[20..]).unwrap();
    let mut expected = [0.0f32; 5];
    for row in rows.chunks(5) {
        expected
            .iter_mut()
            .zip(row)
            .for_each(|(sum, x)| *sum += x * x);
    }
    let entry = matrix.get("a").unwrap();
    assert_eq!((entry.sums(), entry.counts()), (&expected[..], &[10][..]));
    assert_eq!(entry.weights().unwrap(), expected.map(|sum| sum / 10.0));
    assert_eq!(matrix.chunks(), 0);
    matrix.accumulate("a", 5, &[0.5; 5 * 1020]).unwrap();
    assert_eq!(matrix.chunks(), 2);
}

#[test]
fn experts_have_their_own_rows() {
    let mut matrix = ImportanceMatrix::default();
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    matrix
        .accumulate_experts("e", (3, 2), &rows, &[2, 0, 2])
        .unwrap();
    let entry = matrix.get("e").unwrap();
    assert_eq!(entry.sums(), [9.0, 16.0, 0.0, 0.0, 26.0, 40.0]);
    assert_eq!(entry.counts(), [1, 0, 2]);
    // Nothing is known of the second: its columns weigh alike.
    let weights = matrix.weights("e").unwrap().unwrap();
    assert_eq!(weights, [9.0, 16.0, 1.0, 1.0, 13.0, 20.0]);
}

#[test]
fn what_cannot_be_accumulated_changes_nothing() {
    let mut matrix = ImportanceMatrix::default();
    let refused = |error: Error| {
        assert_eq!(
            (error.kind(), error.tensor()),
            (ErrorKind::Misuse, Some("a")),
            "{error}"
        );
    };
    refused(matrix.accumulate("a", 2, &[1.0, f32::NAN]).unwrap_err());
    refused(matrix.accumulate("a", 2, &[1.0; 3]).unwrap_err());
    refused(matrix.accumulate("a", 0, &[]).unwrap_err());
    let huge = (usize::MAX / 8, 4);
    refused(matrix.accumulate_experts("a", huge, &[], &[]).unwrap_err());
    assert!(matrix.is_empty());
    matrix
        .accumulate_experts("a", (2, 2), &[1.0; 4], &[0, 1])
        .unwrap();
    let before = matrix.clone();
    refused(matrix.accumulate("a", 2, &[1.0, 2.0]).unwrap_err());
    refused(
        matrix
            .accumulate_experts("a", (2, 2), &[1.0; 4], &[0, 2])
            .unwrap_err(),
    );
    refused(
        matrix
            .accumulate_experts("a", (2, 2), &[1.0; 4], &[0])
            .unwrap_err(),
    );
    refused(
        matrix
            .accumulate_experts("a", (2, 2), &[1e30; 4], &[0, 1])
            .unwrap_err(),
    );
    assert_eq!(matrix, before);
}

#[test]
fn matrices_are_merged() {
    let mut matrix = ImportanceMatrix::default();
    matrix.accumulate("a", 2, &[1.0, 2.0]).unwrap();
    matrix.set("e", Statistics::new(vec![1.0; 4], vec![6]).unwrap());
    let mut other = ImportanceMatrix::default();
    other.datasets = vec!["text".into()];
    other.accumulate("a", 2, &[3.0, 1.0]).unwrap();
    other.accumulate("b", 1, &[2.0]).unwrap();
    other
        .accumulate_experts("e", (2, 2), &[1.0, 2.0], &[1])
        .unwrap();
    matrix.merge(&other).unwrap();
    let entry = |name| {
        let entry = matrix.get(name).unwrap();
        (entry.sums().to_vec(), entry.counts().to_vec())
    };
    assert_eq!(entry("a"), (vec![10.0, 5.0], vec![2]));
    assert_eq!(entry("b"), (vec![4.0], vec![1]));
    assert_eq!(entry("e"), (vec![1.0, 1.0, 2.0, 5.0], vec![6, 7]));
    assert_eq!(matrix.datasets, ["text"]);
    let mut wrong = ImportanceMatrix::default();
    wrong.accumulate("b", 3, &[1.0; 3]).unwrap();
    let before = matrix.clone();
    assert_eq!(matrix.merge(&wrong).unwrap_err().tensor(), Some("b"));
    assert_eq!(matrix, before);
}

#[test]
fn a_matrix_without_data_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.gguf");
    let mut matrix = ImportanceMatrix::default();
    for format in [Format::Gguf, Format::Dat] {
        let error = imatrix::save(&path, &matrix, format).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
    }
    matrix.insert("x".repeat(56), vec![1.0]);
    let error = imatrix::save(&path, &matrix, Format::Gguf).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    imatrix::save(&path, &matrix, Format::Dat).unwrap();
    assert_eq!(imatrix::load(&path).unwrap().len(), 1);
}

/// A file under test in a folder of its own.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("matrix")
    }

    /// Opens the bytes and reads every entry.
    fn read(&self, bytes: &[u8]) -> Result<Vec<(String, Vec<f32>)>, Error> {
        fs::write(self.path(), bytes).unwrap();
        read(&self.path())
    }

    #[track_caller]
    fn refuses(&self, bytes: &[u8], words: &str) {
        let error = self.read(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(error.file(), Some(self.path().as_path()), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

fn read(path: &Path) -> Result<Vec<(String, Vec<f32>)>, Error> {
    let reader = imatrix::Reader::open(path)?;
    let names = reader.summary().entries.into_iter();
    let entries = names.map(|(name, len)| {
        let weights = reader.weights(&name)?.unwrap();
        assert_eq!(weights.len(), len);
        Ok((name, weights))
    });
    entries.collect()
}

fn int(number: i32) -> [u8; 4] {
    number.to_le_bytes()
}

/// An entry of the older form.
fn dat_entry(name: &[u8], calls: i32, values: &[f32]) -> Vec<u8> {
    let values: Vec<_> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let len = int((values.len() / 4) as i32);
    [
        &int(name.len() as i32)[..],
        name,
        &int(calls),
        &len,
        &values,
    ]
    .concat()
}

#[test]
fn the_older_form_is_read_as_llama_quantize_reads_it() {
    let file = File::new();
    let two = [
        &int(3)[..],
        &dat_entry(b"a", 2, &[1.0, 3.0]),
        &dat_entry(b"b\0cut", 0, &[5.0]),
        &dat_entry(b"a", 4, &[2.0, 6.0, 8.0]),
    ]
    .concat();
    let expected = [
        ("a".to_owned(), vec![0.5, 1.5, 2.0]),
        ("b".to_owned(), vec![5.0]),
    ];
    // Nothing behind the entries, a number of chunks only, a data set too, more than that.
    let tails = [
        vec![],
        int(7).to_vec(),
        [int(7), int(-1)].concat(),
        [&int(7)[..], &int(2), b"x\0"].concat(),
        [&int(7)[..], &int(1), b"x", &[0; 9]].concat(),
    ];
    for (i, tail) in tails.into_iter().enumerate() {
        assert_eq!(file.read(&[two.clone(), tail].concat()).unwrap(), expected);
        let summary = imatrix::Reader::open(file.path()).unwrap().summary();
        assert_eq!(summary.chunks, Some(if i == 0 { 0 } else { 7 }));
        assert_eq!(summary.dataset.is_some(), i > 2);
    }
}

#[test]
fn damaged_files_of_the_older_form_are_refused() {
    let file = File::new();
    let entry = dat_entry(b"blk.0", 1, &[1.0; 4]);
    let whole = [&int(1)[..], &entry, &int(1), &int(4), b"text"].concat();
    assert!(file.read(&whole).is_ok());
    // Whole without what follows the entries, or without the data set's name; not in between.
    let tails = [4 + entry.len(), 8 + entry.len(), whole.len()];
    for len in (0..whole.len()).filter(|len| !tails.contains(len)) {
        let error = file.read(&whole[..len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{len}: {error}");
    }
    for count in [0, -1, i32::MIN, i32::MAX, 2] {
        let bytes = [&int(count)[..], &entry].concat();
        assert_eq!(
            file.read(&bytes).unwrap_err().kind(),
            ErrorKind::Malformed,
            "{count}"
        );
    }
    for name_len in [-1, i32::MIN, i32::MAX, 1000] {
        file.refuses(
            &[&int(1)[..], &int(name_len), &[0; 64]].concat(),
            "a tensor's name",
        );
    }
    for values in [0, -1, i32::MIN, i32::MAX, 5] {
        let head = [&int(1)[..], &int(1), b"a", &int(1), &int(values)].concat();
        file.refuses(&[head, vec![0; 16]].concat(), "values");
    }
    for dataset in [i32::MAX, 3] {
        file.refuses(
            &[&int(1)[..], &entry, &int(1), &int(dataset), b"ab"].concat(),
            "data set",
        );
    }
    file.refuses(
        &[&int(1)[..], &dat_entry(b"\xff", 1, &[1.0])].concat(),
        "UTF-8",
    );
    for wrong in [f32::NAN, f32::INFINITY, -1.0] {
        file.refuses(
            &[&int(1)[..], &dat_entry(b"a", 1, &[1.0, wrong])].concat(),
            "weight 1",
        );
    }
    file.refuses(b"not a matrix, but some text", "no importance matrix");
    let mut limits = Limits::default();
    limits.name_bytes = 4;
    fs::write(file.path(), &whole).unwrap();
    let error = imatrix::Reader::open_with(file.path(), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

/// The GGUF form with these tensors, and with the keys that llama-quantize needs unless one is named.
fn gguf(path: &Path, tensors: &[(&str, DType, &[f32])], without: &str) {
    let mut writer = quantlib::format::gguf::Writer::create(path).unwrap();
    let mut keys = Metadata::new();
    keys.insert(
        "imatrix.datasets".into(),
        Array::String(StringArray::default()).into(),
    );
    keys.insert("imatrix.chunk_count".into(), 3u32.into());
    keys.insert("imatrix.chunk_size".into(), 512u32.into());
    for (key, value) in keys {
        if key != without {
            writer.set(key, value).unwrap();
        }
    }
    for (name, dtype, values) in tensors {
        let bytes: Vec<_> = match dtype {
            DType::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => vec![0; 2 * values.len()],
        };
        writer
            .tensor(*name, *dtype, &[values.len()], &bytes)
            .unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn damaged_files_of_the_gguf_form_are_refused() {
    let file = File::new();
    let path = file.path();
    let sums = ("a.in_sum2", DType::F32, &[2.0, 4.0][..]);
    let counts = ("a.counts", DType::F32, &[2.0][..]);
    gguf(&path, &[sums, counts, ("other", DType::F16, &[0.0])], "");
    assert_eq!(read(&path).unwrap(), [("a".to_owned(), vec![1.0, 2.0])]);
    let bytes = fs::read(&path).unwrap();
    for len in 4..bytes.len() - 64 {
        let error = file.read(&bytes[..len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{len}: {error}");
    }
    let refused = |tensors: &[(&str, DType, &[f32])], without: &str, words: &str| {
        gguf(&path, tensors, without);
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(error.file(), Some(path.as_path()), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    for key in [
        "imatrix.datasets",
        "imatrix.chunk_count",
        "imatrix.chunk_size",
    ] {
        refused(&[sums, counts], key, key);
    }
    refused(&[], "", "no data");
    refused(&[sums], "", ".counts is missing");
    refused(&[counts], "", ".in_sum2 is missing");
    refused(&[sums, ("a.counts", DType::F16, &[2.0])], "", "must be f32");
    refused(&[sums, ("a.counts", DType::F32, &[1.0; 3])], "", "3 counts");
    refused(&[sums, ("a.counts", DType::F32, &[])], "", "0 counts");
    for wrong in [f32::NAN, f32::INFINITY, -1.0, 1e20] {
        let counts = [wrong];
        let counts = ("a.counts", DType::F32, &counts[..]);
        refused(&[sums, counts], "", "number of activations");
    }
    for wrong in [f32::NAN, f32::NEG_INFINITY, -0.5] {
        let sums = [1.0, wrong];
        refused(&[("a.in_sum2", DType::F32, &sums), counts], "", "weight 1");
    }
}

//! Samples in files: NumPy's `.npz`, or a folder of `.npy` files.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Arrays by the names of a model's inputs, with as many samples each: the first axis is the batch.
#[derive(Clone, Debug)]
pub struct Samples {
    arrays: Vec<Array>,
    count: usize,
}

/// An array of numbers, little-endian and row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The input that it is for.
    pub name: String,
    /// NumPy's name of the type without the byte order: `"f4"`, `"i8"`, `"b1"`.
    pub kind: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<u8>,
}

/// Most bytes that all arrays together may take.
const MOST: u64 = 4 << 30;

/// Longest header of an array.
const HEADER: usize = 1 << 16;

impl Samples {
    /// Reads an `.npz` file (compressed or not), or a folder of `.npy` files.
    ///
    /// # Errors
    /// `io`; `malformed` if a file is something else, or is cut off; `misuse` if the batches differ in
    /// size; `unsupported` for arrays in Fortran's order or of objects; `limit` beyond 4 GiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let arrays = match path.is_dir() {
            true => folder(path),
            false => archive(path),
        };
        let arrays = arrays.map_err(|e| e.in_file(path))?;
        Self::new(arrays).map_err(|e| e.in_file(path))
    }

    /// Arrays that are in memory already.
    ///
    /// # Errors
    /// `misuse` if the first axes differ, or there are no arrays.
    pub fn new(arrays: Vec<Array>) -> Result<Self> {
        let count = |array: &Array| array.shape.first().copied();
        let Some(first) = arrays.first() else {
            return Err(Error::misuse(
                "has no arrays; there must be one for each input of the model",
            ));
        };
        let Some(samples) = count(first) else {
            return Err(no_batch(first));
        };
        if let Some(other) = arrays.iter().find(|array| count(array) != Some(samples)) {
            return Err(match count(other) {
                None => no_batch(other),
                Some(others) => Error::misuse(format!(
                    "'{}' has {samples} samples, but '{}' has {others}; the first axis is the batch, and the same for all",
                    first.name, other.name
                )),
            });
        }
        Ok(Self {
            arrays,
            count: samples,
        })
    }

    /// The samples one by one, each with a batch of one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Vec<Array>> {
        (0..self.count).map(|index| {
            let arrays = self.arrays.iter();
            arrays
                .map(|array| array.sample(index, self.count))
                .collect()
        })
    }
}

fn no_batch(array: &Array) -> Error {
    Error::misuse(format!(
        "'{}' is a single number; the first axis of an array is the batch",
        array.name
    ))
}

impl Array {
    /// The elements, if they are floats of 32 or 16 bits; none otherwise.
    pub(super) fn floats(&self) -> Vec<f32> {
        let single = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
        let half = |bytes: &[u8; 2]| half::f16::from_le_bytes(*bytes).to_f32();
        match &self.kind[..] {
            "f4" => self.data.as_chunks().0.iter().map(single).collect(),
            "f2" => self.data.as_chunks().0.iter().map(half).collect(),
            _ => Vec::new(),
        }
    }

    fn sample(&self, index: usize, count: usize) -> Self {
        let len = self.data.len() / count.max(1);
        let mut shape = self.shape.clone();
        if let Some(batch) = shape.first_mut() {
            *batch = 1;
        }
        Self {
            name: self.name.clone(),
            kind: self.kind.clone(),
            shape,
            data: self.data[index * len..][..len].to_vec(),
        }
    }

    /// Reads a `.npy` file from its magic number on.
    fn read(name: &str, reader: &mut impl Read, left: &mut u64) -> Result<Self> {
        let mut start = [0; 8];
        fill(reader, &mut start)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(Error::malformed("is no array of NumPy's (.npy)"));
        }
        let len = match start[6] {
            1 => {
                let mut len = [0; 2];
                fill(reader, &mut len)?;
                usize::from(u16::from_le_bytes(len))
            }
            _ => {
                let mut len = [0; 4];
                fill(reader, &mut len)?;
                u32::from_le_bytes(len) as usize
            }
        };
        if len > HEADER {
            return Err(Error::limit(format!("has a header of {len} bytes")));
        }
        let mut header = vec![0; len];
        fill(reader, &mut header)?;
        let header = String::from_utf8_lossy(&header);
        let (kind, size) = kind(&header)?;
        let shape = shape(&header)?;
        let product = shape
            .iter()
            .try_fold(size as u64, |product, dim| product.checked_mul(*dim));
        let bytes = product.filter(|bytes| *bytes <= *left).ok_or_else(|| {
            Error::limit(format!(
                "has an array of shape {shape:?}; all together may take {MOST} bytes"
            ))
        })?;
        *left -= bytes;
        let mut data = Vec::new();
        reader
            .take(bytes)
            .read_to_end(&mut data)
            .map_err(|e| Error::io("cannot be read", e))?;
        if data.len() as u64 != bytes {
            return Err(cut_off());
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            shape: shape.iter().map(|dim| *dim as usize).collect(),
            data,
        })
    }
}

fn cut_off() -> Error {
    Error::malformed("has an array that is cut off")
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    reader.read_exact(buffer).map_err(|_| cut_off())
}

/// What follows a key in the header, which is a dictionary as Python writes it.
fn entry<'h>(header: &'h str, key: &str) -> Result<&'h str> {
    let start = header.find(&format!("'{key}':"));
    let start = start.ok_or_else(|| Error::malformed(format!("has an array without '{key}'")))?;
    Ok(header[start + key.len() + 3..].trim_start())
}

/// The name of the element type without its byte order, and the bytes of an element.
fn kind(header: &str) -> Result<(String, usize)> {
    let descr = entry(header, "descr")?;
    let quoted = descr
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
    let descr = quoted.map(|(descr, _)| descr).unwrap_or_default();
    let kind = descr.trim_start_matches(['<', '|', '=']);
    let size = match kind {
        "b1" | "i1" | "u1" => 1,
        "f2" | "i2" | "u2" => 2,
        "f4" | "i4" | "u4" => 4,
        "f8" | "i8" | "u8" => 8,
        _ => {
            return Err(Error::unsupported(format!(
                "has an array of '{descr}'; numbers in the byte order of this machine can be read"
            )));
        }
    };
    if entry(header, "fortran_order")?.starts_with("True") {
        return Err(Error::unsupported(
            "has an array in Fortran's order; save numpy.ascontiguousarray of it",
        ));
    }
    Ok((kind.to_owned(), size))
}

fn shape(header: &str) -> Result<Vec<u64>> {
    let text = entry(header, "shape")?;
    let inner = text.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let dims = inner.map(|(dims, _)| dims.split(',').map(str::trim));
    let dims = dims.into_iter().flatten().filter(|dim| !dim.is_empty());
    let parsed: Option<Vec<_>> = dims.map(|dim| dim.parse().ok()).collect();
    match (inner, parsed) {
        (Some(_), Some(dims)) if dims.len() <= 64 => Ok(dims),
        _ => Err(Error::malformed("has an array whose shape is none")),
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io("cannot open", e).in_file(path))
}

fn archive(path: &Path) -> Result<Vec<Array>> {
    let wrong =
        |e: zip::result::ZipError| Error::malformed(format!("is no file of arrays (.npz): {e}"));
    let mut archive = zip::ZipArchive::new(open(path)?).map_err(wrong)?;
    let mut left = MOST;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(wrong)?;
        let name = file.name().map_err(wrong)?.to_string();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let array = Array::read(&name, &mut file, &mut left);
        arrays.push(array.map_err(|e| e.in_key(&name))?);
    }
    Ok(arrays)
}

fn folder(path: &Path) -> Result<Vec<Array>> {
    let list = || -> std::io::Result<Vec<_>> {
        let entries = std::fs::read_dir(path)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = list().map_err(|e| Error::io("cannot list the folder", e))?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "npy"));
    files.sort();
    let mut left = MOST;
    let array = |file: &std::path::PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Array::read(&name, &mut open(file)?, &mut left).map_err(|e| e.in_file(file))
    };
    files.iter().map(array).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    fn npz(arrays: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, array) in arrays {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(array).unwrap();
        }
        file.write_all(writer.finish().unwrap().get_ref()).unwrap();
        file
    }

    #[test]
    fn archives_and_folders_are_read_sample_by_sample() {
        let x = npy("<i2", "(3, 2)", &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
        let y = npy("|u1", "(3,)", &[7, 8, 9]);
        let file = npz(&[("x", x.clone()), ("y", y.clone())]);
        let samples: Vec<_> = Samples::open(file.path()).unwrap().iter().collect();
        assert_eq!(samples.len(), 3);
        let [x1, y1] = &samples[1][..] else { panic!() };
        assert_eq!(
            (&x1.name[..], &x1.kind[..], &x1.shape[..]),
            ("x", "i2", &[1, 2][..])
        );
        assert_eq!((&x1.data[..], &y1.data[..]), (&[3, 0, 4, 0][..], &[8][..]));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.npy"), x).unwrap();
        std::fs::write(folder.path().join("y.npy"), y).unwrap();
        let again: Vec<_> = Samples::open(folder.path()).unwrap().iter().collect();
        assert_eq!(again, samples);
    }

    #[test]
    fn nonsense_is_refused() {
        let x = || npy("<i2", "(3, 2)", &[0; 12]);
        for (arrays, what) in [
            (vec![], "no arrays"),
            (
                vec![("x", x()), ("y", npy("|u1", "(2,)", &[7, 8]))],
                "3 samples",
            ),
            (vec![("x", npy("|u1", "()", &[7]))], "single number"),
            (vec![("x", npy("<i2", "(3, 3)", &[0; 12]))], "cut off"),
            (vec![("x", npy("|O", "(1,)", &[0; 12]))], "numbers"),
            (
                vec![("x", npy("<f8", "(99999999999, 99999999999)", &[]))],
                "all together",
            ),
            (vec![("x", npy("<f8", "(-1,)", &[]))], "shape"),
            (vec![("x", b"nonsense".to_vec())], "NumPy"),
        ] {
            let error = Samples::open(npz(&arrays).path()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"nonsense").unwrap();
        assert!(Samples::open(file.path()).is_err());
    }
}

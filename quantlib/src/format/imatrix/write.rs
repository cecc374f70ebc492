//! Writes what llama-imatrix writes for the same sums and counts, byte for byte.

use super::{CHUNK_COUNT_KEY, CHUNK_SIZE_KEY, COUNTS, DATASETS_KEY, SUMS};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::gguf::{Dialect, Writer};
use crate::io::OutputSet;
use crate::model::{Array, ImportanceMatrix, Statistics, TensorInfo};
use std::path::Path;
use std::str::FromStr;

/// The two forms of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Sums and counts, in GGUF.
    #[default]
    Gguf,
    /// The older form, of mean squares: it loses the counts, and so what merging needs.
    Dat,
}

impl Format {
    /// The form that a path's ending stands for: `.dat`, and GGUF else.
    pub fn of(path: impl AsRef<Path>) -> Self {
        match path.as_ref().extension() {
            Some(ending) if ending.eq_ignore_ascii_case("dat") => Self::Dat,
            _ => Self::Gguf,
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "gguf" => Ok(Self::Gguf),
            "dat" => Ok(Self::Dat),
            _ => Err(Error::misuse(format!(
                "'{name}' is no form of importance matrices; those are gguf and dat"
            ))),
        }
    }
}

/// Writes a matrix into a file, which appears whole or not at all.
///
/// # Errors
/// `misuse` for a matrix without data, names that are too long for the file, and sums or counts
/// that no file can hold; `io` if the file cannot be written.
pub fn save(path: impl AsRef<Path>, matrix: &ImportanceMatrix, format: Format) -> Result<()> {
    let path = path.as_ref();
    let counts = matrix.iter().flat_map(|(_, entry)| entry.counts());
    if counts.max().is_none_or(|&most| most == 0) {
        let error = Error::misuse("no activations were accumulated, so there is nothing to save");
        return Err(error.in_file(path));
    }
    let saved = match format {
        Format::Gguf => save_gguf(path, matrix),
        Format::Dat => save_dat(path, matrix),
    };
    saved.map_err(|e| e.in_file(path))
}

fn save_gguf(path: &Path, matrix: &ImportanceMatrix) -> Result<()> {
    let mut writer = Writer::create_with(path, Dialect::Ggml)?;
    writer.set("general.type", "imatrix")?;
    let datasets = matrix.datasets.iter().map(c_string).collect();
    writer.set(DATASETS_KEY, Array::String(datasets))?;
    writer.set(CHUNK_COUNT_KEY, matrix.chunks())?;
    writer.set(CHUNK_SIZE_KEY, matrix.chunk_size.get())?;
    writer.declare(
        matrix
            .iter()
            .flat_map(|(name, entry)| infos(name, entry))
            .collect(),
    )?;
    for (name, entry) in matrix.iter() {
        let [sums, counts] = infos(name, entry);
        #[expect(clippy::cast_precision_loss, reason = "the file has floats")]
        let as_floats = entry.counts().iter().map(|&count| count as f32);
        let numbers = as_floats.collect::<Vec<_>>();
        for (info, values) in [(sums, entry.sums()), (counts, &numbers)] {
            writer.tensor(info.name, info.dtype, &info.shape, &bytes(values))?;
        }
    }
    writer.finish()
}

/// The two tensors of an entry.
fn infos(name: &str, entry: &Statistics) -> [TensorInfo; 2] {
    let experts = entry.counts().len();
    [(SUMS, entry.sums().len() / experts), (COUNTS, 1)].map(|(end, cols)| TensorInfo {
        name: format!("{name}{end}"),
        dtype: DType::F32,
        shape: vec![experts, cols],
    })
}

fn save_dat(path: &Path, matrix: &ImportanceMatrix) -> Result<()> {
    let chunk = u64::from(matrix.chunk_size.get());
    let with_data = || matrix.iter().filter(|(_, entry)| most(entry) > 0);
    let mut head = Vec::new();
    head.extend(int(with_data().count() as u64)?);
    let output = OutputSet::file(path, &[])?;
    let mut at = 0;
    let mut write = |bytes: &[u8]| -> Result<()> {
        output.write_at(0, at, bytes)?;
        at += bytes.len() as u64;
        Ok(())
    };
    for (name, entry) in with_data() {
        let named = |e: Error| e.in_tensor(name);
        head.extend(int(name.len() as u64)?);
        head.extend(name.as_bytes());
        // Rounded up, so that it is never 0.
        let calls = most(entry).div_ceil(chunk);
        head.extend(int(calls).map_err(named)?);
        head.extend(int(entry.sums().len() as u64).map_err(named)?);
        write(&std::mem::take(&mut head))?;
        write(&bytes(&scaled(entry, calls)))?;
    }
    head.extend(int(u64::from(matrix.chunks()))?);
    let dataset = matrix.datasets.last().map_or(&[][..], |name| name);
    head.extend(int(dataset.len() as u64)?);
    head.extend(dataset);
    write(&head)?;
    output.commit()
}

/// The largest count.
fn most(entry: &Statistics) -> u64 {
    entry.counts().iter().copied().max().unwrap_or(0)
}

/// Mean squares times the number of chunks; 1 for each, times that, of an expert without data.
fn scaled(entry: &Statistics, calls: u64) -> Vec<f32> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "llama-imatrix calculates in f32"
    )]
    let float = |number: u64| number as f32;
    let cols = entry.sums().len() / entry.counts().len();
    let experts = entry.sums().chunks(cols).zip(entry.counts());
    experts
        .flat_map(|(sums, &count)| {
            sums.iter().map(move |sum| match count {
                0 => float(calls),
                _ => sum / float(count) * float(calls),
            })
        })
        .collect()
}

fn int(number: u64) -> Result<[u8; 4]> {
    let number = i32::try_from(number).map_err(|_| {
        Error::misuse(format!(
            "a file of this form cannot hold the number {number}; save as GGUF"
        ))
    })?;
    Ok(number.to_le_bytes())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The bytes before the first NUL: llama.cpp hands names on as strings of C.
fn c_string(name: &bstr::BString) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

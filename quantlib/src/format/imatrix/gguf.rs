//! The GGUF form: for each tensor one of sums and one of counts.

use super::reader::{About, floats};
use super::{CHUNK_COUNT_KEY, CHUNK_SIZE_KEY, COUNTS, DATASETS_KEY, SUMS};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::gguf;
use crate::io::Limits;
use crate::model::{Array, Metadata, Model, Statistics, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Which tensors of the file belong to which entry.
#[derive(Debug)]
pub(super) struct Index {
    model: Model,
    /// The indices of sums and counts.
    entries: BTreeMap<String, (usize, usize)>,
}

impl Index {
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<(Self, About)> {
        let model = gguf::Reader::open_with(path, limits)?;
        let about = about(model.metadata()).map_err(|e| e.in_file(path))?;
        if model.tensors().is_empty() {
            return Err(Error::malformed("holds no data").in_file(path));
        }
        let mut pairs = BTreeMap::<&str, [Option<usize>; 2]>::new();
        for (index, tensor) in model.tensors().iter().enumerate() {
            let parts = [SUMS, COUNTS].map(|end| tensor.name.strip_suffix(end));
            for (part, name) in parts.into_iter().enumerate() {
                if let Some(name) = name {
                    pairs.entry(name).or_default()[part] = Some(index);
                }
            }
        }
        let entries = pairs.into_iter().map(|(name, pair)| {
            let entry = entry(&model, pair).map_err(|e| e.in_tensor(name).in_file(path))?;
            Ok((name.to_owned(), entry))
        });
        let entries = entries.collect::<Result<_>>()?;
        Ok((Self { model, entries }, about))
    }

    pub(super) fn entries(&self) -> BTreeMap<String, usize> {
        let tensors = self.model.tensors();
        let lens = self.entries.iter();
        lens.map(|(name, (sums, _))| (name.clone(), tensors[*sums].elements()))
            .collect()
    }

    pub(super) fn statistics(&self, name: &str) -> Result<Option<Statistics>> {
        let Some(&(sums, counts)) = self.entries.get(name) else {
            return Ok(None);
        };
        let counts = self.read(counts)?.into_iter().map(count);
        let counts = counts.collect::<Result<_>>()?;
        Statistics::new(self.read(sums)?, counts).map(Some)
    }

    fn read(&self, index: usize) -> Result<Vec<f32>> {
        let len = self.model.tensors()[index].elements();
        floats(len, |bytes| self.model.read_at(index, 0, bytes))
    }
}

/// The indices of an entry's sums and counts, if they fit together.
fn entry(model: &Model, pair: [Option<usize>; 2]) -> Result<(usize, usize)> {
    let [Some(sums), Some(counts)] = pair else {
        let missing = if pair[0].is_none() { SUMS } else { COUNTS };
        return Err(Error::malformed(format!(
            "its {missing} is missing; the importance matrix is incomplete"
        )));
    };
    let tensors = [sums, counts].map(|index| &model.tensors()[index]);
    if let Some(other) = tensors.iter().find(|tensor| tensor.dtype != DType::F32) {
        return Err(Error::malformed(format!(
            "'{}' is {}, but sums and counts must be f32",
            other.name, other.dtype
        )));
    }
    let [values, experts] = tensors.map(|tensor| tensor.elements());
    if values == 0 || experts == 0 || !values.is_multiple_of(experts) {
        return Err(Error::malformed(format!(
            "{values} sums of squares cannot be shared among {experts} counts"
        )));
    }
    Ok((sums, counts))
}

/// A count, which is stored as a float and rounded as C's lround does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is checked to be in range"
)]
fn count(stored: f32) -> Result<u64> {
    const END: f32 = 9_223_372_036_854_775_808.0;
    match stored.round() {
        rounded if (0.0..END).contains(&rounded) => Ok(rounded as u64),
        _ => Err(Error::malformed(format!(
            "a number of activations is {stored}; the importance matrix is damaged"
        ))),
    }
}

/// What llama-quantize wants to know; it takes no file without these keys.
fn about(metadata: &Metadata) -> Result<About> {
    let find = |key: &str| {
        metadata.get(key).ok_or_else(|| {
            Error::malformed("is missing, so this is no importance matrix").in_key(key)
        })
    };
    let number = |key: &str| match find(key)? {
        Value::U32(number) => Ok(*number),
        _ => Err(Error::malformed("must be a u32").in_key(key)),
    };
    let datasets = match find(DATASETS_KEY)? {
        Value::Array(Array::String(names)) => names.iter().map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    };
    Ok(About {
        datasets,
        chunks: number(CHUNK_COUNT_KEY)?.cast_signed(),
        chunk_size: number(CHUNK_SIZE_KEY)?,
    })
}

//! Opens a file of either form; weights are read when they are asked for.

use super::{dat, gguf};
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::{
    DEFAULT_CHUNK_SIZE, ImportanceMatrix, ImportanceSource, ImportanceSummary, Statistics,
};
use bstr::BString;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// An opened importance matrix.
///
/// ```no_run
/// use quantlib::job::{JobOptions, Quantization, quantize_model};
/// use quantlib::{Recipe, format::imatrix};
/// let matrix = imatrix::Reader::open("imatrix.gguf")?;
/// let mut options = JobOptions::default();
/// options.importance = Some(&matrix);
/// let wish = Quantization::new(Recipe::Iq2Xs);
/// quantize_model("model-f16.gguf", "model-iq2_xs.gguf", &wish, options)?;
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    stored: Stored,
    about: About,
}

#[derive(Debug)]
enum Stored {
    Gguf(gguf::Index),
    Dat(dat::Index),
}

/// What a file says of itself.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) datasets: Vec<BString>,
    /// The number of chunks as llama.cpp reads it: negative beyond 2^31.
    pub(super) chunks: i32,
    /// Tokens in a chunk; 0 if the file does not say.
    pub(super) chunk_size: u32,
}

impl Reader {
    /// Opens a file of either form, which its first bytes tell.
    ///
    /// # Errors
    /// `io` if it cannot be read; `malformed` if it is no importance matrix or a damaged one, `limit`
    /// beyond the default [`Limits`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        let source = FileSource::open(path)?;
        let mut magic = [0; 4];
        let len = source.len().min(magic.len() as u64) as usize;
        source.read_exact_at(&mut magic[..len], 0)?;
        let (stored, about) = if &magic == b"GGUF" {
            let (index, about) = gguf::Index::open(path, limits)?;
            (Stored::Gguf(index), about)
        } else {
            let (index, about) = dat::Index::scan(source, limits).map_err(|e| e.in_file(path))?;
            (Stored::Dat(index), about)
        };
        Ok(Self {
            path: path.to_path_buf(),
            stored,
            about,
        })
    }

    /// The sums and counts for a tensor, as llama-imatrix restores them: the older form, which has
    /// no counts, is taken to have chunks of `chunk_size` tokens. `None` if there is no such entry.
    ///
    /// # Errors
    /// `io` if the file cannot be read, `malformed` for numbers that no sums or counts can be.
    pub fn statistics(&self, tensor: &str, chunk_size: NonZeroU32) -> Result<Option<Statistics>> {
        let statistics = match &self.stored {
            Stored::Gguf(index) => index.statistics(tensor),
            Stored::Dat(index) => index.statistics(tensor, chunk_size),
        };
        statistics.map_err(|e| e.in_tensor(tensor).in_file(&self.path))
    }

    /// Tokens in a chunk of text, if the file says it.
    pub fn chunk_size(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.about.chunk_size)
    }

    /// The number of chunks of text that the file says it was computed from.
    pub fn chunks(&self) -> u32 {
        self.about.chunks.try_into().unwrap_or(0)
    }

    /// The names of the texts that it was computed from.
    pub fn datasets(&self) -> &[BString] {
        &self.about.datasets
    }

    /// The number of weights of every entry.
    fn entries(&self) -> BTreeMap<String, usize> {
        match &self.stored {
            Stored::Gguf(index) => index.entries(),
            Stored::Dat(index) => index.entries(),
        }
    }
}

impl ImportanceSource for Reader {
    fn summary(&self) -> ImportanceSummary {
        ImportanceSummary {
            entries: self.entries(),
            file: Some(self.path.as_os_str().as_encoded_bytes().into()),
            dataset: self.about.datasets.first().cloned(),
            chunks: Some(self.chunks()),
        }
    }

    fn weights(&self, tensor: &str) -> Result<Option<Vec<f32>>> {
        let weights = match &self.stored {
            Stored::Gguf(index) => index
                .statistics(tensor)
                .and_then(|found| found.map(Statistics::into_weights).transpose()),
            Stored::Dat(index) => index.weights(tensor),
        };
        weights.map_err(|e| e.in_tensor(tensor).in_file(&self.path))
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// Reads a whole importance matrix into memory.
///
/// Its chunks have as many tokens as the file says; those of the older form, which does not say,
/// the usual 512.
///
/// # Errors
/// Those of [`Reader::open`] and [`Reader::statistics`].
pub fn load(path: impl AsRef<Path>) -> Result<ImportanceMatrix> {
    let reader = Reader::open(path)?;
    let mut matrix = ImportanceMatrix::default();
    matrix.chunk_size = reader.chunk_size().unwrap_or(DEFAULT_CHUNK_SIZE);
    matrix.datasets = reader.about.datasets.clone();
    matrix.file = reader.summary().file;
    for name in reader.entries().into_keys() {
        if let Some(statistics) = reader.statistics(&name, matrix.chunk_size)? {
            matrix.set(name, statistics);
        }
    }
    Ok(matrix)
}

/// Reads `len` little-endian floats; callers checked that the file has them.
pub(super) fn floats(len: usize, read: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(len)
        .map_err(|_| Error::limit(format!("its {len} numbers do not fit into memory")))?;
    values.resize(len, 0.0_f32);
    read(bytemuck::cast_slice_mut(&mut values))?;
    let native = |x: &mut f32| *x = f32::from_bits(u32::from_le(x.to_bits()));
    values.iter_mut().for_each(native);
    Ok(values)
}

//! Opens a model of one or several files.

use super::header::Header;
use super::split::{self, Part};
use super::{FORMAT, endian};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::{self, Location, Model, TensorInfo};
use std::path::Path;

/// Reads tensors of an opened GGUF model; [`open`](Self::open) makes the [`Model`] around it.
#[derive(Debug)]
pub struct Reader {
    parts: Vec<FilePart>,
    tensors: Vec<StoredTensor>,
}

#[derive(Debug)]
struct FilePart {
    source: FileSource,
    big_endian: bool,
}

#[derive(Debug)]
struct StoredTensor {
    dtype: DType,
    location: Location,
}

impl Reader {
    /// Opens a GGUF file, version 2 or 3, of either byte order. Any part of a split model opens all
    /// of it; the metadata are then those of its first part.
    ///
    /// ```no_run
    /// let model = quantlib::format::gguf::Reader::open("model.gguf")?;
    /// for tensor in model.tensors() {
    ///     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
    /// }
    /// # Ok::<(), quantlib::Error>(())
    /// ```
    ///
    /// # Errors
    /// `io` if the file or a part of it cannot be read, `malformed` if it does not follow the
    /// format, `unsupported` for other versions, types that ggml lacks, and quantized types whose
    /// big-endian layout is not defined (all but Q8_0, Q4_K, Q6_K and MXFP4), `limit` beyond the
    /// default [`Limits`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Self::open_with(path, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        let path = path.as_ref();
        let source = FileSource::open(path)?;
        let header = Header::parse(&source, limits)?;
        let part = Part::of(&header.metadata, limits).map_err(|e| e.in_file(path))?;
        let files = match part {
            None => vec![(source, header)],
            Some(part) => open_parts(part, source, header, limits)?,
        };
        Self::join(path, files)
    }

    fn join(path: &Path, files: Vec<(FileSource, Header)>) -> Result<Model> {
        let mut infos: Vec<TensorInfo> = Vec::new();
        let mut metadata = None;
        let mut reader = Self {
            parts: Vec::new(),
            tensors: Vec::new(),
        };
        for (file, (source, header)) in files.into_iter().enumerate() {
            let stored = header.tensors.iter().zip(header.offsets);
            reader
                .tensors
                .extend(stored.map(|(info, offset)| StoredTensor {
                    dtype: info.dtype,
                    location: Location { file, offset },
                }));
            infos.extend(header.tensors);
            metadata.get_or_insert(header.metadata);
            reader.parts.push(FilePart {
                source,
                big_endian: header.big_endian,
            });
        }
        Model::new(
            path,
            FORMAT,
            infos,
            metadata.unwrap_or_default(),
            Box::new(reader),
        )
    }
}

/// Opens the other parts, given one, and checks that all belong together.
fn open_parts(
    given: Part,
    source: FileSource,
    header: Header,
    limits: &Limits,
) -> Result<Vec<(FileSource, Header)>> {
    let paths = given.siblings(source.path())?;
    let mut opened = Some((source, header));
    let mut files = Vec::new();
    for (number, path) in (0..given.count).zip(&paths) {
        let (source, header) = match opened.take_if(|_| number == given.number) {
            Some(file) => file,
            None => {
                let source = FileSource::open(path)?;
                let header = Header::parse(&source, limits)?;
                (source, header)
            }
        };
        let part = Part::of(&header.metadata, limits).map_err(|e| e.in_file(path))?;
        let expected = Part { number, ..given };
        if part != Some(expected) {
            return Err(Error::malformed(format!(
                "should be part {} of {}, but its metadata say otherwise",
                number + 1,
                given.count
            ))
            .in_file(path)
            .in_key(split::NUMBER_KEY));
        }
        files.push((source, header));
    }
    check_total(&files)?;
    Ok(files)
}

/// The first part says how many tensors there are in all.
fn check_total(files: &[(FileSource, Header)]) -> Result<()> {
    let Some((first, header)) = files.first() else {
        return Ok(());
    };
    let expected = split::integer(&header.metadata, split::TENSORS_KEY)
        .and_then(|count| count.ok_or_else(|| Error::malformed("a split model needs it")))
        .map_err(|e| e.in_file(first.path()).in_key(split::TENSORS_KEY))?;
    let found: usize = files.iter().map(|(_, header)| header.tensors.len()).sum();
    if expected == found as u64 {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "says {expected} tensors, but the files have {found}"
    ))
    .in_file(first.path())
    .in_key(split::TENSORS_KEY))
}

impl model::Reader for Reader {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        let tensor = &self.tensors[index];
        let part = &self.parts[tensor.location.file];
        let start = tensor.location.offset;
        if part.big_endian {
            return endian::read(tensor.dtype, offset, buf, |offset, buf| {
                part.source.read_exact_at(buf, start + offset)
            });
        }
        part.source.read_exact_at(buf, start + offset)
    }

    fn files(&self) -> Vec<&Path> {
        self.parts.iter().map(|part| part.source.path()).collect()
    }

    fn location(&self, index: usize) -> Option<Location> {
        self.tensors.get(index).map(|tensor| tensor.location)
    }
}

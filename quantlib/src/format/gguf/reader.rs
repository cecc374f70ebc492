//! Opens a model of one or several files.

use super::header::Header;
use super::split::{self, Part};
use super::{FORMAT, endian};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::stored::StoredTensors;
use crate::io::{FileSource, Limits};
use crate::model::{self, Location, Model};
use std::path::Path;

/// Reads tensors of an opened GGUF model; [`open`](Self::open) makes the [`Model`] around it.
#[derive(Debug)]
pub struct Reader {
    stored: StoredTensors,
    /// For every tensor its type if it must be turned around.
    big_endian: Vec<Option<DType>>,
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
        let mut infos = Vec::new();
        let mut metadata = None;
        let mut reader = Self {
            stored: StoredTensors::default(),
            big_endian: Vec::new(),
        };
        for (source, header) in files {
            let types = header.tensors.iter().map(|info| info.dtype);
            let swapped = types.map(|dtype| header.big_endian.then_some(dtype));
            reader.big_endian.extend(swapped);
            reader.stored.push(source, header.offsets);
            infos.extend(header.tensors);
            metadata.get_or_insert(header.metadata);
        }
        let metadata = metadata.unwrap_or_default();
        Model::new(path, FORMAT, infos, metadata, Box::new(reader))
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

/// The first part says how many tensors there are in all, and no other part may contradict it: they
/// would be of another model.
fn check_total(files: &[(FileSource, Header)]) -> Result<()> {
    let Some((first, header)) = files.first() else {
        return Ok(());
    };
    let wrong = |source: &FileSource, what: String| {
        let error = Error::malformed(what).in_file(source.path());
        Err(error.in_key(split::TENSORS_KEY))
    };
    let total = |source: &FileSource, header: &Header| {
        split::integer(&header.metadata, split::TENSORS_KEY).map_err(|e| e.in_file(source.path()))
    };
    let Some(expected) = total(first, header)? else {
        return wrong(first, "a split model needs it".to_owned());
    };
    for (source, header) in files {
        if let Some(own) = total(source, header)?.filter(|own| *own != expected) {
            return wrong(
                source,
                format!(
                    "says {own} tensors in all, but the first part says {expected}; the parts are of different models"
                ),
            );
        }
    }
    let found: usize = files.iter().map(|(_, header)| header.tensors.len()).sum();
    if expected != found as u64 {
        return wrong(
            first,
            format!("says {expected} tensors, but the files have {found}"),
        );
    }
    Ok(())
}

impl model::Reader for Reader {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self.big_endian[index] {
            None => self.stored.read_at(index, offset, buf),
            Some(dtype) => endian::read(dtype, offset, buf, |offset, buf| {
                self.stored.read_at(index, offset, buf)
            }),
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.stored.files()
    }

    fn location(&self, index: usize) -> Option<Location> {
        self.stored.location(index)
    }
}

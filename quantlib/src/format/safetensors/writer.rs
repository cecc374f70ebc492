//! Writes a file whose tensors are known, in any order and in any pieces.

use super::head::layout;
use crate::error::{Error, Result};
use crate::format::Layout;
use crate::io::OutputSet;
use crate::model::{Metadata, TensorInfo};
use std::path::{Path, PathBuf};

/// Writes a safetensors file that appears, whole, when it is finished; dropped before, nothing
/// appears.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("model.safetensors");
/// use quantlib::{DType, format::safetensors::Writer, model::{Metadata, TensorInfo}};
/// let info = TensorInfo { name: "a".to_owned(), dtype: DType::U8, shape: vec![2, 3] };
/// let mut writer = Writer::create(&path, &[info], &Metadata::new())?;
/// writer.write_at(0, 0, b"some")?;
/// writer.write_at(0, 4, b"!!")?;
/// writer.finish()?;
/// assert_eq!(quantlib::open(&path)?.read("a")?, b"some!!");
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    output: OutputSet,
    tensors: Vec<TensorInfo>,
    layout: Layout,
    /// For each tensor, the number of bytes that were written.
    written: Vec<u64>,
}

impl Writer {
    /// Starts a file of these tensors, and reserves its space.
    ///
    /// # Errors
    /// Those of [`layout`]; `io` if the folder is missing or not writable, or the disk is full;
    /// `misuse` if the path is something else than a file.
    pub fn create(
        path: impl AsRef<Path>,
        tensors: &[TensorInfo],
        metadata: &Metadata,
    ) -> Result<Self> {
        let path = path.as_ref();
        let layout = layout(tensors, metadata).map_err(|e| e.in_file(path))?;
        let output = OutputSet::file(path, &[])?;
        output.reserve(0, layout.file_len)?;
        output.write_at(0, 0, &layout.head)?;
        Ok(Self {
            path: path.to_path_buf(),
            output,
            tensors: tensors.to_vec(),
            layout,
            written: vec![0; tensors.len()],
        })
    }

    /// Writes bytes of the tensor at `index`, from byte `offset` of it on; each byte once.
    ///
    /// # Errors
    /// `misuse` if there is no such tensor or place in it; `io` if the file cannot be written.
    pub fn write_at(&mut self, index: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(info) = self.tensors.get(index) else {
            let fault = format!("there is no tensor {index} of {}", self.tensors.len());
            return Err(Error::misuse(fault).in_file(&self.path));
        };
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > info.nbytes() as u64) {
            return Err(Error::misuse(format!(
                "{} bytes at offset {offset} lie outside the tensor's {}",
                bytes.len(),
                info.nbytes()
            ))
            .in_file(&self.path)
            .in_tensor(&info.name));
        }
        self.written[index] += bytes.len() as u64;
        self.output
            .write_at(0, self.layout.offsets[index] + offset, bytes)
    }

    /// Completes the file and puts it in its place.
    ///
    /// # Errors
    /// `misuse` if bytes of a tensor are missing; `io` if the file cannot be renamed. In any case no
    /// file appears, and an old one stays.
    pub fn finish(self) -> Result<()> {
        for (info, &written) in self.tensors.iter().zip(&self.written) {
            if written != info.nbytes() as u64 {
                return Err(Error::misuse(format!(
                    "it has {} bytes, but {written} were written",
                    info.nbytes()
                ))
                .in_file(&self.path)
                .in_tensor(&info.name));
            }
        }
        self.output.commit()
    }
}

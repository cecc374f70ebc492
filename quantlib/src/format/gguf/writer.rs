//! Writes a file from scratch, tensor after tensor, with bounded memory.

use super::head::{Dialect, check_key, check_tensor, layout};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::Layout;
use crate::io::OutputSet;
use crate::model::{Metadata, TensorInfo, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes copied at once from the spool into the file.
const PIECE: usize = 1 << 20;

/// Writes a GGUF file that appears, whole, when it is finished; dropped before, nothing appears.
///
/// Keys, tensors and pieces of tensors may come in any mixture; then the data wait in a temporary
/// file beside the target, because the header before them is known only at the end. After
/// [`declare`](Self::declare) they go straight to their places.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("model.gguf");
/// use quantlib::{DType, format::gguf::Writer};
/// let mut writer = Writer::create(&path)?;
/// writer.set("general.architecture", "llama")?;
/// writer.start_tensor("output_norm.weight", DType::F32, &[4])?;
/// writer.write(&[0; 8])?;
/// writer.write(&[0; 8])?;
/// writer.finish()?;
/// assert_eq!(quantlib::open(&path)?.tensors()[0].shape, [4]);
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    output: OutputSet,
    dialect: Dialect,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// Where in `tensors` a name is.
    by_name: HashMap<String, usize>,
    data: Data,
    current: Option<Current>,
    /// An error left the data in disorder.
    failed: bool,
}

/// Where the tensors' bytes go.
#[derive(Debug)]
enum Data {
    /// One after the other into a temporary file.
    Spooled(File),
    /// To their places; `begun` says which tensors were.
    Placed { layout: Layout, begun: Vec<bool> },
}

/// The tensor that is being written.
#[derive(Debug)]
struct Current {
    index: usize,
    written: u64,
    bytes: u64,
}

impl Writer {
    /// Starts a file at `path`, in the dialect of gguf-py: every dimension of a shape is kept.
    ///
    /// # Errors
    /// `io` if the folder is missing or not writable; `misuse` if the path is something else than a
    /// file.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_with(path, Dialect::GgufPy)
    }

    /// [`create`](Self::create) in another dialect.
    pub fn create_with(path: impl AsRef<Path>, dialect: Dialect) -> Result<Self> {
        let path = path.as_ref();
        let output = OutputSet::file(path, &[])?;
        let spool = output.scratch()?;
        Ok(Self {
            path: path.to_path_buf(),
            output,
            dialect,
            metadata: Metadata::new(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
            data: Data::Spooled(spool),
            current: None,
            failed: false,
        })
    }

    /// Sets a key; one that is set already keeps its place.
    ///
    /// # Errors
    /// `misuse` for an empty key, a wrong alignment, and after [`declare`](Self::declare).
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        check_key(&key, &value).map_err(|e| self.named(e))?;
        if let Data::Placed { .. } = self.data {
            let error = Error::misuse("keys must be set before the tensors are declared");
            return Err(self.named(error.in_key(key)));
        }
        self.metadata.insert(key, value);
        Ok(())
    }

    /// Names all tensors before the first is written, in the order of the file; then they may be
    /// written in any order, and no temporary copy is made. No keys can be set afterwards.
    ///
    /// # Errors
    /// `misuse` if a tensor was written before, and for what [`layout`] refuses; `io` if the disk
    /// has no room for the file.
    pub fn declare(&mut self, tensors: Vec<TensorInfo>) -> Result<()> {
        if !self.tensors.is_empty() || matches!(self.data, Data::Placed { .. }) {
            let error = Error::misuse("tensors must be declared once, before the first is written");
            return Err(self.named(error));
        }
        let layout = layout(&tensors, &self.metadata, self.dialect).map_err(|e| self.named(e))?;
        self.output.reserve(0, layout.file_len)?;
        let names = tensors.iter().enumerate();
        self.by_name = names.map(|(i, info)| (info.name.clone(), i)).collect();
        let begun = vec![false; tensors.len()];
        self.tensors = tensors;
        self.data = Data::Placed { layout, begun };
        Ok(())
    }

    /// Begins a tensor of this row-major shape, whose bytes [`write`](Self::write) adds.
    ///
    /// # Errors
    /// `misuse` if the tensor before is not complete, if the name is taken, too long or not
    /// declared as such, or if GGUF has no such type or shape.
    pub fn start_tensor(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: &[usize],
    ) -> Result<()> {
        self.check_complete()?;
        let info = TensorInfo {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
        };
        let bytes = check_tensor(&info).map_err(|e| self.named(e.in_tensor(&info.name)))?;
        let index = self.place(info)?;
        self.current = Some(Current {
            index,
            written: 0,
            bytes,
        });
        Ok(())
    }

    /// The index of a tensor that is about to be written.
    fn place(&mut self, info: TensorInfo) -> Result<usize> {
        let known = self.by_name.get(&info.name).copied();
        let fault = match (&mut self.data, known) {
            (Data::Spooled(_), None) => {
                self.by_name.insert(info.name.clone(), self.tensors.len());
                self.tensors.push(info);
                return Ok(self.tensors.len() - 1);
            }
            (Data::Placed { begun, .. }, Some(index))
                if !begun[index] && self.tensors[index] == info =>
            {
                begun[index] = true;
                return Ok(index);
            }
            (Data::Placed { begun, .. }, Some(index)) if !begun[index] => format!(
                "it was declared as {} {:?}",
                self.tensors[index].dtype, self.tensors[index].shape
            ),
            (Data::Placed { .. }, None) => "it was not declared".to_owned(),
            (_, Some(_)) => "there is a tensor of this name already".to_owned(),
        };
        Err(self.named(Error::misuse(fault).in_tensor(info.name)))
    }

    /// Adds bytes to the tensor that was started, as much as the caller has at hand.
    ///
    /// # Errors
    /// `misuse` without a tensor or for more bytes than it has; `io` if the disk is full: then
    /// drop the writer.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Err(self.named(Error::misuse("start a tensor before its bytes")));
        };
        let left = current.bytes - current.written;
        if bytes.len() as u64 > left {
            let error = Error::misuse(format!(
                "got {} bytes, but only {left} are left",
                bytes.len()
            ));
            let name = &self.tensors[current.index].name;
            return Err(error.in_tensor(name).in_file(&self.path));
        }
        let result = match &mut self.data {
            Data::Spooled(spool) => spool
                .write_all(bytes)
                .map_err(|e| Error::io("cannot write the temporary file", e).in_file(&self.path)),
            Data::Placed { layout, .. } => {
                let at = layout.offsets[current.index] + current.written;
                self.output.write_at(0, at, bytes)
            }
        };
        current.written += bytes.len() as u64;
        self.failed |= result.is_err();
        result
    }

    /// Writes a whole tensor.
    ///
    /// # Errors
    /// Those of [`start_tensor`](Self::start_tensor) and [`write`](Self::write), and `misuse` if
    /// `data` is not as long as the type and shape say.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: &[usize],
        data: &[u8],
    ) -> Result<()> {
        self.start_tensor(name, dtype, shape)?;
        self.write(data)?;
        self.check_complete()
    }

    /// Completes the file and puts it in its place.
    ///
    /// # Errors
    /// `misuse` if a tensor lacks bytes or an earlier error left the data in disorder; `io` if the
    /// file cannot be written or renamed. In any case no file appears, and an old one stays.
    pub fn finish(mut self) -> Result<()> {
        self.check_complete()?;
        let layout = match &self.data {
            Data::Placed { layout, begun } => {
                if let Some(index) = begun.iter().position(|begun| !begun) {
                    let error = Error::misuse("it was declared, but not written");
                    return Err(self.named(error.in_tensor(&self.tensors[index].name)));
                }
                layout.clone()
            }
            Data::Spooled(_) => {
                layout(&self.tensors, &self.metadata, self.dialect).map_err(|e| self.named(e))?
            }
        };
        self.output.reserve(0, layout.file_len)?;
        self.output.write_at(0, 0, &layout.head)?;
        if let Data::Spooled(spool) = &mut self.data {
            copy(spool, &self.tensors, &layout, &self.output)?;
        }
        self.output.commit()
    }

    fn check_complete(&self) -> Result<()> {
        if self.failed {
            return Err(self.named(Error::misuse("an earlier write failed; start again")));
        }
        match &self.current {
            Some(current) if current.written < current.bytes => {
                let error = Error::misuse(format!(
                    "it has {} bytes, but {} were written",
                    current.bytes, current.written
                ));
                Err(self.named(error.in_tensor(&self.tensors[current.index].name)))
            }
            _ => Ok(()),
        }
    }

    fn named(&self, error: Error) -> Error {
        error.in_file(&self.path)
    }
}

/// Copies the spooled tensors to their places.
fn copy(
    spool: &mut File,
    tensors: &[TensorInfo],
    layout: &Layout,
    output: &OutputSet,
) -> Result<()> {
    let failed = |e| Error::io("cannot read the temporary file back", e);
    spool.rewind().map_err(failed)?;
    let mut buffer = vec![0; PIECE];
    for (info, &offset) in tensors.iter().zip(&layout.offsets) {
        let (mut at, mut left) = (offset, info.nbytes());
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            spool.read_exact(piece).map_err(failed)?;
            output.write_at(0, at, piece)?;
            at += piece.len() as u64;
            left -= piece.len();
        }
    }
    Ok(())
}

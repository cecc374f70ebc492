//! An opened model: headers are parsed, tensor bytes are read by position.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::value::Metadata;
use crate::tensor::Encoding;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Name, type and row-major shape of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// The name, as the file has it.
    pub name: String,
    /// How the elements are stored.
    pub dtype: DType,
    /// Row-major: the last dimension is contiguous.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Length in bytes. Readers checked that it fits.
    pub fn nbytes(&self) -> usize {
        self.dtype
            .tensor_bytes(&self.shape)
            .expect("the reader checked the shape")
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Reads the bytes of tensors; one implementation for each container. Threads share one reader.
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// Fills `buf` with bytes of the tensor at `index` (in the order of [`Model::tensors`]), from
    /// byte `offset` of it on, little-endian whatever the file's byte order.
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The files that tensors lie in; see [`Model::files`].
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Where a tensor lies, if its bytes are one range of a file; see [`Model::location`].
    fn location(&self, _index: usize) -> Option<Location> {
        None
    }

    /// How a tensor is stored, if it is decoded as it is read; see [`Model::encoding`].
    fn encoding(&self, _index: usize) -> Option<&Encoding> {
        None
    }
}

/// Where the bytes of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The index in [`Model::files`].
    pub file: usize,
    /// The offset in the file of the first byte.
    pub offset: u64,
}

/// An opened model: named tensors plus a document (whatever is no tensor).
///
/// Opening reads headers only; tensor bytes are read on demand.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    format: &'static str,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
    by_file: Vec<usize>,
    metadata: Metadata,
    /// How many of the tensors are no attached model's.
    own: usize,
    reader: Box<dyn Reader>,
}

impl Model {
    /// Joins what a container's parser found. `malformed` if two tensors have the same name.
    pub fn new(
        path: impl Into<PathBuf>,
        format: &'static str,
        tensors: Vec<TensorInfo>,
        metadata: Metadata,
        reader: Box<dyn Reader>,
    ) -> Result<Self> {
        let path = path.into();
        let mut by_name = HashMap::with_capacity(tensors.len());
        for (index, tensor) in tensors.iter().enumerate() {
            if by_name.insert(tensor.name.clone(), index).is_some() {
                return Err(Error::malformed("there are two tensors of this name")
                    .in_file(path)
                    .in_tensor(&tensor.name));
            }
        }
        let mut by_file = vec![0; reader.files().len()];
        for index in 0..tensors.len() {
            let location = reader.location(index);
            if let Some(count) = location.and_then(|at| by_file.get_mut(at.file)) {
                *count += 1;
            }
        }
        Ok(Self {
            path,
            format,
            own: tensors.len(),
            tensors,
            by_name,
            by_file,
            metadata,
            reader,
        })
    }

    /// Adds the tensors of another model, whose names get `prefix` in front, so that the expressions
    /// of one plan can refer to both. Path, format and metadata stay this model's.
    ///
    /// # Errors
    /// `malformed` if a tensor of that name is there already.
    ///
    /// ```no_run
    /// let base = quantlib::open("base")?;
    /// let both = base.attach("adapter:", quantlib::open("adapter.safetensors")?)?;
    /// let scales = both.read("adapter:scales")?;
    /// # Ok::<(), quantlib::Error>(())
    /// ```
    pub fn attach(self, prefix: &str, other: Model) -> Result<Self> {
        let own = self.own;
        let (first, first_file) = (self.tensors.len(), self.files().len());
        let mut tensors = self.tensors;
        tensors.extend(other.tensors.into_iter().map(|tensor| TensorInfo {
            name: format!("{prefix}{}", tensor.name),
            ..tensor
        }));
        let reader = Attached {
            base: self.reader,
            other: other.reader,
            first,
            first_file,
        };
        let both = Self::new(
            self.path,
            self.format,
            tensors,
            self.metadata,
            Box::new(reader),
        )?;
        Ok(Self { own, ..both })
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container: `"gguf"`, `"safetensors"`, `"mlx"`, `"onnx"`, `"huggingface"`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensors in file order without those of [attached](Self::attach) models.
    pub fn own_tensors(&self) -> &[TensorInfo] {
        &self.tensors[..self.own]
    }

    /// The index of a tensor in [`tensors`](Self::tensors).
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index_of(name).map(|index| &self.tensors[index])
    }

    /// The metadata in file order: GGUF keys, a safetensors header's strings, or what an ONNX
    /// model says of itself (`onnx.ir_version` and so on).
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The files that tensors lie in: the parts of a split model in order, or one file.
    pub fn files(&self) -> Vec<&Path> {
        self.reader.files()
    }

    /// How many tensors lie in each of [`files`](Self::files).
    pub fn tensors_by_file(&self) -> &[usize] {
        &self.by_file
    }

    /// In which file the tensor at `index` lies and where, if its bytes are one range of a file. A
    /// big-endian file has other bytes there than [`read_at`](Self::read_at) gives.
    pub fn location(&self, index: usize) -> Option<Location> {
        self.reader.location(index)
    }

    /// How the tensor at `index` is stored, if that is in several planes which are decoded as it is
    /// read: a quantized layer of an MLX folder. Its type is the one that it is decoded to.
    pub fn encoding(&self, index: usize) -> Option<&Encoding> {
        self.reader.encoding(index)
    }

    /// Fills `buf` with bytes of a tensor from byte `offset` on.
    ///
    /// # Errors
    /// `misuse` for a range outside the tensor, `io` or `malformed` if the file fails.
    pub fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        let info = &self.tensors[index];
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > info.nbytes() as u64) {
            return Err(Error::misuse(format!(
                "{} bytes at offset {offset} lie outside the tensor's {}",
                buf.len(),
                info.nbytes()
            ))
            .in_file(&self.path)
            .in_tensor(&info.name));
        }
        self.reader
            .read_at(index, offset, buf)
            .map_err(|e| e.in_file(&self.path).in_tensor(&info.name))
    }

    /// All bytes of a tensor.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let index = self.index_of(name).ok_or_else(|| {
            Error::misuse("there is no tensor of this name")
                .in_file(&self.path)
                .in_tensor(name)
        })?;
        let mut data = vec![0; self.tensors[index].nbytes()];
        self.read_at(index, 0, &mut data)?;
        Ok(data)
    }
}

/// Two readers as one: the tensors and files of one after those of the other.
#[derive(Debug)]
struct Attached {
    base: Box<dyn Reader>,
    other: Box<dyn Reader>,
    /// The number of tensors of the base.
    first: usize,
    /// The number of its files.
    first_file: usize,
}

impl Reader for Attached {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        match index.checked_sub(self.first) {
            None => self.base.read_at(index, offset, buf),
            Some(index) => self.other.read_at(index, offset, buf),
        }
    }

    fn files(&self) -> Vec<&Path> {
        let mut files = self.base.files();
        files.extend(self.other.files());
        files
    }

    fn location(&self, index: usize) -> Option<Location> {
        match index.checked_sub(self.first) {
            None => self.base.location(index),
            Some(index) => self.other.location(index).map(|at| Location {
                file: at.file + self.first_file,
                ..at
            }),
        }
    }

    fn encoding(&self, index: usize) -> Option<&Encoding> {
        match index.checked_sub(self.first) {
            None => self.base.encoding(index),
            Some(index) => self.other.encoding(index),
        }
    }
}

//! Opens a model for its weights.

use super::document::Document;
use super::schema::graph;
use super::summary;
use super::tensor::{Elements, Tensor};
use super::varints::Varints;
use super::wire::{Bytes, Message};
use super::{FORMAT, NEWEST_IR_VERSION};
use crate::error::{Error, Result};
use crate::io::Limits;
use crate::model::{self, Location, Model, TensorInfo};
use std::path::Path;

/// Reads the tensors of an opened ONNX model; [`open`](Self::open) makes the [`Model`] around it.
#[derive(Debug)]
pub struct Reader {
    document: Document,
    data: Vec<Data>,
}

/// The elements of a tensor.
#[derive(Debug)]
enum Data {
    Bytes(Bytes),
    Varints(Varints),
}

impl Reader {
    /// Opens a `.onnx` file, with its external data if it has them. The tensors are the
    /// initializers of the main graph; the metadata say what else there is: versions, operator sets,
    /// inputs, outputs, how many nodes of which kind, and the model's own properties.
    ///
    /// Initializers whose elements are no [`DType`](crate::DType), such as strings and 4-bit
    /// integers, are only counted in the metadata.
    ///
    /// ```no_run
    /// let model = quantlib::format::onnx::Reader::open("model.onnx")?;
    /// for tensor in model.tensors() {
    ///     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
    /// }
    /// # Ok::<(), quantlib::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Document::open`]; `malformed` if a tensor has not as many elements as its shape.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Self::open_with(path, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        let path = path.as_ref();
        let document = Document::open_with(path, limits)?;
        let metadata = summary::metadata(&document, NEWEST_IR_VERSION);
        let (mut tensors, mut data) = (Vec::new(), Vec::new());
        let mut add = |message| -> Result<()> {
            if let Some((info, elements)) = tensor(&document, message, limits)? {
                tensors.push(info);
                data.push(elements);
            }
            Ok(())
        };
        for message in document.graph().messages(graph::INITIALIZER) {
            let name = Tensor::new(message).name();
            add(message).map_err(|e| e.in_tensor(name).in_file(path))?;
        }
        if tensors.len() as u64 > limits.tensors {
            return Err(Error::limit(format!(
                "has {} tensors, more than the limit of {}",
                tensors.len(),
                limits.tensors
            ))
            .in_file(path));
        }
        let reader = Box::new(Self { document, data });
        Model::new(path, FORMAT, tensors, metadata, reader)
    }
}

/// A tensor and its elements, if they are of a type that tensors can have.
fn tensor(
    document: &Document,
    message: &Message,
    limits: &Limits,
) -> Result<Option<(TensorInfo, Data)>> {
    let tensor = Tensor::new(message);
    let Some(dtype) = tensor.dtype() else {
        return Ok(None);
    };
    let shape = tensor.shape()?;
    if shape.len() as u64 > u64::from(limits.dimensions) {
        return Err(Error::limit(format!(
            "has {} dimensions, more than the limit of {}",
            shape.len(),
            limits.dimensions
        )));
    }
    let bytes = dtype.tensor_bytes(&shape)?;
    let data = match tensor.elements()? {
        Elements::Raw(raw) => Data::Bytes(raw.clone()),
        Elements::Joined(joined) => Data::Bytes(Bytes::Memory(joined.into())),
        Elements::Varints(packed) => {
            let (size, elements) = (dtype.block_bytes(), shape.iter().product());
            Data::Varints(Varints::new(document, packed, size, elements)?)
        }
    };
    if let Data::Bytes(data) = &data
        && data.len() != bytes as u64
    {
        return Err(Error::malformed(format!(
            "has {} bytes, but {shape:?} of {dtype} are {bytes}",
            data.len()
        )));
    }
    let name = tensor.name().to_owned();
    Ok(Some((TensorInfo { name, dtype, shape }, data)))
}

impl model::Reader for Reader {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        match &self.data[index] {
            Data::Bytes(bytes) => self.document.read(bytes, offset, buf),
            Data::Varints(varints) => varints.read_at(&self.document, offset, buf),
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.document.files().collect()
    }

    fn location(&self, index: usize) -> Option<Location> {
        match self.data.get(index)? {
            Data::Bytes(Bytes::Stored { file, offset, .. }) => Some(Location {
                file: *file as usize,
                offset: *offset,
            }),
            _ => None,
        }
    }
}

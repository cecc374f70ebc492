//! Opens a model for its weights.

use super::document::Document;
use super::schema::graph;
use super::summary;
use super::tensor::{Elements, Tensor};
use super::varints::Varints;
use super::weights::Weight;
use super::wire::{Bytes, Message};
use super::{FORMAT, NEWEST_IR_VERSION};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::io::Limits;
use crate::model::{self, Location, Model, TensorInfo};
use std::collections::{HashMap, HashSet};
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
        let document = Document::open_with(path, limits)?;
        let tensors = document.graph().messages(graph::INITIALIZER);
        let tensors = tensors.map(|tensor| (Tensor::new(tensor).name().to_owned(), tensor));
        let mut found = Found::new(&document, limits);
        tensors
            .into_iter()
            .try_for_each(|(name, tensor)| found.add(name, tensor).map(drop))?;
        found.into_model()
    }

    /// The constants of all graphs as tensors of a model, each under a name of its own, which is its
    /// key for whoever asks for it: none for those that have no elements of a [`DType`], or in too
    /// many pieces. In the order of [`Graphs::weights`].
    ///
    /// [`DType`]: crate::DType
    /// [`Graphs::weights`]: super::Graphs::weights
    ///
    /// # Errors
    /// `malformed` if a tensor has not as many elements as its shape.
    pub fn of_weights(
        document: &Document,
        weights: &[Weight<'_>],
        limits: &Limits,
    ) -> Result<(Model, Vec<Option<String>>)> {
        let mut names = Keys::default();
        let mut found = Found::new(document, limits);
        let mut keys = Vec::with_capacity(weights.len());
        for weight in weights {
            let name = names.unique(weight);
            let added = match found.add(name.clone(), weight.tensor) {
                Err(e) if e.kind() == ErrorKind::Unsupported => false,
                added => added?,
            };
            keys.push(added.then_some(name));
        }
        Ok((found.into_model()?, keys))
    }
}

/// Tensors of a model that is being put together.
/// Names of constants: branches of a model may have some of the same name.
#[derive(Default)]
struct Keys {
    taken: HashSet<String>,
    /// How many had a name before.
    before: HashMap<String, usize>,
}

impl Keys {
    fn unique(&mut self, weight: &Weight<'_>) -> String {
        let Weight { name, graph, .. } = weight;
        if self.taken.insert((*name).to_owned()) {
            return (*name).to_owned();
        }
        let before = self.before.entry((*name).to_owned()).or_default();
        loop {
            *before += 1;
            let key = match *before {
                1 => format!("{name} (graph {graph})"),
                count => format!("{name} (graph {graph}, {count})"),
            };
            if self.taken.insert(key.clone()) {
                return key;
            }
        }
    }
}

struct Found<'d> {
    document: &'d Document,
    limits: &'d Limits,
    tensors: Vec<TensorInfo>,
    data: Vec<Data>,
}

impl<'d> Found<'d> {
    fn new(document: &'d Document, limits: &'d Limits) -> Self {
        Self {
            document,
            limits,
            tensors: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Whether the tensor is of a type that tensors can have.
    fn add(&mut self, name: String, message: &Message) -> Result<bool> {
        let found = tensor(self.document, message, self.limits)
            .map_err(|e| e.in_tensor(&name).in_file(self.document.path()))?;
        let Some((dtype, shape, elements)) = found else {
            return Ok(false);
        };
        self.tensors.push(TensorInfo { name, dtype, shape });
        self.data.push(elements);
        Ok(true)
    }

    fn into_model(self) -> Result<Model> {
        let path = self.document.path();
        if self.tensors.len() as u64 > self.limits.tensors {
            return Err(Error::limit(format!(
                "has {} tensors, more than the limit of {}",
                self.tensors.len(),
                self.limits.tensors
            ))
            .in_file(path));
        }
        let metadata = summary::metadata(self.document, NEWEST_IR_VERSION);
        let reader = Box::new(Reader {
            document: self.document.clone(),
            data: self.data,
        });
        Model::new(path, FORMAT, self.tensors, metadata, reader)
    }
}

/// A tensor and its elements, if they are of a type that tensors can have.
fn tensor(
    document: &Document,
    message: &Message,
    limits: &Limits,
) -> Result<Option<(DType, Vec<usize>, Data)>> {
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
    Ok(Some((dtype, shape, data)))
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

#[cfg(test)]
mod tests {
    use super::super::node::{make_node, make_tensor};
    use super::super::schema::{attribute, node as node_field};
    use super::super::wire::Field;
    use super::super::{Graphs, data_type};
    use super::*;

    #[test]
    fn constants_of_one_name_have_keys_of_their_own() {
        let raw = Bytes::Memory([0; 4].into());
        let tensor = make_tensor("", data_type::FLOAT, &[1], raw);
        let value = [
            Field::new(attribute::NAME, "value"),
            Field::new(attribute::T, tensor),
        ];
        let mut constant = make_node(["Constant", "", ""], &[], &["w"; 4], &[]);
        constant.push(node_field::ATTRIBUTE, Message::of(value));
        let mut main = Message::new();
        main.push(graph::NODE, constant);
        let document = Document::around(main);
        let graphs = Graphs::new(&document);
        let (model, keys) =
            Reader::of_weights(&document, &graphs.weights, &Limits::default()).unwrap();
        let keys: Vec<_> = keys.iter().map(|key| key.as_deref().unwrap()).collect();
        let expected = ["w", "w (graph 0)", "w (graph 0, 2)", "w (graph 0, 3)"];
        assert_eq!(keys, expected);
        assert_eq!(model.tensors().len(), 4);
    }
}

//! ONNX models: a graph of operators with its weights, in one protobuf file or with data beside it.
//!
//! - [`Reader`] gives the initializers of the main graph as tensors of a
//!   [`Model`](crate::model::Model).
//! - [`Document`] is the whole file, to be looked at, edited and written: every field survives,
//!   those that nothing here knows too, and a document that nobody edited is written back byte for
//!   byte.
//!
//! The wire code is our own, not generated: messages stay ordered lists of fields, and long fields
//! stay ranges of the file (see [`Message`]).

mod document;
mod element;
mod external;
mod layout;
mod node;
mod probe;
mod reader;
mod save;
pub(crate) mod schema;
mod summary;
mod tensor;
mod types;
mod varints;
mod walk;
mod weights;
mod wire;

pub use document::{Document, is_onnx};
pub use element::data_type;
pub use layout::ExternalData;
pub(crate) use layout::Layout;
pub use node::{Node, make_node, make_tensor};
pub(crate) use node::{make_int_attribute, put_names};
pub use probe::Probe;
pub use reader::Reader;
pub use save::SaveOptions;
pub(crate) use save::data_path;
pub use tensor::Tensor;
pub use types::Types;
pub use weights::{Graphs, Names, Origin, Use, Weight, each_graph_mut};
pub use wire::{Bytes, Field, Message, Value};

/// The name of the format in [`Model::format`](crate::model::Model::format).
const FORMAT: &str = "onnx";

/// The newest version of the file format whose fields are known here; newer ones are read as far as
/// they are alike.
const NEWEST_IR_VERSION: i64 = 14;

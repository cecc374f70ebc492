//! A model that shows what is inside of it, for whoever runs it.

use super::document::Document;
use super::external;
use super::schema::{Kind, graph, model as root, tensor as field, value};
use super::tensor::Tensor;
use super::walk::each_tensor_mut;
use super::wire::{Bytes, Message, Piece, encode};
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Shorter tensors are part of the message: runtimes look into those that are shapes.
const LEAST_OUTSIDE: u64 = 1 << 10;

/// Longest message that is put together in memory.
const LONGEST: u64 = 256 << 20;

/// A model with more outputs, as a message that refers to the tensors of the file it was made from.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The `ModelProto`. Long tensors are external data that lie in `folder`, even those of the
    /// `.onnx` file: they need not be read to make it.
    pub model: Vec<u8>,
    /// The folder that external data are relative to.
    pub folder: PathBuf,
}

impl Document {
    /// The model with further outputs of these names, values of the main graph, whose types the
    /// runtime finds out. Inputs of the graph do not become outputs: who runs it has them.
    ///
    /// With onnxruntime, `folder` is the session's entry
    /// `session.model_external_initializers_file_folder_path`.
    ///
    /// # Errors
    /// `io`; `unsupported` if data lie where a runtime will not look for them, `limit` if the model
    /// takes more than 256 MiB without its tensors.
    pub fn probe(&self, outputs: &[String]) -> Result<Probe> {
        let path = self.path();
        let real = std::fs::canonicalize(path)
            .map_err(|e| Error::io("cannot be found", e).in_file(path))?;
        let folder = real.parent().unwrap_or(Path::new("/")).to_path_buf();
        let mut model = self.model().clone();
        if let Some(graph) = model.message_mut(root::GRAPH) {
            add_outputs(graph, outputs);
        }
        each_tensor_mut(&mut model, Kind::Model, &mut |tensor, _| {
            self.point_to_file(tensor, &folder)
                .map_err(|e| e.in_tensor(Tensor::new(tensor).name()).in_file(path))
        })?;
        Ok(Probe {
            model: self.encoded(&model)?,
            folder,
        })
    }

    fn point_to_file(&self, tensor: &mut Message, folder: &Path) -> Result<()> {
        let stored = match tensor.bytes(field::RAW_DATA) {
            Some(Bytes::Stored { file, offset, len }) => (*file, *offset, *len),
            _ => return Ok(()),
        };
        let (file, offset, len) = stored;
        if len < LEAST_OUTSIDE {
            external::embed_if_external(tensor);
            return Ok(());
        }
        let file = self.files().nth(file as usize).unwrap_or(self.path());
        let real = std::fs::canonicalize(file)
            .map_err(|e| Error::io("cannot be found", e).in_file(file))?;
        let location = real.strip_prefix(folder).ok().and_then(Path::to_str);
        let location = location.ok_or_else(|| {
            Error::unsupported(
                "its data do not lie beside the model, where runtimes look for them; copy the model with quantlib convert first",
            )
        })?;
        tensor.remove(field::RAW_DATA);
        external::point(tensor, location, offset, len);
        Ok(())
    }

    fn encoded(&self, model: &Message) -> Result<Vec<u8>> {
        let pieces = encode(model);
        let total: u64 = pieces.iter().map(Piece::len).sum();
        if total > LONGEST {
            return Err(Error::limit(format!(
                "takes {total} bytes without its tensors, more than the limit of {LONGEST}"
            ))
            .in_file(self.path()));
        }
        let mut all = Vec::with_capacity(total as usize);
        for piece in pieces {
            match piece {
                Piece::Memory(bytes) => all.extend(bytes),
                Piece::Elsewhere(bytes) => {
                    let start = all.len();
                    all.resize(start + bytes.len() as usize, 0);
                    self.read(&bytes, 0, &mut all[start..])?;
                }
            }
        }
        Ok(all)
    }
}

/// Adds outputs that are neither outputs nor inputs yet: a runtime may hand the caller's own memory out
/// for an input.
fn add_outputs(message: &mut Message, outputs: &[String]) {
    let ends = [graph::OUTPUT, graph::INPUT].map(|number| message.messages(number));
    let ends = ends.into_iter().flatten();
    let known: HashSet<_> = ends.map(|end| end.text(value::NAME).to_owned()).collect();
    for name in outputs.iter().filter(|name| !known.contains(*name)) {
        let mut output = Message::new();
        output.push(value::NAME, &name[..]);
        message.push(graph::OUTPUT, output);
    }
}

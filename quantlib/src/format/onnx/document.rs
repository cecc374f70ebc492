//! A whole model file: its messages, and the files that its tensors lie in.

use super::external;
use super::schema::{model as field, operator_set};
use super::wire::{Bytes, Message, read_model};
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use std::path::Path;
use std::sync::Arc;

/// An opened ONNX model, whole: what is no tensor is in memory, tensors stay in the file.
///
/// ```no_run
/// use quantlib::format::onnx::{Document, SaveOptions};
/// let document = Document::open("model.onnx")?;
/// println!("IR version {}", document.ir_version());
/// for (domain, version) in document.opsets() {
///     println!("{domain} {version}");
/// }
/// document.save("copy.onnx", &SaveOptions::default())?;
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    /// The `.onnx` file, and those with external data.
    files: Vec<Arc<FileSource>>,
    model: Message,
}

impl Document {
    /// Opens a model and finds its external data.
    ///
    /// # Errors
    /// `io` if a file cannot be read; `malformed`, with the path of the field, if it is no protobuf,
    /// has no graph, or its external data are missing, too short, or not in the model's folder;
    /// `limit` beyond the default [`Limits`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let source = FileSource::open(path)?;
        let mut model = read_model(&source, limits)?;
        let malformed = |what: &str| Err(Error::malformed(what).in_file(source.path()));
        if model.message(field::GRAPH).is_none() {
            return malformed("has no graph; it is no ONNX model, or it is incomplete");
        }
        if model.int(field::IR_VERSION).is_none() {
            return malformed("says no IR version; it is no ONNX model, or it is damaged");
        }
        let mut files = vec![Arc::new(source)];
        external::resolve(&mut model, &mut files, limits)?;
        Ok(Self { files, model })
    }

    /// A model of the newest kind around a graph; its file is one that exists.
    #[cfg(test)]
    pub(crate) fn around(graph: Message) -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut model = Message::new();
        model.push(field::IR_VERSION, 10);
        model.push(field::GRAPH, graph);
        let mut import = Message::new();
        import.push(operator_set::VERSION, 21);
        model.push(field::OPSET_IMPORT, import);
        let file = FileSource::open(path).expect("the package has a manifest");
        Self {
            files: vec![Arc::new(file)],
            model,
        }
    }

    /// The `.onnx` file.
    pub fn path(&self) -> &Path {
        self.files[0].path()
    }

    /// The files that tensors lie in: the `.onnx` file first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path())
    }

    /// The `ModelProto`.
    pub fn model(&self) -> &Message {
        &self.model
    }

    /// The `ModelProto`, to be edited.
    pub fn model_mut(&mut self) -> &mut Message {
        &mut self.model
    }

    /// The main graph.
    pub fn graph(&self) -> &Message {
        let graph = self.model.message(field::GRAPH);
        graph.unwrap_or(const { &Message::new() })
    }

    /// The version of the file format.
    pub fn ir_version(&self) -> i64 {
        self.model.int(field::IR_VERSION).unwrap_or_default()
    }

    /// The operator sets in use: domain and version. The domain of ONNX's own is `"ai.onnx"`.
    pub fn opsets(&self) -> impl Iterator<Item = (&str, i64)> {
        self.model.messages(field::OPSET_IMPORT).map(|import| {
            let domain = match import.text(operator_set::DOMAIN) {
                "" => "ai.onnx",
                domain => domain,
            };
            let version = import.int(operator_set::VERSION);
            (domain, version.unwrap_or_default())
        })
    }

    /// The version of an operator set, if the model uses it.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let mut opsets = self.opsets().filter(|(name, _)| *name == domain);
        opsets.next().map(|(_, version)| version)
    }

    /// Fills `buf` with bytes from `offset` of a run on.
    ///
    /// # Errors
    /// `misuse` if there are not as many, `io`.
    pub fn read(&self, bytes: &Bytes, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > bytes.len()) {
            return Err(Error::misuse("the bytes asked for lie outside").in_file(self.path()));
        }
        match bytes {
            Bytes::Memory(bytes) => {
                // Within `bytes`, so it fits.
                buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
                Ok(())
            }
            Bytes::Stored {
                file, offset: at, ..
            } => match self.files.get(*file as usize) {
                Some(source) => source.read_exact_at(buf, at + offset),
                None => Err(Error::misuse("the bytes are of another document")),
            },
            Bytes::Later { .. } => Err(Error::misuse("the bytes are not written yet")),
        }
    }
}

/// Whether a path has the ending of ONNX models.
pub fn is_onnx(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"))
}

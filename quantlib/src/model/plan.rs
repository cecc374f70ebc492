//! Plans: what will be written, decided before one byte is encoded.

use crate::dtype::rows_and_cols;
use crate::error::Result;
use crate::model::expr::Expr;
use crate::model::reader::TensorInfo;
use crate::model::value::{Metadata, Value};
use crate::tensor::Encoding;
use serde::{Deserialize, Serialize};

/// One tensor of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputTensor {
    /// The name in the output.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// How it will be stored.
    pub encoding: Encoding,
    /// Where the values come from.
    pub source: Expr,
    /// The entry of the importance matrix to encode with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
}

impl OutputTensor {
    /// What a file that it lies in says of it.
    ///
    /// # Errors
    /// `unsupported` if it has several planes, which are tensors of their own in a file.
    pub fn info(&self) -> Result<TensorInfo> {
        let dtype = self.encoding.block();
        Ok(TensorInfo {
            name: self.name.clone(),
            dtype: dtype.map_err(|e| e.in_tensor(&self.name))?,
            shape: self.shape.clone(),
        })
    }

    /// Bytes of all planes together.
    pub fn nbytes(&self) -> Result<u64> {
        let planes = self
            .encoding
            .planes(&self.shape)
            .map_err(|e| e.in_tensor(&self.name))?;
        Ok(planes.iter().map(|plane| plane.bytes as u64).sum())
    }

    /// Number of elements.
    pub fn elements(&self) -> Result<u64> {
        let (rows, cols) = rows_and_cols(&self.shape).map_err(|e| e.in_tensor(&self.name))?;
        Ok(rows as u64 * cols as u64)
    }
}

/// One change to the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Edit {
    /// Sets a key: an existing one is removed, the new one goes last, as ggml does it.
    Set {
        /// The key.
        key: String,
        /// Its new value.
        value: Value,
    },
    /// Removes a key, if it is there.
    Remove {
        /// The key.
        key: String,
    },
}

impl Edit {
    /// Sets a key.
    pub fn set(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Set {
            key: key.into(),
            value: value.into(),
        }
    }

    fn apply(&self, metadata: &mut Metadata) {
        match self {
            Self::Set { key, value } => {
                metadata.shift_remove(key);
                metadata.insert(key.clone(), value.clone());
            }
            Self::Remove { key } => {
                metadata.shift_remove(key);
            }
        }
    }
}

/// One file of an output in several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How many of the plan's tensors lie in it, from where the part before ended.
    pub tensors: usize,
    /// What its document has besides: that of the first part begins with the plan's, that of the
    /// others with nothing.
    pub edits: Vec<Edit>,
}

/// What a job will write: ordered output tensors and edits to the document. Plain data: it can be
/// printed, edited, stored and compared, and making one encodes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The tensors in the order of the output file.
    pub tensors: Vec<OutputTensor>,
    /// The changes to the input's document, in order.
    pub edits: Vec<Edit>,
    /// The files that the tensors are divided among; none for an output in one file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// What the person should know: fallbacks taken, things left alone.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Plan {
    /// The document of the output, given that of the input.
    pub fn apply_edits(&self, mut metadata: Metadata) -> Metadata {
        self.edits.iter().for_each(|edit| edit.apply(&mut metadata));
        metadata
    }

    /// The document of every file of the output, given that of the input.
    pub fn documents(&self, metadata: Metadata) -> Vec<Metadata> {
        let mut documents = vec![self.apply_edits(metadata)];
        documents.resize_with(self.parts.len().max(1), Metadata::new);
        for (document, part) in documents.iter_mut().zip(&self.parts) {
            part.edits.iter().for_each(|edit| edit.apply(document));
        }
        documents
    }

    /// Bytes of all tensors, without headers and padding.
    pub fn tensor_bytes(&self) -> Result<u64> {
        self.tensors.iter().map(OutputTensor::nbytes).sum()
    }

    /// Elements of all tensors.
    pub fn elements(&self) -> Result<u64> {
        self.tensors.iter().map(OutputTensor::elements).sum()
    }
}

//! Where everything lies in the files that are about to be written.

use super::document::Document;
use super::external;
use super::schema::{Kind, tensor as field};
use super::tensor::{Elements, Tensor};
use super::walk::{Role, each_tensor_mut};
use super::wire::{Bytes, Message, Piece, encode};
use crate::error::{Error, Result};
use std::str::FromStr;

/// Longest message that protobuf's readers take.
const MAX_MESSAGE: u64 = i32::MAX as u64;

/// Shorter tensors stay in the model, as onnx's own tool leaves them there.
const LEAST_EXTERNAL: u64 = 1 << 10;

/// Long tensors begin at pages, so that they can be mapped into memory; short ones need no more
/// than vectors do.
const PAGE: u64 = 4 << 10;
const LONG: u64 = 1 << 20;
const VECTOR: u64 = 64;

/// Whether tensors are written into a file beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternalData {
    /// If the input has them there, or the model is too large for one file (2 GiB).
    #[default]
    Auto,
    /// Every initializer of a kilobyte or more.
    Always,
    /// None of them.
    Never,
}

impl FromStr for ExternalData {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(Error::misuse(format!(
                "'{name}' is not when data may lie outside; say auto, always or never"
            ))),
        }
    }
}

/// The files of a model in pieces: the `.onnx` file, and the one with data if there is one.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The pieces with their offsets.
    pub(super) model: Vec<(u64, Piece)>,
    pub(super) data: Vec<(u64, Piece)>,
    pub(crate) model_len: u64,
    /// Length of the data file; none if there is none.
    pub(crate) data_len: Option<u64>,
    /// Files that others ask to appear with them.
    pub(crate) beside: usize,
}

impl Layout {
    /// Lays out a document whose data file, if it gets one, has this name.
    ///
    /// # Errors
    /// `limit` if the model is too large for protobuf.
    pub(crate) fn new(document: &Document, data_name: &str, wish: ExternalData) -> Result<Self> {
        let mut model = document.model().clone();
        let outside = match wish {
            ExternalData::Auto => document.files().count() > 1,
            ExternalData::Always => true,
            ExternalData::Never => false,
        };
        if !outside {
            embed_all(&mut model)?;
            let whole = Self::of(&model, None);
            if whole.model_len <= MAX_MESSAGE || wish == ExternalData::Never {
                return whole.checked();
            }
        }
        let mut data = Data::default();
        each_tensor_mut(&mut model, Kind::Model, &mut |tensor, role| {
            if let Some(bytes) = movable(tensor, role)? {
                let (offset, len) = (data.push(bytes), data.len);
                external::point(tensor, data_name, offset, len - offset);
            } else {
                external::embed_if_external(tensor);
            }
            Ok(())
        })?;
        Self::of(&model, Some(data)).checked()
    }

    fn of(model: &Message, data: Option<Data>) -> Self {
        let mut at = 0;
        let pieces = encode(model).into_iter().map(|piece| {
            let offset = at;
            at += piece.len();
            (offset, piece)
        });
        let pieces = pieces.collect();
        let data = data.filter(|data| !data.pieces.is_empty());
        Self {
            model: pieces,
            model_len: at,
            data_len: data.as_ref().map(|data| data.len),
            data: data.map(|data| data.pieces).unwrap_or_default(),
            beside: 0,
        }
    }

    fn checked(self) -> Result<Self> {
        if self.model_len <= MAX_MESSAGE {
            return Ok(self);
        }
        Err(Error::limit(format!(
            "the model takes {} bytes in one file, more than protobuf's {MAX_MESSAGE}; write its data to a file beside it",
            self.model_len
        )))
    }
}

/// A data file that grows.
#[derive(Default)]
struct Data {
    pieces: Vec<(u64, Piece)>,
    len: u64,
}

impl Data {
    /// Adds a tensor; its offset.
    fn push(&mut self, bytes: Bytes) -> u64 {
        let alignment = if bytes.len() >= LONG { PAGE } else { VECTOR };
        let offset = self.len.next_multiple_of(alignment);
        self.len = offset + bytes.len();
        let piece = match bytes {
            Bytes::Memory(bytes) => Piece::Memory(bytes.into()),
            elsewhere => Piece::Elsewhere(elsewhere),
        };
        self.pieces.push((offset, piece));
        offset
    }
}

fn embed_all(model: &mut Message) -> Result<()> {
    each_tensor_mut(model, Kind::Model, &mut |tensor, _| {
        external::embed_if_external(tensor);
        Ok(())
    })
}

/// Takes a tensor's bytes out of it, if they are to lie in the data file: initializers that are long
/// enough, and whatever lay outside before.
fn movable(tensor: &mut Message, role: Role) -> Result<Option<Bytes>> {
    let view = Tensor::new(tensor);
    let was_external = view.is_external();
    if !was_external && role != Role::Initializer {
        return Ok(None);
    }
    let raw = match view.elements() {
        Ok(Elements::Raw(raw)) if was_external || raw.len() >= LEAST_EXTERNAL => raw.clone(),
        _ => return Ok(None),
    };
    for number in [field::RAW_DATA, field::FLOAT_DATA, field::DOUBLE_DATA] {
        tensor.remove(number);
    }
    Ok(Some(raw))
}

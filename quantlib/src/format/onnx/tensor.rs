//! Tensors in a file: initializers, and the values of attributes.

use super::element::Element;
use super::schema::tensor as field;
use super::wire::{Bytes, Message, Value};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// A `TensorProto`: its name, type and shape, and where its elements are.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a>(&'a Message);

/// The elements of a tensor as they are stored.
#[derive(Debug)]
pub(super) enum Elements<'a> {
    /// Little-endian, one after the other.
    Raw(&'a Bytes),
    /// Numbers of variable length.
    Varints(&'a Bytes),
    /// Little-endian, put together from several fields.
    Joined(Vec<u8>),
}

impl<'a> Tensor<'a> {
    /// Looks at a message that is a `TensorProto`.
    pub fn new(message: &'a Message) -> Self {
        Self(message)
    }

    /// The name; initializers have one.
    pub fn name(&self) -> &'a str {
        self.0.text(field::NAME)
    }

    /// The number of the element type, as `TensorProto.DataType` has it.
    pub fn data_type(&self) -> i64 {
        self.0.int(field::DATA_TYPE).unwrap_or_default()
    }

    /// The element type, if it is one of those of [`DType`].
    pub fn dtype(&self) -> Option<DType> {
        self.element()?.dtype
    }

    /// The name of the element type: that of a [`DType`], or `"u4"`, `"string"` and so on.
    pub fn type_name(&self) -> &'static str {
        self.element().map_or("unknown", |element| element.name)
    }

    /// Whether the elements lie in a file of their own.
    pub fn is_external(&self) -> bool {
        self.0.int(field::DATA_LOCATION) == Some(1)
    }

    /// The dimensions, row-major.
    ///
    /// # Errors
    /// `malformed` for negative ones, `limit` if the elements cannot be counted.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let shape = || {
            let dims = self.0.ints(field::DIMS)?;
            let dims = dims.into_iter().map(|dim| {
                usize::try_from(dim)
                    .map_err(|_| Error::malformed(format!("has a dimension of {dim} elements")))
            });
            let dims: Vec<_> = dims.collect::<Result<_>>()?;
            let mut filled = dims.iter().filter(|&&dim| dim != 0);
            match filled.try_fold(1usize, |product, &dim| product.checked_mul(dim)) {
                Some(_) => Ok(dims),
                None => Err(Error::limit(format!(
                    "a tensor of shape {dims:?} is too large"
                ))),
            }
        };
        shape().map_err(|e: Error| e.in_tensor(self.name()))
    }

    pub(super) fn element(&self) -> Option<&'static Element> {
        Element::of(self.data_type())
    }

    /// Bytes that the elements take without padding; `None` for strings and unknown types.
    pub(super) fn nbytes(&self) -> Result<Option<u64>> {
        let elements = self.shape()?.iter().product();
        Ok(self.element().and_then(|element| element.bytes(elements)))
    }

    /// Where the elements are.
    ///
    /// # Errors
    /// `unsupported` if they are strings, or long and in pieces.
    pub(super) fn elements(&self) -> Result<Elements<'a>> {
        if let Some(raw) = self.0.bytes(field::RAW_DATA) {
            return Ok(Elements::Raw(raw));
        }
        let (number, is_varint) = self.typed_field()?;
        let values: Vec<_> = self.0.all(number).collect();
        match values[..] {
            [Value::Bytes(packed)] if is_varint => Ok(Elements::Varints(packed)),
            [Value::Bytes(packed)] => Ok(Elements::Raw(packed)),
            _ => self.join(&values, is_varint).map(Elements::Joined),
        }
    }

    /// Which field holds elements of this type that are not raw, and whether with variable length.
    fn typed_field(&self) -> Result<(u32, bool)> {
        Ok(match self.type_name() {
            "f32" | "complex64" => (field::FLOAT_DATA, false),
            "f64" | "complex128" => (field::DOUBLE_DATA, false),
            "i64" => (field::INT64_DATA, true),
            "u32" | "u64" => (field::UINT64_DATA, true),
            "string" => return Err(Error::unsupported("holds strings, not numbers")),
            _ => (field::INT32_DATA, true),
        })
    }

    /// Elements that come one by one, or packed in several pieces.
    fn join(&self, values: &[&Value], is_varint: bool) -> Result<Vec<u8>> {
        let size = self.element().map_or(0, |element| element.bits / 8);
        let mut joined = Vec::new();
        for value in values {
            match value {
                Value::Varint(number) => joined.extend(&number.to_le_bytes()[..size.min(8)]),
                Value::Fixed32(number) => joined.extend(number.to_le_bytes()),
                Value::Fixed64(number) => joined.extend(number.to_le_bytes()),
                Value::Bytes(Bytes::Memory(bytes)) if !is_varint => joined.extend(bytes.iter()),
                Value::Bytes(Bytes::Memory(bytes)) => {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let (number, width) = super::wire::varint(rest)?;
                        joined.extend(&number.to_le_bytes()[..size.min(8)]);
                        rest = &rest[width..];
                    }
                }
                _ => {
                    return Err(Error::unsupported(
                        "its elements are in several long pieces; save the model with onnx.save, which joins them",
                    ));
                }
            }
        }
        Ok(joined)
    }
}

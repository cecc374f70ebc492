//! Attributes that name f32, or hold numbers of it.

use crate::block;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::onnx::schema::{attribute, tensor};
use crate::format::onnx::{
    Bytes, Document, Field, Message, Node, Tensor, Value, data_type, make_int_attribute,
    make_tensor,
};
use crate::model::within_f16;
use crate::simd::Isa;

/// The attributes that a node in f16 has instead of its own of the same names, and those that go.
pub(super) fn halved(
    document: &Document,
    node: &Node<'_>,
) -> Result<(Vec<Message>, Vec<&'static str>)> {
    let half = |name: &str| make_int_attribute(name, data_type::FLOAT16);
    let is_float = |name: &str| node.int(name) == Some(data_type::FLOAT);
    let made = match node.op_type() {
        _ if !node.domain().is_empty() => Vec::new(),
        "Cast" if is_float("to") => vec![half("to")],
        "RandomNormal" | "RandomUniform" | "SequenceEmpty"
            if is_float("dtype") || node.int("dtype").is_none() =>
        {
            vec![half("dtype")]
        }
        "EyeLike" | "RandomNormalLike" | "Bernoulli" if is_float("dtype") => vec![half("dtype")],
        "ConstantOfShape" => filling(document, node)?.into_iter().collect(),
        "Constant" => return constant(document, node),
        _ => Vec::new(),
    };
    Ok((made, Vec::new()))
}

/// The value of a `ConstantOfShape`: zero if nothing is said.
fn filling(document: &Document, node: &Node<'_>) -> Result<Option<Message>> {
    let value = node.attribute("value");
    let Some(value) = value.and_then(|each| each.message(attribute::T)) else {
        return tensor_attribute(&[1], &[0.0]).map(Some);
    };
    if Tensor::new(value).data_type() != data_type::FLOAT {
        return Ok(None);
    }
    let mut numbers = floats(document, value, tensor::RAW_DATA)?;
    numbers.extend(floats(document, value, tensor::FLOAT_DATA)?);
    let number = numbers.first().copied().unwrap_or_default();
    tensor_attribute(&[1], &[number]).map(Some)
}

/// The numbers of a field, packed or not.
fn floats(document: &Document, message: &Message, number: u32) -> Result<Vec<f32>> {
    /// More are no list that somebody wrote into a graph.
    const MOST: u64 = 1 << 24;
    let mut floats = Vec::new();
    for value in message.all(number) {
        match value {
            Value::Fixed32(bits) => floats.push(f32::from_bits(*bits)),
            Value::Bytes(bytes) if bytes.len() > MOST => {
                return Err(Error::limit("an attribute has too many numbers"));
            }
            Value::Bytes(bytes) => {
                let mut raw = vec![0; bytes.len() as usize];
                document.read(bytes, 0, &mut raw)?;
                let (numbers, _) = raw.as_chunks::<4>();
                floats.extend(numbers.iter().map(|x| f32::from_le_bytes(*x)));
            }
            _ => {}
        }
    }
    Ok(floats)
}

/// A `Constant` of plain numbers becomes one of a tensor: numbers are always f32.
fn constant(document: &Document, node: &Node<'_>) -> Result<(Vec<Message>, Vec<&'static str>)> {
    if let Some(number) = node.float("value_float") {
        let made = tensor_attribute(&[], &[number])?;
        return Ok((vec![made], vec!["value_float"]));
    }
    let Some(list) = node.attribute("value_floats") else {
        return Ok((Vec::new(), Vec::new()));
    };
    let numbers = floats(document, list, attribute::FLOATS)?;
    let made = tensor_attribute(&[numbers.len()], &numbers)?;
    Ok((vec![made], vec!["value_floats"]))
}

fn tensor_attribute(shape: &[usize], numbers: &[f32]) -> Result<Message> {
    /// `AttributeProto.AttributeType.TENSOR`
    const TENSOR: i64 = 4;
    let numbers: Vec<_> = numbers.iter().map(|x| within_f16(*x)).collect();
    let mut raw = vec![0; 2 * numbers.len()];
    let codec = block::codec(DType::F16)?;
    if !numbers.is_empty() {
        codec.encode(Isa::preferred()?, &numbers, numbers.len(), None, &mut raw);
    }
    let raw = Bytes::Memory(raw.into());
    let tensor = make_tensor("", data_type::FLOAT16, shape, raw);
    Ok(Message::of([
        Field::new(attribute::NAME, "value"),
        Field::new(attribute::T, tensor),
        Field::new(attribute::TYPE, TENSOR),
    ]))
}

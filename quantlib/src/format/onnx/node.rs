//! Nodes and tensors of a graph: looked at, and made.

use super::schema::{attribute, node, tensor};
use super::wire::{Bytes, Field, Message, Value};
use std::collections::BTreeMap;

/// A `NodeProto`: one operator at work.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a>(&'a Message);

impl<'a> Node<'a> {
    /// Looks at a message that is a `NodeProto`.
    pub fn new(message: &'a Message) -> Self {
        Self(message)
    }

    /// The message.
    pub fn message(&self) -> &'a Message {
        self.0
    }

    /// The name, which may be empty.
    pub fn name(&self) -> &'a str {
        self.0.text(node::NAME)
    }

    /// The operator.
    pub fn op_type(&self) -> &'a str {
        self.0.text(node::OP_TYPE)
    }

    /// The operator set that the operator is of; empty for ONNX's own.
    pub fn domain(&self) -> &'a str {
        match self.0.text(node::DOMAIN) {
            "ai.onnx" => "",
            domain => domain,
        }
    }

    /// Whether this is an operator of ONNX's own set.
    pub fn is(&self, op_type: &str) -> bool {
        self.domain().is_empty() && self.op_type() == op_type
    }

    /// The operator, with its domain if it is none of ONNX's own.
    pub fn operator(&self) -> String {
        match self.domain() {
            "" => self.op_type().to_owned(),
            domain => format!("{domain}.{}", self.op_type()),
        }
    }

    /// The names of the inputs; empty ones are left out.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.texts(node::INPUT)
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.texts(node::OUTPUT)
    }

    /// The name of an input; empty if it is left out.
    pub fn input(&self, index: usize) -> &'a str {
        self.inputs().nth(index).unwrap_or_default()
    }

    /// The node with another input in the place of one that it has; the rest of it stays.
    pub fn with_input(&self, index: usize, name: &str) -> Message {
        self.with_name(node::INPUT, index, name)
    }

    /// The node with another name for an output that it has; the rest of it stays.
    pub fn with_output(&self, index: usize, name: &str) -> Message {
        self.with_name(node::OUTPUT, index, name)
    }

    fn with_name(&self, number: u32, index: usize, name: &str) -> Message {
        let mut message = self.0.clone();
        put_names(
            &mut message,
            number,
            &BTreeMap::from([(index, name.to_owned())]),
        );
        message
    }

    /// The attributes, each an `AttributeProto`.
    pub fn attributes(&self) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.0.messages(node::ATTRIBUTE)
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&'a Message> {
        let mut attributes = self.0.messages(node::ATTRIBUTE);
        attributes.rfind(|each| each.text(attribute::NAME) == name)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.int(attribute::I)
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name)?.get(attribute::F)? {
            Value::Fixed32(bits) => Some(f32::from_bits(*bits)),
            _ => None,
        }
    }

    /// The value of a `Constant` that is a tensor.
    pub fn constant(&self) -> Option<&'a Message> {
        let is_constant = self.is("Constant");
        is_constant.then(|| self.attribute("value")?.message(attribute::T))?
    }
}

/// Gives inputs or outputs of a node, whichever has the field's number, other names; the rest stays.
pub(crate) fn put_names(node: &mut Message, number: u32, names: &BTreeMap<usize, String>) {
    let fields = node.fields_mut().iter_mut();
    let own = fields.filter(|field| field.number == number).enumerate();
    for (index, field) in own {
        if let Some(name) = names.get(&index) {
            field.value = name.as_str().into();
        }
    }
}

/// A new node: operator, domain (empty for ONNX's own) and name, inputs, outputs, and integer
/// attributes.
pub fn make_node(
    [op_type, domain, name]: [&str; 3],
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[(&str, i64)],
) -> Message {
    let inputs = inputs.iter().map(|input| Field::new(node::INPUT, *input));
    let outputs = outputs
        .iter()
        .map(|output| Field::new(node::OUTPUT, *output));
    let mut message = Message::of(inputs.chain(outputs));
    for (number, text) in [
        (node::NAME, name),
        (node::OP_TYPE, op_type),
        (node::DOMAIN, domain),
    ] {
        if !text.is_empty() {
            message.push(number, text);
        }
    }
    for (name, value) in attributes {
        message.push(node::ATTRIBUTE, make_int_attribute(name, *value));
    }
    message
}

/// An integer attribute.
pub(crate) fn make_int_attribute(name: &str, value: i64) -> Message {
    /// `AttributeProto.AttributeType.INT`
    const INT: i64 = 2;
    Message::of([
        Field::new(attribute::NAME, name),
        Field::new(attribute::I, value),
        Field::new(attribute::TYPE, INT),
    ])
}

/// A new initializer with raw data: name, the number of its element type, and shape.
pub fn make_tensor(name: &str, data_type: i64, shape: &[usize], raw: Bytes) -> Message {
    let dims = shape.iter().map(|&dim| Value::Varint(dim as u64));
    let mut message = Message::of(dims.map(|dim| Field::new(tensor::DIMS, dim)));
    message.push(tensor::DATA_TYPE, data_type);
    message.push(tensor::NAME, name);
    message.push(tensor::RAW_DATA, raw);
    message
}

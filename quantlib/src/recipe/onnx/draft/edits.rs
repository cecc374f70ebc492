//! What changes in one graph, and how it is changed.

use crate::format::onnx::schema::{
    attribute, container_type, graph, node as node_field, tensor as tensor_field, tensor_type,
    value, value_type,
};
use crate::format::onnx::{Bytes, Message, Tensor, Value, put_names};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What changes in one graph.
#[derive(Default)]
pub(super) struct GraphEdits {
    pub(super) initializers: Vec<Message>,
    /// Nodes before all others.
    pub(super) first: Vec<Message>,
    /// What takes the place of a node; nothing if it goes.
    pub(super) nodes: HashMap<usize, Vec<Message>>,
    /// What changes in a node that stays.
    pub(super) adjusts: HashMap<usize, Adjust>,
    /// Nodes after all others.
    pub(super) last: Vec<Message>,
    /// Values that are declared with other element types.
    pub(super) retyped: HashMap<String, i64>,
}

/// What changes in a node that stays where it is, with the graphs in it.
#[derive(Default)]
pub(in crate::recipe::onnx) struct Adjust {
    /// Nodes that come before it.
    pub(in crate::recipe::onnx) before: Vec<Message>,
    /// Inputs by index, and their new names.
    pub(in crate::recipe::onnx) inputs: BTreeMap<usize, String>,
    /// Outputs likewise.
    pub(in crate::recipe::onnx) outputs: BTreeMap<usize, String>,
    /// Attributes in the place of those of the same names.
    pub(in crate::recipe::onnx) attributes: Vec<Message>,
    /// Names of attributes that go.
    pub(in crate::recipe::onnx) dropped: Vec<&'static str>,
}

/// What becomes of an initializer.
pub(super) enum Fate {
    Kept,
    Dropped,
    /// The job copies its bytes.
    Later(Bytes),
}

/// Takes out initializers, and gives those that are copied their new place. With `drop_inputs`
/// initializers are no inputs any more.
pub(super) fn edit_initializers(message: &mut Message, fates: &[Fate], drop_inputs: bool) {
    let mut fates = fates.iter();
    let mut constants = HashSet::new();
    message.edit(graph::INITIALIZER, &mut |tensor| {
        constants.insert(Tensor::new(tensor).name().to_owned());
        match fates.next() {
            Some(Fate::Dropped) => return false,
            Some(Fate::Later(bytes)) => tensor.put_bytes(tensor_field::RAW_DATA, bytes.clone()),
            Some(Fate::Kept) | None => {}
        }
        true
    });
    if drop_inputs {
        message.edit(graph::INPUT, &mut |input| {
            !constants.contains(input.text(value::NAME))
        });
    }
}

impl GraphEdits {
    /// Changes the graph.
    pub(super) fn make(self, message: &mut Message) {
        declare(message, &self.retyped);
        self.edit_nodes(message);
    }

    fn edit_nodes(mut self, message: &mut Message) {
        let mut index = 0;
        for field in std::mem::take(message.fields_mut()) {
            if field.number != graph::NODE {
                message.fields_mut().push(field);
                continue;
            }
            for node in self.first.drain(..) {
                message.push(graph::NODE, node);
            }
            match self.nodes.remove(&index) {
                Some(nodes) => {
                    let nodes = nodes.into_iter();
                    nodes.for_each(|node| message.push(graph::NODE, node));
                }
                None => match (self.adjusts.remove(&index), field.value) {
                    (Some(adjust), Value::Message(mut node)) => {
                        let before = adjust.before.iter().cloned();
                        before.for_each(|node| message.push(graph::NODE, node));
                        adjust.apply(&mut node);
                        message.push(graph::NODE, node);
                    }
                    (_, value) => message.push(graph::NODE, value),
                },
            }
            index += 1;
        }
        for node in self.last {
            message.push(graph::NODE, node);
        }
        for tensor in self.initializers {
            message.push(graph::INITIALIZER, tensor);
        }
    }
}

impl Adjust {
    fn apply(self, node: &mut Message) {
        put_names(node, node_field::INPUT, &self.inputs);
        put_names(node, node_field::OUTPUT, &self.outputs);
        let made = self.attributes.iter();
        let gone: Vec<_> = made.map(|each| each.text(attribute::NAME)).collect();
        node.edit(node_field::ATTRIBUTE, &mut |each| {
            let name = each.text(attribute::NAME);
            !gone.contains(&name) && !self.dropped.contains(&name)
        });
        for made in self.attributes {
            node.push(node_field::ATTRIBUTE, made);
        }
    }
}

/// Declares other element types.
fn declare(message: &mut Message, retyped: &HashMap<String, i64>) {
    for number in [graph::INPUT, graph::OUTPUT, graph::VALUE_INFO] {
        for info in message.messages_mut(number) {
            let data_type = retyped.get(info.text(value::NAME)).copied();
            let of = info.message_mut(value::TYPE);
            if let (Some(data_type), Some(of)) = (data_type, of) {
                retype(of, data_type);
            }
        }
    }
}

/// Gives a tensor type, or what is in a sequence, another element type.
fn retype(of: &mut Message, data_type: i64) {
    if let Some(tensor) = of.message_mut(value_type::TENSOR_TYPE) {
        tensor.set(tensor_type::ELEM_TYPE, data_type);
    }
    for number in [value_type::SEQUENCE_TYPE, value_type::OPTIONAL_TYPE] {
        let nested = of.message_mut(number);
        if let Some(inner) = nested.and_then(|it| it.message_mut(container_type::ELEM_TYPE)) {
            retype(inner, data_type);
        }
    }
}

//! Who makes the values of the main graph, and who reads them.

use crate::format::onnx::schema::{graph, value};
use crate::format::onnx::{Message, Node};
use std::collections::{HashMap, HashSet};

/// The values of the main graph by their names.
pub(in crate::recipe::onnx) struct Flow<'d> {
    makers: HashMap<&'d str, usize>,
    readers: HashMap<&'d str, Vec<(usize, usize)>>,
    /// Names that branches and bodies read.
    inside: HashSet<&'d str>,
}

impl<'d> Flow<'d> {
    /// Of all graphs and their nodes, the main graph's first.
    pub(super) fn new(graphs: &[&'d Message], nodes: &[Vec<Node<'d>>]) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (index, node) in nodes.first().into_iter().flatten().enumerate() {
            for name in node.outputs().filter(|name| !name.is_empty()) {
                makers.entry(name).or_insert(index);
            }
            for (input, name) in node.inputs().enumerate() {
                if !name.is_empty() {
                    readers.entry(name).or_default().push((index, input));
                }
            }
        }
        let inner = nodes.iter().skip(1).flatten();
        let mut inside: HashSet<_> = inner.flat_map(Node::inputs).collect();
        for graph in graphs.iter().skip(1) {
            let outputs = graph.messages(graph::OUTPUT);
            inside.extend(outputs.map(|output| output.text(value::NAME)));
        }
        Self {
            makers,
            readers,
            inside,
        }
    }

    /// The node that makes a value.
    pub(in crate::recipe::onnx) fn maker(&self, value: &str) -> Option<usize> {
        self.makers.get(value).copied()
    }

    /// The nodes of the main graph that read a value, each with the index of the input.
    pub(in crate::recipe::onnx) fn readers(&self, value: &str) -> &[(usize, usize)] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The node that reads a value, if it is the only one, and no branch or body does.
    pub(in crate::recipe::onnx) fn only_reader(&self, value: &str) -> Option<usize> {
        match self.readers(value) {
            [(node, _)] if !self.inside.contains(value) => Some(*node),
            _ => None,
        }
    }
}

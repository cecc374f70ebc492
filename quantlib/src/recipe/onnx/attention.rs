//! Which products make the values of attention, and which no more than its scores.

use super::draft::{Draft, Place};
use crate::format::onnx::Node;
use std::collections::{HashMap, HashSet};

/// What becomes of products with weights where a model attends.
#[derive(Default)]
pub(super) struct Attention {
    /// Their results are what is averaged.
    pub(super) values: HashSet<Place>,
    /// Their results do no more than weigh values, behind a Softmax, which evens errors out.
    pub(super) scores: HashSet<Place>,
}

/// Operators that do it all by themselves: queries, keys and values are their first inputs.
const WHOLE: &[&str] = &[
    "Attention",
    "GroupQueryAttention",
    "MultiHeadAttention",
    "PackedMultiHeadAttention",
];

impl Attention {
    /// Looks around every Softmax, and every operator of attention, of the main graph.
    pub(super) fn find(draft: &Draft<'_>) -> Self {
        let graph = Graph::new(draft);
        let mut found = Self::default();
        let (mut values, mut scores) = (HashSet::new(), HashSet::new());
        for node in &graph.nodes {
            if WHOLE.contains(&node.op_type()) && !node.input(2).is_empty() {
                scores.extend(graph.products(node.input(0)));
                scores.extend(graph.products(node.input(1)));
                values.extend(graph.products(node.input(2)));
            }
            if node.is("Softmax") {
                let output = node.outputs().next().unwrap_or_default();
                let Some(weighted) = graph.average(output) else {
                    continue;
                };
                let other = weighted.inputs().filter(|input| *input != output);
                values.extend(other.flat_map(|input| graph.products(input)));
                if let Some(compared) = graph.comparison(node.input(0)) {
                    scores.extend(compared.inputs().flat_map(|input| graph.products(input)));
                }
            }
        }
        found.scores = scores.difference(&values).map(|&node| (0, node)).collect();
        found.values = values.into_iter().map(|node| (0, node)).collect();
        found
    }
}

/// The main graph, to be walked along.
struct Graph<'d> {
    nodes: Vec<Node<'d>>,
    /// The node that makes a value.
    makers: HashMap<&'d str, usize>,
    /// Products with constants.
    weighted: HashSet<usize>,
}

impl<'d> Graph<'d> {
    fn new(draft: &Draft<'d>) -> Self {
        let nodes: Vec<_> = draft.nodes(0).map(|(_, node)| node).collect();
        let outputs = nodes.iter().enumerate();
        let makers =
            outputs.flat_map(|(index, node)| node.outputs().map(move |name| (name, index)));
        let has_weight =
            |index: &usize| is_product(&nodes[*index]) && draft.weight_at((0, *index), 1).is_some();
        Self {
            makers: makers.collect(),
            weighted: (0..nodes.len()).filter(has_weight).collect(),
            nodes,
        }
    }

    /// Nodes from which a value comes, nearest first, as far as `pass` lets them through.
    fn back(&self, value: &str, pass: impl Fn(&Node<'_>) -> bool) -> Vec<usize> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        let mut open: Vec<_> = self.makers.get(value).copied().into_iter().collect();
        while let Some(index) = open.pop() {
            if !seen.insert(index) {
                continue;
            }
            found.push(index);
            let node = &self.nodes[index];
            if pass(node) {
                open.extend(node.inputs().filter_map(|input| self.makers.get(input)));
            }
        }
        found
    }

    /// The products with constants that a value is made of, whatever moves and rotates their results.
    fn products(&self, value: &str) -> Vec<usize> {
        let mut found = self.back(value, |node| !is_product(node) && !ends(node));
        found.retain(|index| self.weighted.contains(index));
        found
    }

    /// The product of two activations whose result goes through scaling and masking into a Softmax.
    fn comparison(&self, value: &str) -> Option<&Node<'d>> {
        let found = self.back(value, |node| !is_product(node) && !ends(node));
        let mut products = found
            .into_iter()
            .filter(|index| is_product(&self.nodes[*index]) && !self.weighted.contains(index));
        products.next().map(|index| &self.nodes[index])
    }

    /// The product of two activations that reads what a Softmax yields.
    fn average(&self, value: &str) -> Option<&Node<'d>> {
        let mut readers = self.nodes.iter().enumerate().filter(|(index, node)| {
            node.is("MatMul")
                && !self.weighted.contains(index)
                && node.inputs().any(|input| input == value)
        });
        readers.next().map(|(_, node)| node)
    }
}

fn is_product(node: &Node<'_>) -> bool {
    node.is("MatMul") || node.is("Gemm")
}

/// Operators behind which something else begins: normalized values, shapes, masks.
fn ends(node: &Node<'_>) -> bool {
    const ENDS: &[&str] = &["LayerNormalization", "Shape", "Softmax", "Gather", "Cast"];
    ENDS.contains(&node.op_type())
}

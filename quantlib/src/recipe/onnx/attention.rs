//! Which products make the values of attention, and which no more than its scores.

use super::draft::{Draft, Flow, Place};
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

/// Operators that a Softmax's result may go through before it averages values.
const BETWEEN: &[&str] = &["Cast", "Dropout", "Identity", "Reshape"];

impl Attention {
    /// Looks around every Softmax, and every operator of attention, of the main graph.
    pub(super) fn find(draft: &Draft<'_>) -> Self {
        Graph::new(draft).attention(&mut |_| {})
    }
}

/// The main graph, to be walked along.
struct Graph<'g, 'd> {
    nodes: Vec<Node<'d>>,
    flow: &'g Flow<'d>,
    /// Products with constants.
    weighted: HashSet<usize>,
}

impl<'g, 'd> Graph<'g, 'd> {
    fn new(draft: &'g Draft<'d>) -> Self {
        let nodes: Vec<_> = draft.nodes(0).map(|(_, node)| node).collect();
        let has_weight =
            |index: &usize| is_product(&nodes[*index]) && draft.weight_at((0, *index), 1).is_some();
        Self {
            weighted: (0..nodes.len()).filter(has_weight).collect(),
            flow: &draft.flow,
            nodes,
        }
    }

    /// All of it, in as many steps as there are nodes, a few times over: every walk begins at all
    /// values of a kind together. Each step tells `visit` of the node that it comes to.
    fn attention(&self, visit: &mut dyn FnMut(usize)) -> Attention {
        let (mut values, mut compared) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            if WHOLE.contains(&node.op_type()) && !node.input(2).is_empty() {
                compared.extend(node.inputs().take(2));
                values.push(node.input(2));
            }
        }
        let mut averaging = HashSet::new();
        let mut known = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.is("MatMul") || self.weighted.contains(&index) {
                continue;
            }
            for weights in node.inputs().take(2) {
                if let Some(softmax) = self.softmax(weights, &mut known, visit) {
                    averaging.insert(softmax);
                    values.extend(node.inputs().filter(|input| *input != weights));
                }
            }
        }
        let scaled = averaging.iter().map(|index| self.nodes[*index].input(0));
        for index in self.back(scaled.collect(), visit) {
            if is_product(&self.nodes[index]) && !self.weighted.contains(&index) {
                compared.extend(self.nodes[index].inputs());
            }
        }
        let (values, scores) = (self.products(values, visit), self.products(compared, visit));
        let place = |&node: &usize| (0, node);
        Attention {
            scores: scores.difference(&values).map(place).collect(),
            values: values.iter().map(place).collect(),
        }
    }

    /// The Softmax that yields a value, whatever only moves it in between. `known` has the answers so
    /// far.
    fn softmax(
        &self,
        value: &'d str,
        known: &mut HashMap<&'d str, Option<usize>>,
        visit: &mut dyn FnMut(usize),
    ) -> Option<usize> {
        let (mut path, mut at) = (Vec::new(), value);
        let found = loop {
            if let Some(found) = known.get(at) {
                break *found;
            }
            path.push(at);
            // What leads back to itself comes from nowhere.
            known.insert(at, None);
            let Some(index) = self.flow.maker(at) else {
                break None;
            };
            visit(index);
            let node = &self.nodes[index];
            if node.is("Softmax") {
                break Some(index);
            }
            if !BETWEEN.contains(&node.op_type()) {
                break None;
            }
            at = node.input(0);
        };
        known.extend(path.into_iter().map(|value| (value, found)));
        found
    }

    /// Nodes from which some of these values come, up to products and to where something else begins.
    fn back(&self, values: Vec<&str>, visit: &mut dyn FnMut(usize)) -> HashSet<usize> {
        let makers = values.iter().filter_map(|value| self.flow.maker(value));
        let mut open: Vec<_> = makers.collect();
        let mut found = HashSet::new();
        while let Some(index) = open.pop() {
            if !found.insert(index) {
                continue;
            }
            visit(index);
            let node = &self.nodes[index];
            if !is_product(node) && !ends(node) {
                open.extend(node.inputs().filter_map(|input| self.flow.maker(input)));
            }
        }
        found
    }

    /// The products with constants that values are made of, whatever moves and rotates their results.
    fn products(&self, values: Vec<&str>, visit: &mut dyn FnMut(usize)) -> HashSet<usize> {
        let mut found = self.back(values, visit);
        found.retain(|index| self.weighted.contains(index));
        found
    }
}

fn is_product(node: &Node<'_>) -> bool {
    node.is("MatMul") || node.is("Gemm")
}

/// Operators behind which something else begins: normalized values, shapes.
fn ends(node: &Node<'_>) -> bool {
    const ENDS: &[&str] = &["LayerNormalization", "Shape", "Softmax"];
    ENDS.contains(&node.op_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::onnx::schema::graph;
    use crate::format::onnx::{Bytes, Document, Message, data_type, make_node, make_tensor};
    use crate::io::Limits;

    /// A document of nodes, each written as `OPERATOR INPUT … > OUTPUT …`, with a weight `W`.
    fn document(nodes: &[String]) -> Document {
        let mut main = Message::new();
        for node in nodes {
            let (left, right) = node.split_once('>').unwrap_or((node, ""));
            let mut left = left.split_whitespace();
            let op = left.next().unwrap_or_default();
            let inputs: Vec<_> = left.collect();
            let outputs: Vec<_> = right.split_whitespace().collect();
            main.push(graph::NODE, make_node([op, "", ""], &inputs, &outputs, &[]));
        }
        let raw = Bytes::Memory([0; 4].into());
        let weight = make_tensor("W", data_type::FLOAT, &[1, 1], raw);
        main.push(graph::INITIALIZER, weight);
        Document::around(main)
    }

    /// The nodes of values and of scores, and how often nodes were visited.
    fn found(nodes: &[String]) -> (Vec<usize>, Vec<usize>, usize) {
        let document = document(nodes);
        let draft = Draft::new(&document, &Limits::default()).expect("a plain model");
        let mut visits = 0;
        let found = Graph::new(&draft).attention(&mut |_| visits += 1);
        let sorted = |places: HashSet<Place>| {
            let mut nodes: Vec<_> = places.into_iter().map(|(_, node)| node).collect();
            nodes.sort_unstable();
            nodes
        };
        (sorted(found.values), sorted(found.scores), visits)
    }

    fn lines(text: &str) -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn values_and_scores_are_told_apart() {
        let (values, scores, _) = found(&lines(
            "MatMul x W > q
             MatMul x W > k
             MatMul x W > v
             Transpose k > kt
             MatMul q kt > s
             Cast s > wide
             Add wide mask > masked
             Softmax masked > p
             Cast p > half
             Dropout half > d
             MatMul d v > a
             MatMul a W > y
             Softmax y > z",
        ));
        assert_eq!((values, scores), (vec![2], vec![0, 1]));
    }

    #[test]
    fn one_product_for_all_makes_values() {
        let (values, scores, _) = found(&lines(
            "MatMul x W > qkv
             Reshape qkv shape > r
             Gather r zero > q
             Gather r one > k
             Gather r two > v
             MatMul q k > s
             Softmax s > p
             MatMul p v > a",
        ));
        assert_eq!((values, scores), (vec![0], Vec::new()));
    }

    #[test]
    fn operators_of_attention_say_what_is_what() {
        let (values, scores, _) = found(&lines(
            "MatMul x W > q
             MatMul x W > k
             MatMul x W > v
             MultiHeadAttention q k v > a",
        ));
        assert_eq!((values, scores), (vec![2], vec![0, 1]));
    }

    /// A chain in which every Softmax is made of all that comes before it.
    fn chain(layers: usize) -> Vec<String> {
        let layer = |i: usize| {
            let next = i + 1;
            lines(&format!(
                "MatMul x{i} W > v{i}
                 Softmax x{i} > p{i}
                 MatMul p{i} v{i} > a{i}
                 Identity p{i} > o{i}
                 Add a{i} o{i} > b{i}
                 Add x{i} b{i} > x{next}"
            ))
        };
        (0..layers).flat_map(layer).collect()
    }

    /// A Softmax that thousands of chains read, all of them long.
    fn fan(width: usize) -> Vec<String> {
        let mut nodes = lines("Softmax x > p\nIdentity p > i0");
        nodes.extend((0..width).map(|i| format!("Identity i{i} > i{}", i + 1)));
        nodes.extend((0..width).map(|i| format!("MatMul i{width} x > a{i}")));
        nodes
    }

    #[test]
    fn hostile_graphs_are_walked_in_linear_time() {
        for nodes in [chain(1000), fan(3000)] {
            let (_, _, visits) = found(&nodes);
            assert!(visits <= 4 * nodes.len(), "{visits}");
        }
        let (values, ..) = found(&chain(1000));
        assert_eq!(values.len(), 1000);
    }

    #[test]
    fn what_leads_back_to_itself_ends() {
        let nodes =
            lines("Identity b > a\nIdentity a > b\nMatMul a x > y\nSoftmax c > c\nMatMul c x > z");
        assert!(found(&nodes).0.is_empty());
    }
}

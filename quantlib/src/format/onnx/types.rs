//! Element types of values: declared ones, and those that follow from the operators.

use super::data_type::{BOOL, FLOAT, INT32, INT64, UINT8};
use super::node::Node;
use super::schema::{attribute, container_type, graph, tensor_type, value, value_type};
use super::weights::Graphs;
use super::wire::Message;
use std::collections::HashMap;

/// The element types of the values of all graphs, by the numbers of `TensorProto.DataType`. Sequences
/// and optional values have the type of what is in them.
///
/// Declared types count first. Where there are none, the operator tells, if it is one of ONNX's or
/// onnxruntime's own: most yield what they take, and a table has the others.
#[derive(Debug)]
pub struct Types<'d> {
    graphs: Vec<HashMap<&'d str, i64>>,
    /// The graph around each, and the node in it.
    parents: Vec<Option<(usize, usize)>>,
    /// The graphs in each, with the node that they are in.
    children: Vec<Vec<(usize, usize)>>,
}

/// Where the type of an output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Fixed(i64),
    /// The type of an input.
    Input(usize),
    /// An attribute names it; else another rule's.
    Attribute(&'static str, Otherwise),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    Type(i64),
    Input(usize),
}

impl<'d> Types<'d> {
    /// Finds the types of all values.
    pub fn new(graphs: &Graphs<'d>) -> Self {
        let mut types = Self {
            graphs: vec![HashMap::new(); graphs.graphs.len()],
            parents: graphs.parents.clone(),
            children: vec![Vec::new(); graphs.graphs.len()],
        };
        for (child, parent) in graphs.parents.iter().enumerate() {
            if let Some((around, node)) = *parent {
                types.children[around].push((node, child));
            }
        }
        for weight in &graphs.weights {
            let number = super::Tensor::new(weight.tensor).data_type();
            types.graphs[weight.graph].insert(weight.name, number);
        }
        for (own, message) in graphs.graphs.iter().enumerate() {
            for number in [graph::VALUE_INFO, graph::INPUT, graph::OUTPUT] {
                for info in message.messages(number) {
                    if let Some(element) = declared(info) {
                        types.graphs[own].insert(info.text(value::NAME), element);
                    }
                }
            }
        }
        if !graphs.graphs.is_empty() {
            types.infer(graphs, 0);
        }
        types
    }

    /// The type of a value as a graph sees it: its own, or one of the graphs around it.
    pub fn of(&self, graph: usize, name: &str) -> Option<i64> {
        let home = self.home(graph, name)?;
        self.graphs[home].get(name).copied()
    }

    /// The graph that a value of known type is of.
    pub fn home(&self, mut graph: usize, name: &str) -> Option<usize> {
        loop {
            if self.graphs.get(graph)?.contains_key(name) {
                return Some(graph);
            }
            (graph, _) = self.parents[graph]?;
        }
    }

    /// The types of what the nodes of a graph yield, and of the graphs in them.
    fn infer(&mut self, graphs: &Graphs<'d>, own: usize) {
        let nodes: Vec<_> = graphs.graphs[own].messages(graph::NODE).collect();
        let mut inner = vec![Vec::new(); nodes.len()];
        for &(node, child) in &self.children[own] {
            inner[node].push(child);
        }
        for (index, node) in nodes.into_iter().map(Node::new).enumerate() {
            for &child in &inner[index] {
                self.pass_inputs(graphs, own, &node, child);
                self.infer(graphs, child);
            }
            let yielded = match inner[index].first() {
                Some(&child) => self.results(graphs, &node, child),
                None => self.by_rules(own, &node),
            };
            for (name, found) in node.outputs().zip(yielded) {
                if let Some(found) = found.filter(|_| !name.is_empty()) {
                    self.graphs[own].entry(name).or_insert(found);
                }
            }
        }
    }

    /// The types of a node's outputs, as its operator tells.
    fn by_rules(&self, own: usize, node: &Node<'d>) -> Vec<Option<i64>> {
        let of = |output| self.apply(own, node, rule(node, output));
        let count = node.outputs().count();
        let mut types: Vec<_> = (0..count.min(LAST_RULE)).map(of).collect();
        if count > LAST_RULE {
            types.resize(count, of(LAST_RULE));
        }
        types
    }

    /// The inputs of a loop's body that are not declared are what the loop is given.
    fn pass_inputs(&mut self, graphs: &Graphs<'d>, own: usize, node: &Node<'d>, child: usize) {
        let inputs: Vec<_> = node.inputs().collect();
        for (index, info) in graphs.graphs[child].messages(graph::INPUT).enumerate() {
            let name = info.text(value::NAME);
            let given = inputs.get(index).and_then(|input| self.of(own, input));
            if let (Some(given), false) = (given, self.graphs[child].contains_key(name)) {
                self.graphs[child].insert(name, given);
            }
        }
    }

    /// What a branch or body yields. That of a loop yields first whether to go on.
    fn results(&self, graphs: &Graphs<'d>, node: &Node<'d>, child: usize) -> Vec<Option<i64>> {
        let skipped = usize::from(node.is("Loop"));
        let outputs = graphs.graphs[child].messages(graph::OUTPUT).skip(skipped);
        let names = outputs.map(|output| output.text(value::NAME));
        names.map(|name| self.of(child, name)).collect()
    }

    fn apply(&self, own: usize, node: &Node<'d>, rule: Rule) -> Option<i64> {
        match rule {
            Rule::Fixed(number) => Some(number),
            Rule::Input(input) => self.of(own, node.inputs().nth(input)?),
            Rule::Attribute(name, default) => match (node.int(name), default) {
                (Some(number), _) => Some(number),
                (None, Otherwise::Type(number)) => Some(number),
                (None, Otherwise::Input(input)) => self.apply(own, node, Rule::Input(input)),
            },
            Rule::Unknown => None,
        }
    }
}

/// The element type that a `ValueInfoProto` declares.
fn declared(info: &Message) -> Option<i64> {
    element(info.message(value::TYPE)?)
}

fn element(of: &Message) -> Option<i64> {
    if let Some(tensor) = of.message(value_type::TENSOR_TYPE) {
        return tensor.int(tensor_type::ELEM_TYPE);
    }
    let nested = [value_type::SEQUENCE_TYPE, value_type::OPTIONAL_TYPE];
    let nested = nested.iter().find_map(|&number| of.message(number))?;
    element(nested.message(container_type::ELEM_TYPE)?)
}

/// The output from which on all have one rule.
const LAST_RULE: usize = 2;

/// Where the type of an output comes from.
fn rule(node: &Node<'_>, output: usize) -> Rule {
    use Otherwise::{Input, Type};
    match (node.domain(), node.op_type(), output) {
        ("com.microsoft", op, _) => microsoft(op, output),
        (domain, ..) if !domain.is_empty() => Rule::Unknown,
        (_, "Cast", _) => Rule::Attribute("to", Type(FLOAT)),
        (_, "Constant", _) => constant(node),
        (_, "ConstantOfShape", _) => {
            let value = node.attribute("value");
            let value = value.and_then(|each| each.message(attribute::T));
            Rule::Fixed(value.map_or(FLOAT, |tensor| super::Tensor::new(tensor).data_type()))
        }
        (
            _,
            "Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "NonMaxSuppression"
            | "SequenceLength",
            _,
        ) => Rule::Fixed(INT64),
        (_, "TopK" | "MaxPool" | "Unique" | "StringSplit", 1..) => Rule::Fixed(INT64),
        (
            _,
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor"
            | "Not" | "IsNaN" | "IsInf" | "OptionalHasElement" | "RegexFullMatch",
            _,
        )
        | (_, "Dropout", 1) => Rule::Fixed(BOOL),
        (_, "CastLike" | "Where" | "DequantizeLinear", _) => Rule::Input(1),
        (_, "OneHot", _) => Rule::Input(2),
        (_, "QLinearMatMul" | "QLinearConv", _) => Rule::Input(7),
        (_, "QuantizeLinear", _) if node.input(2).is_empty() => {
            Rule::Attribute("output_dtype", Type(UINT8))
        }
        (_, "QuantizeLinear", _) => Rule::Input(2),
        (_, "DynamicQuantizeLinear", 1) => Rule::Fixed(FLOAT),
        (_, "DynamicQuantizeLinear", _) => Rule::Fixed(UINT8),
        (_, "MatMulInteger" | "ConvInteger", _) => Rule::Fixed(INT32),
        (_, "TfIdfVectorizer", _) => Rule::Fixed(FLOAT),
        (_, "LayerNormalization", 1..) => Rule::Attribute("stash_type", Type(FLOAT)),
        (_, "RandomNormal" | "RandomUniform" | "SequenceEmpty", _) => {
            Rule::Attribute("dtype", Type(FLOAT))
        }
        (_, "Multinomial", _) => Rule::Attribute("dtype", Type(INT32)),
        (_, "RandomNormalLike" | "RandomUniformLike" | "EyeLike" | "Bernoulli", _) => {
            Rule::Attribute("dtype", Input(0))
        }
        (_, "HannWindow" | "HammingWindow" | "BlackmanWindow" | "MelWeightMatrix", _) => {
            Rule::Attribute("output_datatype", Type(FLOAT))
        }
        _ => Rule::Input(0),
    }
}

/// onnxruntime's own operators.
fn microsoft(op: &str, output: usize) -> Rule {
    match (op, output) {
        ("GatherBlockQuantized" | "EmbedLayerNormalization" | "MatMulIntegerToFloat", 0) => {
            Rule::Input(2)
        }
        ("EmbedLayerNormalization", 1) => Rule::Fixed(INT32),
        ("DequantizeLinear", _) => Rule::Input(1),
        ("QuantizeLinear", _) => Rule::Input(2),
        _ => Rule::Input(0),
    }
}

/// A `Constant` of something else than a tensor, whose type is known already.
fn constant(node: &Node<'_>) -> Rule {
    let has = |name: &str| node.attribute(name).is_some();
    match (
        has("value_float") || has("value_floats"),
        has("value_int") || has("value_ints"),
    ) {
        (true, _) => Rule::Fixed(FLOAT),
        (_, true) => Rule::Fixed(INT64),
        _ => Rule::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_type::{FLOAT16, INT8};
    use super::super::node::make_node;
    use super::*;
    use crate::format::onnx::{Document, Field};

    /// A declared value.
    fn declare(name: &str, element: i64) -> Message {
        let tensor = Message::of([Field::new(tensor_type::ELEM_TYPE, element)]);
        let of = Message::of([Field::new(value_type::TENSOR_TYPE, tensor)]);
        Message::of([Field::new(value::NAME, name), Field::new(value::TYPE, of)])
    }

    /// A value whose type nobody says.
    fn named(name: &str) -> Message {
        Message::of([Field::new(value::NAME, name)])
    }

    /// The types of names, where `f`, `h` and `i` are given as f32, f16 and int64.
    fn types(nodes: Vec<Message>, names: &[&str]) -> Vec<Option<i64>> {
        let mut main = Message::new();
        for node in nodes {
            main.push(graph::NODE, node);
        }
        for (name, element) in [("f", FLOAT), ("h", FLOAT16), ("i", INT64)] {
            main.push(graph::INPUT, declare(name, element));
        }
        let document = Document::around(main);
        let types = Types::new(&Graphs::new(&document));
        names.iter().map(|name| types.of(0, name)).collect()
    }

    fn node(
        op: [&str; 2],
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, i64)],
    ) -> Message {
        make_node([op[0], op[1], ""], inputs, outputs, attributes)
    }

    #[test]
    fn operators_tell_what_they_yield() {
        let microsoft = "com.microsoft";
        let nodes = vec![
            node(["Relu", ""], &["h"], &["relu"], &[]),
            node(["Split", ""], &["h"], &["s0", "s1", "s2", "s3"], &[]),
            node(["Shape", ""], &["f"], &["shape"], &[]),
            node(["Cast", ""], &["i"], &["cast"], &[("to", FLOAT16)]),
            node(["Where", ""], &["b", "h", "h"], &["where"], &[]),
            node(["Less", ""], &["f", "f"], &["less"], &[]),
            node(["TopK", ""], &["h", "i"], &["top", "at"], &[]),
            node(["Dropout", ""], &["h"], &["kept", "mask"], &[]),
            node(
                ["LayerNormalization", ""],
                &["h", "h"],
                &["norm", "mean", "deviation"],
                &[],
            ),
            node(["QuantizeLinear", ""], &["f", "f"], &["codes"], &[]),
            node(
                ["QuantizeLinear", ""],
                &["f", "f"],
                &["signed"],
                &[("output_dtype", INT8)],
            ),
            node(
                ["DequantizeLinear", ""],
                &["signed", "h"],
                &["decoded"],
                &[],
            ),
            node(
                ["MatMulIntegerToFloat", microsoft],
                &["codes", "codes", "f"],
                &["product"],
                &[],
            ),
            node(["Relu", "elsewhere"], &["h"], &["unknown"], &[]),
        ];
        let expected = [
            ("relu", Some(FLOAT16)),
            ("s0", Some(FLOAT16)),
            ("s3", Some(FLOAT16)),
            ("shape", Some(INT64)),
            ("cast", Some(FLOAT16)),
            ("where", Some(FLOAT16)),
            ("less", Some(BOOL)),
            ("top", Some(FLOAT16)),
            ("at", Some(INT64)),
            ("kept", Some(FLOAT16)),
            ("mask", Some(BOOL)),
            ("norm", Some(FLOAT16)),
            ("mean", Some(FLOAT)),
            ("deviation", Some(FLOAT)),
            ("codes", Some(UINT8)),
            ("signed", Some(INT8)),
            ("decoded", Some(FLOAT16)),
            ("product", Some(FLOAT)),
            ("unknown", None),
            ("nowhere", None),
        ];
        let names = expected.map(|(name, _)| name);
        let found = types(nodes, &names);
        for ((name, wanted), found) in expected.into_iter().zip(found) {
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn bodies_take_from_loops_and_give_to_them() {
        // A body sees how often, whether, and what the loop carries; it yields whether, and that.
        let mut body = Message::new();
        for name in ["n", "go", "carried"] {
            body.push(graph::INPUT, named(name));
        }
        let around = node(["Relu", ""], &["h"], &["inner"], &[]);
        body.push(graph::NODE, around);
        body.push(
            graph::NODE,
            node(["Identity", ""], &["carried"], &["next"], &[]),
        );
        for name in ["go", "next", "inner"] {
            body.push(graph::OUTPUT, named(name));
        }
        let body = Message::of([
            Field::new(attribute::NAME, "body"),
            Field::new(attribute::G, body),
        ]);
        let mut outer = node(["Loop", ""], &["i", "", "f"], &["last", "all"], &[]);
        outer.push(super::super::schema::node::ATTRIBUTE, body);
        let found = types(vec![outer], &["last", "all"]);
        assert_eq!(found, [Some(FLOAT), Some(FLOAT16)]);
    }
}

//! An ONNX plan in the making: edits are collected while the graphs are looked at, then made.

mod edits;
mod finish;
mod flow;

use crate::calibrate::{Encodings, Grid};
use crate::error::{Error, Result};
use crate::format::onnx::schema::graph;
use crate::format::onnx::{
    Bytes, Document, Graphs, Message, Names, Node, Origin, Reader, Use, Weight, make_tensor,
};
use crate::io::Limits;
use crate::model::{Model, OutputTensor, Plan, TensorInfo};
use edits::GraphEdits;
use std::collections::{HashMap, HashSet};

pub(super) use edits::Adjust;
pub(super) use flow::Flow;

/// Bytes of a weight that are looked at together.
const CHUNK: usize = 1 << 20;

/// Where a node is: its graph, and its index there.
pub(super) type Place = (usize, usize);

/// Everything that is known of the input, and what is decided about the output so far.
pub(super) struct Draft<'d> {
    pub(super) document: &'d Document,
    pub(super) graphs: Graphs<'d>,
    pub(super) names: Names,
    /// Who makes and reads the values of the main graph.
    pub(super) flow: Flow<'d>,
    model: Model,
    /// The name in `model` of each weight, if it is there.
    keys: Vec<Option<String>>,
    /// The nodes of each graph.
    nodes: Vec<Vec<Node<'d>>>,
    /// The weight that an input of a node is: by graph, node and input.
    inputs: HashMap<(usize, usize, usize), usize>,
    /// How many uses of each weight the output no longer has.
    released: Vec<usize>,
    /// Weights in whose place there are others of the same names.
    replaced: HashSet<usize>,
    edits: HashMap<usize, GraphEdits>,
    /// The versions of the input: of ONNX's own operators, and of the file format.
    opset: i64,
    ir: i64,
    opsets: Vec<(&'static str, i64)>,
    least_ir: i64,
    plan: Plan,
    /// Scales and offsets that weights must get.
    pub(super) given: HashMap<usize, Grid>,
    /// What became of values and weights.
    pub(super) encodings: Encodings,
    /// Planes of the plan's tensors so far.
    slots: usize,
}

/// A plane of a planned tensor as an initializer: the number of its element type, and its shape.
pub(super) struct PlaneInfo {
    pub(super) name: String,
    pub(super) data_type: i64,
    pub(super) shape: Vec<usize>,
}

impl<'d> Draft<'d> {
    pub(super) fn new(document: &'d Document, limits: &Limits) -> Result<Self> {
        let graphs = Graphs::new(document);
        let (model, keys) = Reader::of_weights(document, &graphs.weights, limits)?;
        let nodes = |message: &&'d Message| message.messages(graph::NODE).map(Node::new).collect();
        let nodes: Vec<Vec<_>> = graphs.graphs.iter().map(nodes).collect();
        Ok(Self {
            flow: Flow::new(&graphs.graphs, &nodes),
            nodes,
            inputs: inputs(&graphs),
            released: vec![0; graphs.weights.len()],
            replaced: HashSet::new(),
            names: Names::new(document),
            document,
            graphs,
            model,
            keys,
            edits: HashMap::new(),
            opset: document.opset("ai.onnx").unwrap_or_default(),
            ir: document.ir_version(),
            opsets: Vec::new(),
            least_ir: 0,
            plan: Plan::default(),
            given: HashMap::new(),
            encodings: Encodings::default(),
            slots: 0,
        })
    }

    /// The constants, to be read.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The number of graphs.
    pub(super) fn graphs(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes of a graph, in their order.
    pub(super) fn nodes(&self, graph: usize) -> impl Iterator<Item = (usize, Node<'d>)> + use<'d> {
        let nodes = self.nodes.get(graph).cloned().unwrap_or_default();
        nodes.into_iter().enumerate()
    }

    /// A node.
    pub(super) fn node(&self, (graph, index): Place) -> Option<Node<'d>> {
        self.nodes.get(graph)?.get(index).copied()
    }

    /// The weight that an input of a node is, if it is one.
    pub(super) fn weight_at(&self, (graph, node): Place, input: usize) -> Option<usize> {
        self.inputs.get(&(graph, node, input)).copied()
    }

    /// Says that a use of a weight is gone. A weight without uses is left out.
    pub(super) fn release(&mut self, weight: usize) {
        self.released[weight] += 1;
    }

    /// The operator set of ONNX's own operators.
    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// What a weight is, if its elements can be read.
    pub(super) fn info(&self, weight: usize) -> Option<&TensorInfo> {
        self.model.tensor(self.keys.get(weight)?.as_deref()?)
    }

    /// Whether a weight never changes: not a mere default of an input. Before IR version 4, every
    /// initializer had to be an input, and was constant all the same.
    pub(super) fn is_constant(&self, weight: &Weight<'_>) -> bool {
        weight.origin != Origin::Default || self.ir < 4
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.plan.notes.push(note.into());
    }

    /// Plans a tensor of several planes, which become initializers of a graph.
    ///
    /// # Errors
    /// `misuse` if the encoding does not fit the shape.
    pub(super) fn add(
        &mut self,
        tensor: OutputTensor,
        graph: usize,
        planes: Vec<PlaneInfo>,
    ) -> Result<()> {
        let sizes = tensor.encoding.planes(&tensor.shape)?;
        let initializers = sizes.iter().zip(planes).map(|(size, plane)| {
            let (slot, len) = (self.slots, size.bytes as u64);
            self.slots += 1;
            let raw = Bytes::Later { slot, len };
            make_tensor(&plane.name, plane.data_type, &plane.shape, raw)
        });
        let initializers: Vec<_> = initializers.collect();
        self.edits(graph).initializers.extend(initializers);
        self.plan.tensors.push(tensor);
        Ok(())
    }

    /// Puts a node that needs nothing but initializers before all others of a graph.
    pub(super) fn put_first(&mut self, graph: usize, node: Message) {
        self.edits(graph).first.push(node);
    }

    /// Puts nodes, in their order, in the place of one.
    pub(super) fn replace_node(&mut self, (graph, index): Place, nodes: Vec<Message>) {
        self.edits(graph).nodes.insert(index, nodes);
    }

    /// The nodes in the place of one, if it was replaced.
    pub(super) fn replacement(&self, (graph, index): Place) -> Option<&Vec<Message>> {
        self.edits.get(&graph)?.nodes.get(&index)
    }

    /// Changes a node where it is.
    pub(super) fn adjust_node(&mut self, (graph, index): Place, adjust: Adjust) {
        self.edits(graph).adjusts.insert(index, adjust);
    }

    /// Puts a node after all others of a graph.
    pub(super) fn put_last(&mut self, graph: usize, node: Message) {
        self.edits(graph).last.push(node);
    }

    /// Declares another element type for an input, output or value of a graph.
    pub(super) fn retype(&mut self, graph: usize, name: String, data_type: i64) {
        self.edits(graph).retyped.insert(name, data_type);
    }

    /// Leaves a weight out, because another of the same name was added.
    pub(super) fn replace_weight(&mut self, weight: usize) {
        self.replaced.insert(weight);
    }

    /// How many elements of a weight are so; reads all of them.
    pub(super) fn count(&self, key: &str, is_so: impl Fn(f32) -> bool) -> Result<usize> {
        let Some(index) = self.model.index_of(key) else {
            return Ok(0);
        };
        let info = &self.model.tensors()[index];
        let bytes = info.dtype.tensor_bytes(&info.shape)?;
        let (mut buffer, mut count) = (vec![0; CHUNK.min(bytes)], 0);
        for start in (0..bytes).step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(bytes - start)];
            self.model.read_at(index, start as u64, chunk)?;
            let (numbers, _) = chunk.as_chunks::<4>();
            count += numbers
                .iter()
                .filter(|x| is_so(f32::from_le_bytes(**x)))
                .count();
        }
        Ok(count)
    }

    /// Adds an initializer of few elements to a graph; `raw` is little-endian.
    pub(super) fn add_constant(&mut self, graph: usize, plane: &PlaneInfo, raw: &[u8]) {
        let raw = Bytes::Memory(raw.into());
        let tensor = make_tensor(&plane.name, plane.data_type, &plane.shape, raw);
        self.edits(graph).initializers.push(tensor);
    }

    /// Makes sure that the output imports an operator set.
    pub(super) fn need_opset(&mut self, domain: &'static str, version: i64) {
        if !self.opsets.contains(&(domain, version)) {
            self.opsets.push((domain, version));
        }
    }

    /// Refuses what cannot be expressed in the model's operator set; `instead` says what else can be done.
    pub(super) fn need_version(&self, version: i64, what: &str, instead: &str) -> Result<()> {
        if self.opset >= version {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{what} needs operator set {version}, but the model has {}; convert it with onnx.version_converter{instead}",
            self.opset
        ))
        .in_file(self.document.path()))
    }

    /// Makes sure that the output says at least this version of the file format.
    pub(super) fn need_ir(&mut self, version: i64) {
        self.least_ir = self.least_ir.max(version);
    }

    fn edits(&mut self, graph: usize) -> &mut GraphEdits {
        self.edits.entry(graph).or_default()
    }
}

/// The weights that inputs of nodes are.
fn inputs(graphs: &Graphs<'_>) -> HashMap<(usize, usize, usize), usize> {
    let weights = graphs.weights.iter().enumerate();
    let uses =
        weights.flat_map(|(index, weight)| weight.uses.iter().map(move |each| (each, index)));
    let inputs = uses.filter_map(|(each, index)| match *each {
        Use::Input { graph, node, input } => Some(((graph, node, input), index)),
        Use::Output { .. } => None,
    });
    inputs.collect()
}

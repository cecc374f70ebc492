//! An ONNX plan in the making: edits are collected while the graphs are looked at, then made.

use super::OnnxPlan;
use crate::error::{Error, Result};
use crate::format::onnx::schema::{
    attribute, container_type, graph, model as root, node as node_field, operator_set,
    tensor as tensor_field, tensor_type, value, value_type,
};
use crate::format::onnx::{
    Bytes, Document, Graphs, Message, Names, Node, Origin, Reader, Tensor, Use, Value, Weight,
    each_graph_mut, make_tensor,
};
use crate::io::Limits;
use crate::model::{Expr, Model, OutputTensor, Plan, TensorInfo};
use crate::tensor::Encoding;
use std::collections::{HashMap, HashSet};

/// Bytes of a weight that are looked at together.
const CHUNK: usize = 1 << 20;

/// Where a node is: its graph, and its index there.
pub(super) type Place = (usize, usize);

/// Everything that is known of the input, and what is decided about the output so far.
pub(super) struct Draft<'d> {
    pub(super) document: &'d Document,
    pub(super) graphs: Graphs<'d>,
    pub(super) names: Names,
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
    opsets: Vec<(&'static str, i64)>,
    least_ir: i64,
    plan: Plan,
    /// Planes of the plan's tensors so far.
    slots: usize,
}

/// What changes in one graph.
#[derive(Default)]
struct GraphEdits {
    initializers: Vec<Message>,
    /// Nodes before all others.
    first: Vec<Message>,
    /// What takes the place of a node; nothing if it goes.
    nodes: HashMap<usize, Vec<Message>>,
    /// What changes in a node that stays.
    adjusts: HashMap<usize, Adjust>,
    /// Nodes after all others.
    last: Vec<Message>,
    /// Values that are declared with other element types.
    retyped: HashMap<String, i64>,
}

/// What changes in a node that stays where it is, with the graphs in it.
#[derive(Default)]
pub(super) struct Adjust {
    /// Nodes that come before it.
    pub(super) before: Vec<Message>,
    /// Inputs by index, and their new names.
    pub(super) inputs: Vec<(usize, String)>,
    /// Outputs likewise.
    pub(super) outputs: Vec<(usize, String)>,
    /// Attributes in the place of those of the same names.
    pub(super) attributes: Vec<Message>,
    /// Names of attributes that go.
    pub(super) dropped: Vec<&'static str>,
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
        Ok(Self {
            nodes: graphs.graphs.iter().map(nodes).collect(),
            inputs: inputs(&graphs),
            released: vec![0; graphs.weights.len()],
            replaced: HashSet::new(),
            names: Names::new(document),
            document,
            graphs,
            model,
            keys,
            edits: HashMap::new(),
            opsets: Vec::new(),
            least_ir: 0,
            plan: Plan::default(),
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
        self.document.opset("ai.onnx").unwrap_or_default()
    }

    /// What a weight is, if its elements can be read.
    pub(super) fn info(&self, weight: usize) -> Option<&TensorInfo> {
        self.model.tensor(self.keys.get(weight)?.as_deref()?)
    }

    /// Whether a weight never changes: not a mere default of an input. Before IR version 4, every
    /// initializer had to be an input, and was constant all the same.
    pub(super) fn is_constant(&self, weight: &Weight<'_>) -> bool {
        weight.origin != Origin::Default || self.document.ir_version() < 4
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

    /// Whether nobody uses a weight any more whom somebody used.
    fn is_dropped(&self, weight: usize) -> bool {
        let uses = self.graphs.weights[weight].uses.len();
        let released = self.released[weight];
        self.replaced.contains(&weight) || (released > 0 && released == uses)
    }

    /// Takes `Constant` nodes that nobody uses any more out, and tells of weights in two forms.
    fn drop_weights(&mut self) {
        for index in 0..self.graphs.weights.len() {
            let weight = &self.graphs.weights[index];
            let (name, uses) = (weight.name, weight.uses.len());
            let (graph, origin) = (weight.graph, weight.origin);
            if let (true, Origin::Constant(node)) = (self.is_dropped(index), origin) {
                self.edits(graph).nodes.insert(node, Vec::new());
            }
            let left = uses - self.released[index].min(uses);
            if self.released[index] > 0 && left > 0 {
                self.note(format!(
                    "'{name}' is stored twice: {left} of its {uses} uses are not quantized"
                ));
            }
        }
    }

    /// Makes sure that the output imports an operator set.
    pub(super) fn need_opset(&mut self, domain: &'static str, version: i64) {
        self.opsets.push((domain, version));
    }

    /// Makes sure that the output says at least this version of the file format.
    pub(super) fn need_ir(&mut self, version: i64) {
        self.least_ir = self.least_ir.max(version);
    }

    fn edits(&mut self, graph: usize) -> &mut GraphEdits {
        self.edits.entry(graph).or_default()
    }

    /// Plans copies of the initializers that stay, and makes the edits.
    pub(super) fn finish(mut self) -> Result<OnnxPlan> {
        self.drop_weights();
        let copies = self.copies();
        let mut document = self.document.clone();
        let drop_inputs = self.least_ir >= 4 && document.ir_version() < 4;
        self.edit_model(&mut document);
        each_graph_mut(&mut document, &mut |id, message| {
            edit_initializers(message, &copies, id, drop_inputs);
            if let Some(edits) = self.edits.remove(&id) {
                edit_values(message, &edits.retyped);
                edit_nodes(message, edits);
            }
        });
        Ok(OnnxPlan {
            model: self.model,
            plan: self.plan,
            document,
        })
    }

    /// For each graph what becomes of its initializers in their order.
    fn copies(&mut self) -> HashMap<usize, Vec<Fate>> {
        let mut fates: HashMap<usize, Vec<Fate>> = HashMap::new();
        for (index, weight) in self.graphs.weights.iter().enumerate() {
            if matches!(weight.origin, Origin::Constant(_)) {
                continue;
            }
            let mut fate = match self.is_dropped(index) {
                true => Fate::Dropped,
                false => Fate::Kept,
            };
            let key = self.keys[index].as_deref();
            let info = key.and_then(|key| self.model.tensor(key));
            if let (Fate::Kept, Some(info), Some(len)) = (&fate, info, stored(weight.tensor)) {
                let slot = self.slots;
                self.slots += 1;
                fate = Fate::Later(Bytes::Later { slot, len });
                self.plan.tensors.push(OutputTensor {
                    name: info.name.clone(),
                    shape: info.shape.clone(),
                    encoding: Encoding::Block(info.dtype),
                    source: Expr::input(&info.name),
                    importance: None,
                });
            }
            fates.entry(weight.graph).or_default().push(fate);
        }
        fates
    }

    fn edit_model(&self, document: &mut Document) {
        let ir = document.ir_version();
        let model = document.model_mut();
        if ir < self.least_ir {
            model.set(root::IR_VERSION, self.least_ir);
        }
        for &(domain, version) in &self.opsets {
            let is_it = |import: &Message| import.text(operator_set::DOMAIN) == domain;
            if !model.messages(root::OPSET_IMPORT).any(is_it) {
                let mut import = Message::new();
                import.push(operator_set::DOMAIN, domain);
                import.push(operator_set::VERSION, version);
                model.push(root::OPSET_IMPORT, import);
            }
        }
    }
}

/// What becomes of an initializer.
enum Fate {
    Kept,
    Dropped,
    /// The job copies its bytes.
    Later(Bytes),
}

/// The number of a tensor's bytes, if they are raw and lie in a file.
fn stored(tensor: &Message) -> Option<u64> {
    match tensor.bytes(tensor_field::RAW_DATA) {
        Some(Bytes::Stored { len, .. }) => Some(*len),
        _ => None,
    }
}

fn edit_initializers(
    message: &mut Message,
    fates: &HashMap<usize, Vec<Fate>>,
    id: usize,
    drop_inputs: bool,
) {
    let mut fates = fates.get(&id).into_iter().flatten();
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

fn edit_nodes(message: &mut Message, mut edits: GraphEdits) {
    let mut index = 0;
    for field in std::mem::take(message.fields_mut()) {
        if field.number != graph::NODE {
            message.fields_mut().push(field);
            continue;
        }
        for node in edits.first.drain(..) {
            message.push(graph::NODE, node);
        }
        match edits.nodes.remove(&index) {
            Some(nodes) => {
                let nodes = nodes.into_iter();
                nodes.for_each(|node| message.push(graph::NODE, node));
            }
            None => match (edits.adjusts.remove(&index), field.value) {
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
    for node in edits.last {
        message.push(graph::NODE, node);
    }
    for tensor in edits.initializers {
        message.push(graph::INITIALIZER, tensor);
    }
}

impl Adjust {
    fn apply(self, node: &mut Message) {
        for (number, names) in [
            (node_field::INPUT, self.inputs),
            (node_field::OUTPUT, self.outputs),
        ] {
            for (index, name) in names {
                let fields = node.fields_mut().iter_mut();
                if let Some(field) = fields.filter(|field| field.number == number).nth(index) {
                    field.value = name.as_str().into();
                }
            }
        }
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
fn edit_values(message: &mut Message, retyped: &HashMap<String, i64>) {
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

/// Refuses what cannot be expressed in the model's operator set; `instead` says what else can be done.
pub(super) fn need_version(
    document: &Document,
    version: i64,
    what: &str,
    instead: &str,
) -> Result<()> {
    match document.opset("ai.onnx") {
        Some(own) if own >= version => Ok(()),
        own => Err(Error::unsupported(format!(
            "{what} needs operator set {version}, but the model has {}; convert it with onnx.version_converter{instead}",
            own.unwrap_or_default()
        ))
        .in_file(document.path())),
    }
}

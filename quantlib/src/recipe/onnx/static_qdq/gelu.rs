//! GELU in five nodes around an Erf, as exporters write it: the accelerator has no Erf, but a Gelu.

use super::super::OnnxQuantization;
use super::super::draft::Draft;
use super::super::weight_only::MICROSOFT;
use super::constant;
use crate::format::onnx::schema::{graph, value};
use crate::format::onnx::{Message, Node, make_node};
use std::collections::HashMap;

/// Nodes of the main graph that together are x · (1 + erf(x / √2)) / 2.
pub(super) struct Gelu {
    /// The x.
    pub(super) input: String,
    /// All of them, by their indices.
    pub(super) nodes: Vec<usize>,
    /// The one whose result is that of all.
    pub(super) last: usize,
}

impl Gelu {
    /// All of a model, but for those with nodes that are to stay as they are.
    pub(super) fn find(draft: &Draft<'_>, wish: &OnnxQuantization) -> Vec<Self> {
        let chains = Chains::new(draft);
        let erfs = chains.nodes.iter().enumerate();
        let erfs = erfs.filter(|(_, node)| node.is("Erf"));
        let mut found: Vec<_> = erfs.filter_map(|(index, _)| chains.around(index)).collect();
        found.retain(|gelu| {
            gelu.nodes.iter().all(|index| {
                let replaced = draft.replacement((0, *index)).is_some();
                !replaced && !wish.keeps(&chains.nodes[*index])
            })
        });
        found
    }

    /// The one node: ONNX's own from operator set 20 on, onnxruntime's before. `input` is what the x is
    /// called now.
    pub(super) fn node(&self, draft: &mut Draft<'_>, input: &str, output: &str) -> Message {
        let domain = match draft.opset() {
            20.. => "",
            _ => {
                draft.need_opset(MICROSOFT, 1);
                MICROSOFT
            }
        };
        let name = draft.names.unique(&format!("{output}_Gelu"));
        make_node(["Gelu", domain, &name], &[input], &[output], &[])
    }
}

/// The main graph, to be walked along chains that nobody else reads from.
struct Chains<'a, 'd> {
    draft: &'a Draft<'d>,
    nodes: Vec<Node<'d>>,
    makers: HashMap<&'d str, usize>,
    /// The only node that reads a value.
    readers: HashMap<&'d str, Option<usize>>,
}

/// How far a constant may be from what it should be.
const CLOSE: f32 = 1e-3;

impl<'a, 'd> Chains<'a, 'd> {
    fn new(draft: &'a Draft<'d>) -> Self {
        let mut readers = HashMap::new();
        for graph in 0..draft.graphs() {
            for (index, node) in draft.nodes(graph) {
                for input in node.inputs() {
                    let one = (graph == 0).then_some(index);
                    let reader = readers.entry(input).or_insert(one);
                    *reader = reader.filter(|known| Some(*known) == one);
                }
            }
        }
        for message in &draft.graphs.graphs {
            for output in message.messages(graph::OUTPUT) {
                readers.insert(output.text(value::NAME), None);
            }
        }
        let nodes: Vec<_> = draft.nodes(0).map(|(_, node)| node).collect();
        let made = nodes.iter().enumerate();
        let makers = made.flat_map(|(index, node)| node.outputs().map(move |name| (name, index)));
        Self {
            draft,
            makers: makers.collect(),
            nodes,
            readers,
        }
    }

    /// The chain around an Erf: what is behind it is multiplied with x and a half, in any order.
    fn around(&self, erf: usize) -> Option<Gelu> {
        let first = *self.makers.get(self.nodes[erf].input(0))?;
        let input = self.scaled(first)?;
        let add = self.next(erf, "Add")?;
        let is_one = self.is_near(self.beside(add, erf)?, 1.0);
        let mut nodes = vec![first, erf, add];
        let (mut by_x, mut by_half, mut last) = (false, false, add);
        while !(by_x && by_half) {
            let product = self.next(last, "Mul")?;
            match self.factor(self.beside(product, last)?, input)? {
                Factor::X if !by_x => by_x = true,
                Factor::Half if !by_half => by_half = true,
                Factor::HalfOfX(maker) if !by_x && !by_half => {
                    (by_x, by_half) = (true, true);
                    nodes.push(maker);
                }
                _ => return None,
            }
            nodes.push(product);
            last = product;
        }
        (is_one && self.next(first, "Erf") == Some(erf)).then(|| Gelu {
            input: input.to_owned(),
            nodes,
            last,
        })
    }

    /// The x of a node that divides it by the root of 2.
    fn scaled(&self, index: usize) -> Option<&'d str> {
        let node = &self.nodes[index];
        let root = std::f32::consts::SQRT_2;
        let [a, b] = [node.input(0), node.input(1)];
        match node.op_type() {
            "Div" if self.is_near(b, root) => Some(a),
            "Mul" if self.is_near(b, root.recip()) => Some(a),
            "Mul" if self.is_near(a, root.recip()) => Some(b),
            _ => None,
        }
    }

    /// The node of an operator that alone reads what another makes.
    fn next(&self, index: usize, op: &str) -> Option<usize> {
        let mut outputs = self.nodes[index].outputs();
        let reader = (*self.readers.get(outputs.next()?)?)?;
        (outputs.next().is_none() && self.nodes[reader].is(op)).then_some(reader)
    }

    /// The input of a node of two that another node does not make.
    fn beside(&self, index: usize, other: usize) -> Option<&'d str> {
        let made = self.nodes[other].outputs().next()?;
        let mut inputs = self.nodes[index].inputs();
        inputs.find(|input| *input != made)
    }

    fn factor(&self, name: &'d str, x: &str) -> Option<Factor> {
        if name == x {
            return Some(Factor::X);
        }
        if self.is_near(name, 0.5) {
            return Some(Factor::Half);
        }
        let maker = *self.makers.get(name)?;
        let node = &self.nodes[maker];
        let [a, b] = [node.input(0), node.input(1)];
        let halves = (a == x && self.is_near(b, 0.5)) || (b == x && self.is_near(a, 0.5));
        (halves && self.next(maker, "Mul").is_some()).then_some(Factor::HalfOfX(maker))
    }

    /// Whether a value is a constant of one element, and close to a number.
    fn is_near(&self, name: &str, number: f32) -> bool {
        let mut weights = self.draft.graphs.weights.iter().enumerate();
        let found = weights.find(|(_, weight)| weight.graph == 0 && weight.name == name);
        let Some((index, _)) = found.filter(|(index, _)| constant::is_float(self.draft, *index))
        else {
            return false;
        };
        let info = self.draft.info(index).filter(|info| info.elements() == 1);
        let read = info.and_then(|info| self.draft.model().read(&info.name).ok());
        let value = read.and_then(|bytes| constant::floats(&bytes).first().copied());
        value.is_some_and(|value| (value - number).abs() < CLOSE)
    }
}

/// What a product multiplies with.
enum Factor {
    X,
    Half,
    /// Half of x, which this node makes for nobody else.
    HalfOfX(usize),
}

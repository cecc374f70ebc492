//! The constants of a model, wherever they are, and who uses them.

use super::document::Document;
use super::node::Node;
use super::schema::{Kind, attribute, graph, model, node, value};
use super::walk::each_of;
use super::wire::Message;
use std::collections::{HashMap, HashSet};

/// A constant of a graph: an initializer, or the tensor of a `Constant` node.
#[derive(Clone, Debug)]
pub struct Weight<'d> {
    /// The name by which nodes of its graph know it.
    pub name: &'d str,
    /// The tensor.
    pub tensor: &'d Message,
    /// The graph that it is in; see [`Graphs`].
    pub graph: usize,
    /// What it is.
    pub origin: Origin,
    /// Who uses it, in the order of the graphs.
    pub uses: Vec<Use>,
}

/// What a [`Weight`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An initializer.
    Initializer,
    /// An initializer that is an input of its graph too: only a default, which callers may replace.
    Default,
    /// The value of a `Constant` node, which has this index among the nodes of its graph.
    Constant(usize),
}

/// One use of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// As an input of a node.
    Input {
        /// The graph of the node, which may be a subgraph of the weight's.
        graph: usize,
        /// The index of the node.
        node: usize,
        /// The index among the node's inputs.
        input: usize,
    },
    /// As an output of a graph.
    Output {
        /// The graph.
        graph: usize,
    },
}

/// The graphs of a model in the order in which they are met: the main graph first, each before the
/// subgraphs in its nodes. Functions, whose constants nobody outside uses, are left out.
#[derive(Debug)]
pub struct Graphs<'d> {
    /// The graphs.
    pub graphs: Vec<&'d Message>,
    /// For each the graph around it, and the index there of the node that it is in.
    pub parents: Vec<Option<(usize, usize)>>,
    /// The constants of all of them, in the same order.
    pub weights: Vec<Weight<'d>>,
}

/// What a name means where a graph is looked at.
#[derive(Clone, Copy)]
enum Meaning {
    Weight(usize),
    /// Calculated, or given by the caller.
    Other,
}

type Scope<'d> = HashMap<&'d str, Meaning>;

impl<'d> Graphs<'d> {
    /// Looks at all graphs of a document.
    pub fn new(document: &'d Document) -> Self {
        let mut found = Self {
            graphs: Vec::new(),
            parents: Vec::new(),
            weights: Vec::new(),
        };
        found.graph(document.graph(), None, &mut Vec::new());
        found
    }

    /// The nodes that have branches or bodies: the graph of each, and its index there.
    pub fn holders(&self) -> HashSet<(usize, usize)> {
        self.parents.iter().copied().flatten().collect()
    }

    fn graph(
        &mut self,
        message: &'d Message,
        parent: Option<(usize, usize)>,
        scopes: &mut Vec<Scope<'d>>,
    ) {
        let own = self.graphs.len();
        self.graphs.push(message);
        self.parents.push(parent);
        scopes.push(Scope::new());
        self.define(own, message, scopes);
        for (index, node) in message.messages(graph::NODE).enumerate() {
            for (input, name) in Node::new(node).inputs().enumerate() {
                let graph = own;
                let node = index;
                self.mark(name, Use::Input { graph, node, input }, scopes);
            }
            for attribute in node.messages(node::ATTRIBUTE) {
                let graphs = attribute.messages(attribute::GRAPHS);
                let subgraphs = attribute.messages(attribute::G).chain(graphs);
                subgraphs.for_each(|subgraph| self.graph(subgraph, Some((own, index)), scopes));
            }
        }
        for output in message.messages(graph::OUTPUT) {
            self.mark(output.text(value::NAME), Use::Output { graph: own }, scopes);
        }
        scopes.pop();
    }

    /// Takes in the names that a graph gives.
    fn define(&mut self, own: usize, message: &'d Message, scopes: &mut [Scope<'d>]) {
        let Some(scope) = scopes.last_mut() else {
            return;
        };
        for input in message.messages(graph::INPUT) {
            scope.insert(input.text(value::NAME), Meaning::Other);
        }
        let mut add = |scope: &mut Scope<'d>, name, tensor, origin| {
            scope.insert(name, Meaning::Weight(self.weights.len()));
            self.weights.push(Weight {
                name,
                tensor,
                graph: own,
                origin,
                uses: Vec::new(),
            });
        };
        for tensor in message.messages(graph::INITIALIZER) {
            let name = super::Tensor::new(tensor).name();
            let origin = match scope.contains_key(name) {
                true => Origin::Default,
                false => Origin::Initializer,
            };
            add(scope, name, tensor, origin);
        }
        for (index, node) in message.messages(graph::NODE).map(Node::new).enumerate() {
            let constant = node.constant();
            for name in node.outputs() {
                match constant {
                    Some(tensor) => add(scope, name, tensor, Origin::Constant(index)),
                    None => {
                        scope.insert(name, Meaning::Other);
                    }
                }
            }
        }
    }

    fn mark(&mut self, name: &str, mark: Use, scopes: &[Scope<'d>]) {
        let meaning = scopes.iter().rev().find_map(|scope| scope.get(name));
        if let Some(Meaning::Weight(index)) = meaning {
            self.weights[*index].uses.push(mark);
        }
    }
}

/// Calls `each` with every graph to be edited, in the order of [`Graphs`].
pub fn each_graph_mut(document: &mut Document, each: &mut dyn FnMut(usize, &mut Message)) {
    if let Some(main) = document.model_mut().message_mut(model::GRAPH) {
        descend(main, &mut 0, each);
    }
}

fn descend(message: &mut Message, next: &mut usize, each: &mut dyn FnMut(usize, &mut Message)) {
    let own = *next;
    *next += 1;
    // Subgraphs first: `each` may take away the nodes that they are in.
    for node in message.messages_mut(graph::NODE) {
        for attribute in node.messages_mut(node::ATTRIBUTE) {
            for number in [attribute::G, attribute::GRAPHS] {
                for subgraph in attribute.messages_mut(number) {
                    descend(subgraph, next, each);
                }
            }
        }
    }
    each(own, message);
}

/// The names in use anywhere in a model, for new ones that are not.
#[derive(Debug)]
pub struct Names {
    taken: HashSet<String>,
    /// The number to try next behind a name that was wanted before.
    next: HashMap<String, u64>,
}

impl Names {
    /// Collects the names of values and nodes, in subgraphs and functions too.
    pub fn new(document: &Document) -> Self {
        let mut names = HashSet::new();
        let root = document.model();
        each_of(Kind::Node, root, Kind::Model, &mut |message| {
            let node = Node::new(message);
            let all = node.inputs().chain(node.outputs()).chain([node.name()]);
            names.extend(all.map(str::to_owned));
        });
        each_of(Kind::Graph, root, Kind::Model, &mut |message| {
            let tensors = message.messages(graph::INITIALIZER);
            names.extend(tensors.map(|t| super::Tensor::new(t).name().to_owned()));
            for number in [graph::INPUT, graph::OUTPUT] {
                let values = message.messages(number);
                names.extend(values.map(|each| each.text(value::NAME).to_owned()));
            }
        });
        Self {
            taken: names,
            next: HashMap::new(),
        }
    }

    /// A name that nobody has: `wanted`, or that with a number.
    pub fn unique(&mut self, wanted: &str) -> String {
        if self.taken.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        let next = self.next.entry(wanted.to_owned()).or_insert(1);
        loop {
            let name = format!("{wanted}_{next}");
            *next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::make_node;
    use super::*;

    #[test]
    fn names_are_numbered_where_they_are_taken() {
        let mut main = Message::new();
        main.push(
            graph::NODE,
            make_node(["Relu", "", "a"], &["x"], &["a_2"], &[]),
        );
        let mut names = Names::new(&Document::around(main));
        let found: Vec<_> = (0..4).map(|_| names.unique("a")).collect();
        assert_eq!(found, ["a_1", "a_3", "a_4", "a_5"]);
        assert_eq!(names.unique("a_1"), "a_1_1");
        assert_eq!(names.unique("b"), "b");
    }
}

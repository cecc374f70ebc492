//! What changes at nodes of the main graph, collected until all of it is known.

use super::super::draft::{Draft, Place};
use crate::format::onnx::{Message, Node, put_names, schema};
use std::collections::{BTreeMap, HashMap};

/// Edits of nodes by their index in the main graph.
#[derive(Default)]
pub(super) struct Edits {
    nodes: BTreeMap<usize, Edit>,
    first: Vec<Message>,
}

#[derive(Default)]
struct Edit {
    /// Inputs that are read from elsewhere.
    inputs: BTreeMap<usize, String>,
    /// Outputs with other names.
    outputs: BTreeMap<usize, String>,
    /// What takes its place.
    own: Option<Vec<Message>>,
    /// Nodes right behind it.
    behind: Vec<Message>,
}

impl Edits {
    /// Lets an input of a node be read from another value.
    pub(super) fn input(&mut self, (_, node): Place, input: usize, name: &str) {
        let edit = self.nodes.entry(node).or_default();
        edit.inputs.insert(input, name.to_owned());
    }

    /// Gives an output of a node another name; whoever reads it reads the old one.
    pub(super) fn output(&mut self, (_, node): Place, output: usize, name: &str) {
        let edit = self.nodes.entry(node).or_default();
        edit.outputs.insert(output, name.to_owned());
    }

    /// Puts nodes in the place of one; none takes it out.
    pub(super) fn replace(&mut self, (_, node): Place, nodes: Vec<Message>) {
        self.nodes.entry(node).or_default().own = Some(nodes);
    }

    /// Puts nodes behind another.
    pub(super) fn put_behind(&mut self, (_, node): Place, nodes: Vec<Message>) {
        self.nodes.entry(node).or_default().behind.extend(nodes);
    }

    /// Puts nodes behind another, before those that are behind it already: what they make may be read
    /// there.
    pub(super) fn put_right_behind(&mut self, (_, node): Place, nodes: Vec<Message>) {
        let behind = &mut self.nodes.entry(node).or_default().behind;
        behind.splice(0..0, nodes);
    }

    /// Puts nodes before all others.
    pub(super) fn put_first(&mut self, nodes: Vec<Message>) {
        self.first.extend(nodes);
    }

    /// Lets all nodes of the main graph that read a value read another.
    pub(super) fn readers(&mut self, draft: &Draft<'_>, from: &str, to: &str) {
        for &(node, input) in draft.flow.readers(from) {
            self.input((0, node), input, to);
        }
    }

    /// Puts nodes where a value is known: behind the node that makes it, or before all others.
    pub(super) fn put(&mut self, draft: &Draft<'_>, value: &str, nodes: Vec<Message>) {
        match draft.flow.maker(value) {
            Some(index) => self.put_behind((0, index), nodes),
            None => self.put_first(nodes),
        }
    }

    pub(super) fn make(self, draft: &mut Draft<'_>) {
        self.first
            .into_iter()
            .for_each(|node| draft.put_first(0, node));
        for (index, edit) in self.nodes {
            let Some(node) = draft.node((0, index)) else {
                continue;
            };
            let other = draft.replacement((0, index)).cloned();
            let mut own = match (&edit.own, other) {
                (Some(nodes), _) => edit.on_others(&node, nodes.clone()),
                (None, Some(nodes)) => edit.on_others(&node, nodes),
                (None, None) => vec![edit.on_node(&node)],
            };
            own.extend(edit.behind);
            draft.replace_node((0, index), own);
        }
    }
}

impl Edit {
    fn on_node(&self, node: &Node<'_>) -> Message {
        let mut own = node.message().clone();
        put_names(&mut own, schema::node::INPUT, &self.inputs);
        put_names(&mut own, schema::node::OUTPUT, &self.outputs);
        own
    }

    /// The same on nodes that are in the place of one: by names.
    fn on_others(&self, node: &Node<'_>, mut others: Vec<Message>) -> Vec<Message> {
        let inputs = renamed(node.inputs(), &self.inputs);
        let outputs = renamed(node.outputs(), &self.outputs);
        for other in &mut others {
            rename(other, schema::node::INPUT, &inputs);
            rename(other, schema::node::OUTPUT, &outputs);
        }
        others
    }
}

/// The new names of values, by their old ones.
fn renamed<'n>(
    names: impl Iterator<Item = &'n str>,
    new: &'n BTreeMap<usize, String>,
) -> HashMap<&'n str, &'n str> {
    let each = names.enumerate();
    let each = each.filter_map(|(at, name)| Some((name, new.get(&at)?.as_str())));
    each.collect()
}

fn rename(node: &mut Message, number: u32, names: &HashMap<&str, &str>) {
    let own: Vec<_> = node.texts(number).map(|name| names.get(name)).collect();
    let new = own.into_iter().enumerate();
    let new = new.filter_map(|(at, name)| Some((at, (*name?).to_owned())));
    let new = new.collect();
    put_names(node, number, &new);
}

//! `fp16`: floats of 16 bits instead of 32, wherever operators take them.
//!
//! Every value that was f32 is stored either way: as f16 if a node in f16 yields it, as f32 if a node
//! that stays wide does. A node takes what it needs: where that differs, a `Cast` comes before it, one
//! for each value and graph. So what passes from one wide node to another is never narrowed, unlike in
//! onnxruntime's own converter.

mod attributes;
mod table;

use super::OnnxQuantization;
use super::draft::{Adjust, Draft, Place, PlaneInfo};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::onnx::schema::{graph as graph_field, value};
use crate::format::onnx::{Node, Origin, Types, Use, data_type, make_node};
use crate::model::{Expr, OutputTensor};
use crate::tensor::Encoding;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Converts a model.
pub(super) fn apply(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> Result<()> {
    let types = Types::new(&draft.graphs);
    let mut half = Half {
        wish,
        types,
        wide: Vec::new(),
        stored: HashMap::new(),
        casts: HashMap::new(),
        renamed: HashMap::new(),
    };
    half.choose_nodes(draft);
    half.place_values(draft);
    half.convert_weights(draft)?;
    half.settle_outputs(draft)?;
    let ends = half.outputs(draft).into_iter().collect();
    for graph in 0..draft.graphs() {
        for (index, node) in draft.nodes(graph) {
            half.convert_node(draft, (graph, index), &node)?;
        }
        half.declare(draft, graph, &ends);
    }
    half.cast_outputs(draft);
    Ok(())
}

/// A value: the graph that it is of, and its name.
type Key = (usize, String);

/// The conversion at work.
struct Half<'w, 'd> {
    wish: &'w OnnxQuantization,
    types: Types<'d>,
    /// Which nodes of each graph stay f32.
    wide: Vec<Vec<bool>>,
    /// For each value that was f32 whether it is f16 now.
    stored: HashMap<Key, bool>,
    /// The other form of values, by the graph that it is in.
    casts: HashMap<Key, String>,
    /// Values whose name an output of another type has.
    renamed: HashMap<Key, String>,
}

impl Half<'_, '_> {
    fn is_float(&self, graph: usize, name: &str) -> bool {
        self.types.of(graph, name) == Some(data_type::FLOAT)
    }

    /// Decides which nodes stay f32, and tells of them.
    fn choose_nodes(&mut self, draft: &mut Draft<'_>) {
        let opset = draft.opset();
        let holders = draft.graphs.holders();
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for graph in 0..draft.graphs() {
            let mut wide = Vec::new();
            for (index, node) in draft.nodes(graph) {
                let asked = self.wish.keeps(&node);
                let listed = table::stays_wide(&node, opset);
                // What is inside of it is converted, so it must be too.
                let is_wide = (asked || listed) && !holders.contains(&(graph, index));
                let mut values = node.inputs().chain(node.outputs());
                if is_wide && values.any(|name| self.is_float(graph, name)) {
                    match asked {
                        true => draft.note(format!("'{}' stays f32: it is excluded", node.name())),
                        false => *kinds.entry(node.operator()).or_default() += 1,
                    }
                }
                wide.push(is_wide);
            }
            self.wide.push(wide);
        }
        for (operator, count) in kinds {
            draft.note(format!("{operator} has no f16: {count} of them stay f32"));
        }
    }

    /// Whether an input of a node should be f16.
    fn wants_half(&self, opset: i64, (graph, index): Place, node: &Node<'_>, input: usize) -> bool {
        !self.wide[graph][index] && !table::is_wide_input(node, input, opset)
    }

    /// Whether a graph's inputs and outputs become f16.
    fn narrows_ends(&self, graph: usize) -> bool {
        graph > 0 || !self.wish.keep_io
    }

    /// Decides how every value is stored.
    fn place_values(&mut self, draft: &Draft<'_>) {
        for graph in 0..draft.graphs() {
            for input in draft.graphs.graphs[graph].messages(graph_field::INPUT) {
                let name = input.text(value::NAME);
                if self.is_float(graph, name) {
                    let half = self.narrows_ends(graph);
                    self.stored.insert((graph, name.to_owned()), half);
                }
            }
            for (index, node) in draft.nodes(graph) {
                for (output, name) in node.outputs().enumerate() {
                    if self.is_float(graph, name) {
                        let wide = self.wide[graph][index] || table::is_wide_output(&node, output);
                        self.stored.insert((graph, name.to_owned()), !wide);
                    }
                }
            }
        }
        for (index, weight) in draft.graphs.weights.iter().enumerate() {
            if !self.is_float(weight.graph, weight.name) {
                continue;
            }
            let readable = draft.info(index).is_some();
            let half = match weight.origin {
                // Its input has the same type.
                Origin::Default => self.narrows_ends(weight.graph),
                _ => weight.uses.iter().any(|each| self.is_half_use(draft, each)),
            };
            let key = (weight.graph, weight.name.to_owned());
            self.stored.insert(key, half && readable);
        }
    }

    fn is_half_use(&self, draft: &Draft<'_>, each: &Use) -> bool {
        match *each {
            Use::Output { graph } => self.narrows_ends(graph),
            Use::Input { graph, node, input } => {
                let message = draft.node((graph, node));
                message.is_some_and(|it| self.wants_half(draft.opset(), (graph, node), &it, input))
            }
        }
    }

    /// Makes the weights f16 that are to be stored so.
    fn convert_weights(&mut self, draft: &mut Draft<'_>) -> Result<()> {
        for index in 0..draft.graphs.weights.len() {
            let weight = &draft.graphs.weights[index];
            let (graph, name) = (weight.graph, weight.name);
            if self.stored.get(&(graph, name.to_owned())) != Some(&true) {
                continue;
            }
            let Some(info) = draft.info(index).cloned() else {
                continue;
            };
            let beyond = draft.count(&info.name, |x| x.is_finite() && x.abs() > MOST)?;
            let limit = "beyond f16's range, which";
            match beyond {
                0 => {}
                1 => draft.note(format!("'{name}' has a value {limit} becomes ±{MOST}")),
                _ => draft.note(format!(
                    "'{name}' has {beyond} values {limit} become ±{MOST}"
                )),
            }
            let plane = PlaneInfo {
                name: name.to_owned(),
                data_type: data_type::FLOAT16,
                shape: info.shape.clone(),
            };
            let tensor = OutputTensor {
                name: info.name.clone(),
                shape: info.shape.clone(),
                encoding: Encoding::Block(DType::F16),
                source: Expr::input(&info.name).narrow(),
                importance: None,
            };
            draft.add(tensor, graph, vec![plane])?;
            draft.replace_weight(index);
        }
        Ok(())
    }

    /// Gives values new names that outputs of another type have.
    fn settle_outputs(&mut self, draft: &mut Draft<'_>) -> Result<()> {
        for (graph, name) in self.outputs(draft) {
            let needed = self.narrows_ends(graph);
            match self.stored.get(&(graph, name.clone())) {
                Some(&half) if half != needed => {
                    let mark = if half { "f16" } else { "f32" };
                    let other = draft.names.unique(&format!("{name}_{mark}"));
                    self.renamed.insert((graph, name), other);
                }
                Some(_) => {}
                None => {
                    return Err(Error::unsupported(format!(
                        "the output '{name}' of a branch or body is a value of the graph around it; put an Identity between them"
                    ))
                    .in_file(draft.document.path()));
                }
            }
        }
        Ok(())
    }

    /// The outputs of all graphs that were f32.
    fn outputs(&self, draft: &Draft<'_>) -> Vec<Key> {
        let graphs = draft.graphs.graphs.iter().enumerate();
        let outputs = graphs.flat_map(|(graph, message)| {
            let outputs = message.messages(graph_field::OUTPUT);
            outputs.map(move |output| (graph, output.text(value::NAME).to_owned()))
        });
        let floats = outputs.filter(|(graph, name)| self.is_float(*graph, name));
        floats.collect()
    }

    /// Gives a node inputs, outputs and attributes of the types that it has now.
    fn convert_node(&mut self, draft: &mut Draft<'_>, place: Place, node: &Node<'_>) -> Result<()> {
        let (graph, index) = place;
        let mut adjust = Adjust::default();
        for (input, name) in node.inputs().enumerate() {
            if !name.is_empty() && self.is_float(graph, name) {
                let half = self.wants_half(draft.opset(), place, node, input);
                let other = self.form(draft, graph, name, half, &mut adjust);
                adjust.inputs.extend(other.map(|other| (input, other)));
            }
        }
        for (output, name) in node.outputs().enumerate() {
            if let Some(other) = self.renamed.get(&(graph, name.to_owned())) {
                adjust.outputs.insert(output, other.clone());
            }
        }
        let mut outputs = node.outputs();
        let yields = outputs.any(|name| self.stored.get(&(graph, name.to_owned())) == Some(&true));
        if !self.wide[graph][index] && yields && node.constant().is_none() {
            let (attributes, dropped) = attributes::halved(draft.document, node)?;
            adjust.attributes = attributes;
            adjust.dropped = dropped;
        }
        draft.adjust_node(place, adjust);
        Ok(())
    }

    /// The name under which a value is seen as f16 or f32, if it is not its own.
    fn form(
        &mut self,
        draft: &mut Draft<'_>,
        graph: usize,
        name: &str,
        half: bool,
        adjust: &mut Adjust,
    ) -> Option<String> {
        let home = self.types.home(graph, name)?;
        let key = (home, name.to_owned());
        let own = self.renamed.get(&key).cloned();
        if self.stored.get(&key).is_none_or(|stored| *stored == half) {
            return own;
        }
        let here = (graph, name.to_owned());
        if let Some(cast) = self.casts.get(&here) {
            return Some(cast.clone());
        }
        let (mark, to) = match half {
            true => ("fp16", data_type::FLOAT16),
            false => ("fp32", data_type::FLOAT),
        };
        let cast = draft.names.unique(&format!("{name}_cast_to_{mark}"));
        let node = draft.names.unique(&format!("{name}_cast_to_{mark}_node"));
        let from = own.as_deref().unwrap_or(name);
        let cast_node = make_node(["Cast", "", &node], &[from], &[&cast], &[("to", to)]);
        adjust.before.push(cast_node);
        self.casts.insert(here, cast.clone());
        Some(cast)
    }

    /// Declares the new types of a graph's values.
    fn declare(&self, draft: &mut Draft<'_>, graph: usize, ends: &HashSet<Key>) {
        let message = draft.graphs.graphs[graph];
        for number in [
            graph_field::INPUT,
            graph_field::OUTPUT,
            graph_field::VALUE_INFO,
        ] {
            for info in message.messages(number) {
                let key = (graph, info.text(value::NAME).to_owned());
                let half = match ends.contains(&key) {
                    true => self.narrows_ends(graph),
                    false => self.stored.get(&key) == Some(&true),
                };
                if half {
                    draft.retype(graph, key.1, data_type::FLOAT16);
                }
            }
        }
    }

    /// Puts casts to renamed outputs at the ends of graphs.
    fn cast_outputs(&self, draft: &mut Draft<'_>) {
        for (graph, name) in self.outputs(draft) {
            let Some(other) = self.renamed.get(&(graph, name.clone())) else {
                continue;
            };
            let to = match self.narrows_ends(graph) {
                true => data_type::FLOAT16,
                false => data_type::FLOAT,
            };
            let node = draft.names.unique(&format!("{name}_cast"));
            let cast = make_node(["Cast", "", &node], &[other], &[&name], &[("to", to)]);
            draft.put_last(graph, cast);
        }
    }
}

/// The largest number of f16.
const MOST: f32 = 65504.0;

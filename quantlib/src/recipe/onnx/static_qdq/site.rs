//! The nodes that are to calculate with integers.

use super::super::draft::{Draft, Place};
use super::super::wish::Choice;
use super::super::{OnnxFormat, OnnxQuantization, OnnxRecipe};
use crate::dtype::DType;
use crate::format::onnx::Node;

/// A product of an activation and a weight.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The node.
    pub(super) node: Place,
    /// Its name, or that of its output.
    pub(super) label: String,
    /// The activation.
    pub(super) input: String,
    /// The weight, its shape, and the axis of its channels.
    pub(super) weight: usize,
    pub(super) axis: usize,
    /// Whether it is a convolution along three axes or more.
    pub(super) of_volumes: bool,
    /// The bias, if it is a constant that can be added to integers.
    pub(super) bias: Option<usize>,
    /// Whether all of it is f16: casts stand around what calculates with integers.
    pub(super) half: bool,
    /// What comes out, if that is quantized too: `QLinearConv` has no float outputs.
    pub(super) result: Option<String>,
}

impl Site {
    /// The values whose ranges must be known.
    pub(super) fn activations(&self) -> impl Iterator<Item = String> + use<> {
        [Some(self.input.clone()), self.result.clone()]
            .into_iter()
            .flatten()
    }
}

/// Those of the main graph; what looks like one and is none is noted.
pub(super) fn find(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> Vec<Site> {
    let mut sites = Vec::new();
    for graph in 0..draft.graphs() {
        let nodes: Vec<_> = draft.nodes(graph).collect();
        for (index, node) in nodes {
            let place = (graph, index);
            let Some(weight) = draft.weight_at(place, 1).filter(|_| is_product(&node)) else {
                continue;
            };
            let chosen = match wish.choose(&node) {
                Choice::Recipe(recipe) if recipe == wish.recipe => {
                    let found = site(draft, place, &node, weight);
                    found.and_then(|site| suits(site, &node, wish))
                }
                // Other recipes are at work on single nodes of their own.
                Choice::NotMeant | Choice::Recipe(_) => continue,
                Choice::Excluded(why) => Err(why),
            };
            match chosen {
                Ok(site) => sites.push(site),
                Err(why) => {
                    let label = label(&node);
                    draft.note(format!("'{label}' is left as it is: {why}"));
                }
            }
        }
    }
    sites
}

fn is_product(node: &Node<'_>) -> bool {
    ["MatMul", "Gemm", "Conv"].iter().any(|op| node.is(op))
}

/// A name for people.
fn label(node: &Node<'_>) -> String {
    match node.name() {
        "" => node.outputs().next().unwrap_or_default().to_owned(),
        name => name.to_owned(),
    }
}

fn site(
    draft: &Draft<'_>,
    place: Place,
    node: &Node<'_>,
    index: usize,
) -> Result<Site, &'static str> {
    let weight = &draft.graphs.weights[index];
    if place.0 != 0 || weight.graph != 0 {
        return Err("it is in a branch or a loop, whose values are not observed");
    }
    if draft.weight_at(place, 0).is_some() {
        return Err("both of its inputs are constants");
    }
    if !draft.is_constant(weight) {
        return Err("its weight is the default of an input, which callers may replace");
    }
    let info = draft.info(index);
    let info = info.filter(|info| matches!(info.dtype, DType::F32 | DType::F16));
    let info = info.ok_or("its weight is not stored as f32 or f16")?;
    let rank = info.shape.len();
    let axis = match node.op_type() {
        "Conv" if rank >= 3 => 0,
        "MatMul" if rank == 2 => 1,
        "Gemm" if rank == 2 && node.int("transB").unwrap_or(0) != 0 => 0,
        "Gemm" if rank == 2 => 1,
        _ => return Err("its weight is no matrix"),
    };
    if info.shape.contains(&0) {
        return Err("its weight is empty");
    }
    let output = node.outputs().next().unwrap_or_default();
    Ok(Site {
        node: place,
        label: label(node),
        input: node.input(0).to_owned(),
        weight: index,
        axis,
        of_volumes: node.is("Conv") && info.shape.len() > 4,
        half: info.dtype == DType::F16,
        bias: bias(draft, place, node, info.shape[axis]),
        result: node.is("Conv").then(|| behind_relu(draft, output)),
    })
}

/// Of f16, products without biases alone, with QuantizeLinear and DequantizeLinear.
fn suits(site: Site, node: &Node<'_>, wish: &OnnxQuantization) -> Result<Site, &'static str> {
    let is_bare = node.is("MatMul") || (node.is("Gemm") && node.input(2).is_empty());
    let in_form = wish.recipe == OnnxRecipe::StaticInt8 && wish.format == OnnxFormat::Qdq;
    match site.half && !(is_bare && in_form) {
        true => Err(
            "of f16, only products without a bias go over to integers, in static-int8 of the form qdq",
        ),
        false => Ok(site),
    }
}

/// The bias, if it is a constant with an element for each channel.
fn bias(draft: &Draft<'_>, place: Place, node: &Node<'_>, channels: usize) -> Option<usize> {
    let index = draft.weight_at(place, 2)?;
    let weight = &draft.graphs.weights[index];
    let info = draft.info(index)?;
    let suits = draft.is_constant(weight)
        && weight.graph == 0
        && info.dtype == DType::F32
        && info.shape == [channels]
        && node.float("beta").unwrap_or(1.0) == 1.0
        && node.float("alpha").unwrap_or(1.0) == 1.0;
    suits.then_some(index)
}

/// The value that leaves a convolution, behind the `Relu` or `Clip` that alone reads it: integers are
/// clipped on the way.
pub(super) fn behind_relu(draft: &Draft<'_>, output: &str) -> String {
    let reader = draft.flow.only_reader(output);
    let reader = reader.and_then(|index| draft.node((0, index)));
    match reader {
        Some(relu) if relu.is("Relu") || relu.is("Clip") => {
            relu.outputs().next().unwrap_or(output).to_owned()
        }
        _ => output.to_owned(),
    }
}

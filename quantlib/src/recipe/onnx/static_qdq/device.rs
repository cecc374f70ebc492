//! Every value in integers, as accelerators want it: the form that onnxruntime's QNN execution provider
//! expects.

use super::super::OnnxQuantization;
use super::super::draft::{Draft, Place};
use super::super::wish::Choice;
use super::activation::{Activation, Params};
use super::edits::Edits;
use super::gelu::Gelu;
use super::given;
use super::role::Role;
use super::site::Site;
use super::{Scheme, constant, site};
use crate::affine::AffineSpec;
use crate::calibrate::{Calibration, Observer, Range, TensorRange};
use crate::error::{Error, Result};
use crate::format::onnx::schema::{graph, value};
use crate::format::onnx::{Node, Tensor, Types, data_type};
use std::collections::{HashMap, HashSet};

/// The values of the main graph that are calculated or given, but for those of f16; which of them are
/// floats, a runtime knows.
pub(super) fn observed(draft: &Draft<'_>) -> Vec<String> {
    let nodes = draft.nodes(0).map(|(_, node)| node);
    let made = nodes
        .filter(|node| node.constant().is_none())
        .flat_map(|node| node.outputs().map(str::to_owned).collect::<Vec<_>>());
    let names = inputs(draft).into_iter().chain(made);
    let types = Types::new(&draft.graphs);
    let seen = |name: &String| !name.is_empty() && !is_half(&types, name);
    names.filter(seen).collect()
}

/// Whether a value of the main graph is f16: such values stay as they are, for devices take scales of f32
/// only, and operators between those.
fn is_half(types: &Types<'_>, name: &str) -> bool {
    types.of(0, name) == Some(data_type::FLOAT16)
}

/// The inputs of the main graph that callers give.
fn inputs(draft: &Draft<'_>) -> Vec<String> {
    let message = draft.document.graph();
    let constants = message.messages(graph::INITIALIZER);
    let constants: HashSet<_> = constants.map(|tensor| Tensor::new(tensor).name()).collect();
    let inputs = message.messages(graph::INPUT);
    let names = inputs.map(|input| input.text(value::NAME));
    let given = names.filter(|name| !constants.contains(name));
    given.map(str::to_owned).collect()
}

/// Operators that only move values: what comes out has the scale of what goes in.
const MOVES: &[&str] = &[
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Gather",
    "Identity",
    "Expand",
    "MaxPool",
    "DepthToSpace",
    "SpaceToDepth",
];

/// Operators that pass masks on, until a Softmax uses them up.
const MASKED: &[&str] = &["Add", "Sub", "Mul", "Where", "Max", "Min", "Concat", "Cast"];

/// Operators with bodies, and those that have nothing to calculate with integers.
const WIDE: &[&str] = &[
    "If",
    "Loop",
    "Scan",
    "Cast",
    "Constant",
    "ConstantOfShape",
    "Shape",
    "Size",
];

/// What absurdly low values, such as masks are, are taken for at most: nothing is left of them after a
/// Softmax.
const MASK: f32 = -100.0;

/// How far below all others masked values must stay: e^-20 is 2e-9.
const BELOW: f32 = 20.0;

/// The least width of a range.
const LEAST: f32 = 1e-4;

/// Constants of at most so many elements are rounded when the plan is made.
const SHORT: usize = 1 << 16;

pub(super) fn apply(
    draft: &mut Draft<'_>,
    wish: &OnnxQuantization,
    scheme: Scheme,
    calibration: &Calibration,
) -> Result<()> {
    let mut sites = site::find(draft, wish);
    let known = known(draft, calibration);
    sites.retain(|site| known.contains(&site.input));
    let mut work = Work {
        calibration,
        scheme,
        tells: wish.encodings.is_some(),
        edits: Edits::default(),
        params: HashMap::new(),
        constants: HashMap::new(),
        masked: HashSet::new(),
        taken: sites.iter().flat_map(own_inputs).collect(),
        rounded: HashMap::new(),
        known,
    };
    for name in inputs(draft) {
        work.input(draft, &name);
    }
    let gelus = Gelu::find(draft, wish);
    let within: HashSet<_> = gelus.iter().flat_map(|gelu| &gelu.nodes).copied().collect();
    let nodes: Vec<_> = draft.nodes(0).collect();
    for (index, node) in nodes {
        let place = (0, index);
        if within.contains(&index) {
            work.part_of_gelu(draft, place, &node, &gelus);
            continue;
        }
        let excluded = matches!(wish.choose(&node), Choice::Excluded(_));
        let has_other = draft.replacement(place).is_some();
        if !excluded && !has_other && !WIDE.contains(&node.op_type()) {
            work.constants(draft, place, &node)?;
        }
        // Those of constants are taken care of where they are read.
        if node.constant().is_none() {
            work.outputs(draft, place, &node);
        }
    }
    work.tell(draft, &sites)?;
    let scales = sites.iter().map(|site| work.params[&site.input].scale);
    let scales: Vec<_> = scales.collect();
    let Work {
        mut edits, params, ..
    } = work;
    tell_of_halves(draft, params.is_empty())?;
    let none = HashSet::new();
    constant::put_weights(draft, &mut edits, &sites, &scales, &none, scheme)?;
    super::tell(draft, calibration, params.keys(), sites.len());
    if !gelus.is_empty() {
        draft.note(format!(
            "{} times five nodes around an Erf, which the execution provider lacks, are one Gelu",
            gelus.len()
        ));
    }
    edits.make(draft);
    Ok(())
}

/// Says how many values are f16; that is an error if these are all.
fn tell_of_halves(draft: &mut Draft<'_>, all: bool) -> Result<()> {
    let types = Types::new(&draft.graphs);
    let nodes = draft.nodes(0).map(|(_, node)| node);
    let made = nodes.map(|node| node.outputs().filter(|name| is_half(&types, name)).count());
    match made.sum::<usize>() {
        0 => Ok(()),
        _ if all => Err(Error::unsupported(
            "its values are f16, and devices take integers with scales of f32; quantize the f32 model that it was made of",
        )
        .in_file(draft.document.path())),
        count => {
            draft.note(format!("{count} values are f16, and stay so"));
            Ok(())
        }
    }
}

/// The values whose ranges are known. Encodings may leave out those of what is only moved.
fn known(draft: &Draft<'_>, calibration: &Calibration) -> HashSet<String> {
    let values = observed(draft).into_iter();
    let mut known: HashSet<_> = values
        .filter(|name| calibration.tensors.contains_key(name))
        .collect();
    for (_, node) in draft.nodes(0) {
        if MOVES.contains(&node.op_type()) && known.contains(node.input(0)) {
            known.extend(node.outputs().take(1).map(str::to_owned));
        }
    }
    known
}

/// The inputs of nodes that are weights and biases of sites.
fn own_inputs(site: &Site) -> impl Iterator<Item = (Place, usize)> + use<> {
    let place = site.node;
    let bias = site.bias.map(|_| (place, 2));
    [Some((place, 1)), bias].into_iter().flatten()
}

struct Work<'c> {
    calibration: &'c Calibration,
    scheme: Scheme,
    /// Whether encodings are asked for.
    tells: bool,
    edits: Edits,
    /// Of every value that is in integers.
    params: HashMap<String, Params>,
    /// Constants that are in integers, as activations: where they are read.
    constants: HashMap<usize, (String, Params)>,
    /// Values that masks are part of, though none may be in the samples.
    masked: HashSet<String>,
    /// Inputs of nodes that are taken care of.
    taken: HashSet<(Place, usize)>,
    /// What the rounded inputs of the model are called.
    rounded: HashMap<String, String>,
    /// Values that may be in integers.
    known: HashSet<String>,
}

impl Work<'_> {
    fn input(&mut self, draft: &mut Draft<'_>, name: &str) {
        let range = self.calibration.tensors.get(name);
        let Some(range) = range.filter(|_| self.known.contains(name)) else {
            return;
        };
        let params = given::params(self.calibration, name, self.scheme);
        let params = params.unwrap_or_else(|| Params::of(usable(range), self.scheme));
        let rounded = Activation::put(draft, &mut self.edits, (name, false), params, self.scheme);
        self.edits.readers(draft, name, &rounded.output);
        self.rounded.insert(name.to_owned(), rounded.output);
        self.params.insert(name.to_owned(), params);
    }

    /// Rounds the constants that a node reads as activations.
    fn constants(&mut self, draft: &mut Draft<'_>, place: Place, node: &Node<'_>) -> Result<()> {
        let inputs: Vec<_> = node.inputs().map(str::to_owned).collect();
        for (at, name) in inputs.iter().enumerate() {
            let Some(weight) = draft.weight_at(place, at) else {
                continue;
            };
            if self.taken.contains(&(place, at)) || !constant::is_float(draft, weight) {
                continue;
            }
            let output = match Role::of(node, at) {
                Role::Wide => continue,
                Role::Factor => {
                    self.told(draft, weight, &constant::whole(8))?;
                    constant::put(draft, weight, constant::whole(8), self.scheme)?
                }
                Role::Bias => self.bias(draft, place, node, weight)?,
                Role::Value => self.constant(draft, name, weight)?,
            };
            self.edits.input(place, at, &output);
            draft.release(weight);
        }
        Ok(())
    }

    /// Keeps the encoding of a constant, if encodings are asked for.
    fn told(&self, draft: &mut Draft<'_>, weight: usize, spec: &AffineSpec) -> Result<()> {
        if self.tells {
            let grid = given::of_constant(draft, weight, spec)?;
            let name = draft.graphs.weights[weight].name.to_owned();
            draft.encodings.parameters.insert(name, grid);
        }
        Ok(())
    }

    /// Keeps the encodings of products' weights, and of all values that are no constants.
    fn tell(&self, draft: &mut Draft<'_>, sites: &[Site]) -> Result<()> {
        for site in sites {
            let bits = self.scheme.bits_of(site);
            self.told(draft, site.weight, &constant::channels(bits, site.axis))?;
        }
        let constants = self.constants.keys();
        let constants: HashSet<_> = constants
            .map(|weight| draft.graphs.weights[*weight].name)
            .collect();
        let values = self.params.iter().filter(|(name, _)| {
            // Those of constants were kept when they were planned.
            self.tells && !constants.contains(name.as_str())
        });
        for (name, params) in values {
            let grid = given::of_params(*params, self.scheme);
            draft.encodings.activations.insert(name.clone(), grid);
        }
        Ok(())
    }

    /// Rounds what a node makes.
    fn outputs(&mut self, draft: &mut Draft<'_>, place: Place, node: &Node<'_>) {
        let passes = MOVES.contains(&node.op_type()) || MASKED.contains(&node.op_type());
        if passes && node.inputs().any(|input| self.masked.contains(input)) {
            self.masked.extend(node.outputs().map(str::to_owned));
        }
        for (at, name) in node.outputs().enumerate() {
            let moved = at == 0 && MOVES.contains(&node.op_type());
            let moved = moved.then(|| self.params.get(node.input(0)).copied());
            if let Some(params) = self.output_params(node, name, moved.flatten()) {
                let output = (place, at);
                Activation::replace(draft, &mut self.edits, output, name, params, self.scheme);
                self.params.insert(name.to_owned(), params);
            }
        }
    }

    /// Takes a node out that is part of a GELU; the last makes room for the one node.
    fn part_of_gelu(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        gelus: &[Gelu],
    ) {
        let inputs = (0..node.inputs().count()).filter_map(|at| draft.weight_at(place, at));
        let constants: Vec<_> = inputs.collect();
        constants
            .into_iter()
            .for_each(|weight| draft.release(weight));
        let own = match gelus.iter().find(|gelu| gelu.last == place.1) {
            Some(gelu) => {
                let input = self.rounded.get(&gelu.input).unwrap_or(&gelu.input);
                let output = node.outputs().next().unwrap_or_default();
                vec![gelu.node(draft, input, output)]
            }
            None => Vec::new(),
        };
        let is_last = !own.is_empty();
        self.edits.replace(place, own);
        if is_last {
            self.outputs(draft, place, node);
        }
    }

    /// The parameters of what a node makes, if it is a float; `moved` are those of what it only moves.
    fn output_params(&self, node: &Node<'_>, name: &str, moved: Option<Params>) -> Option<Params> {
        let range = self.calibration.tensors.get(name);
        let Some(range) = range.filter(|_| self.known.contains(name)) else {
            return moved;
        };
        if let Some(params) = given::params(self.calibration, name, self.scheme) {
            return Some(params);
        }
        let wide = self.scheme.activation_bits > 8;
        let unit = Range {
            low: 0.0,
            high: 1.0,
        };
        Some(match node.op_type() {
            "Softmax" => Params::of(unit, self.scheme),
            "Sigmoid" if wide => Params {
                scale: 1.0 / 65_536.0,
                zero: 0,
            },
            "Tanh" if wide => Params {
                scale: 1.0 / 32_768.0,
                zero: 1 << 15,
            },
            _ if moved.is_some() => return moved,
            _ => {
                let seen = u64::from(self.masked.contains(name));
                let range = TensorRange {
                    ignored: range.ignored.max(seen),
                    ..range.clone()
                };
                Params::of(usable(&range), self.scheme)
            }
        })
    }

    /// A constant in the codes of activations.
    fn constant(&mut self, draft: &mut Draft<'_>, name: &str, weight: usize) -> Result<String> {
        if let Some((output, params)) = self.constants.get(&weight) {
            self.params.insert(name.to_owned(), *params);
            return Ok(output.clone());
        }
        let Some(info) = draft.info(weight).cloned() else {
            return Ok(name.to_owned());
        };
        let mut observer = Observer::default();
        constant::each_piece(draft.model(), &info, &mut |_, values| {
            observer.observe(values);
            Ok(())
        })?;
        if observer.ignored().count > 0 {
            self.masked.insert(name.to_owned());
            draft.note(format!(
                "'{name}' is absurdly large, as masks are; it is taken for {MASK}, and for {BELOW} below all others where it is added"
            ));
        }
        let extremes = observer.extremes();
        let range = usable(&TensorRange {
            low: extremes.low,
            high: extremes.high,
            ignored: observer.ignored().count,
            ..TensorRange::default()
        });
        let params = given::params(self.calibration, name, self.scheme);
        let params = params.unwrap_or_else(|| Params::of(range, self.scheme));
        let short = info.elements() <= SHORT || observer.ignored().count > 0;
        let output = if short && !draft.given.contains_key(&weight) {
            let values = constant::floats(&draft.model().read(&info.name)?);
            if self.tells {
                let grid = given::of_params(params, self.scheme);
                draft.encodings.parameters.insert(name.to_owned(), grid);
            }
            constant::put_codes(draft, weight, &values, params, self.scheme)
        } else {
            let spec = constant::whole(self.scheme.activation_bits);
            self.told(draft, weight, &spec)?;
            constant::put(draft, weight, spec, self.scheme)?
        };
        self.params.insert(name.to_owned(), params);
        self.constants.insert(weight, (output.clone(), params));
        Ok(output)
    }

    /// What is added to products with the second input, in steps of the products' scale.
    fn bias(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        bias: usize,
    ) -> Result<String> {
        let input = self.params.get(node.input(0)).map(|params| params.scale);
        let weight = draft.weight_at(place, 1);
        let scales: Vec<_> = match (input, weight) {
            (Some(input), Some(weight)) => {
                let scales = constant::scales_at(draft, weight, &constant::whole(8))?;
                scales.iter().map(|scale| input * scale).collect()
            }
            _ => Vec::new(),
        };
        let channels = draft.info(bias).map(|info| info.elements());
        match scales.len() == 1 || Some(scales.len()) == channels {
            true => constant::put_bias(draft, bias, &scales, self.scheme),
            false => self.constant(draft, node.input(2), bias),
        }
    }
}

/// A range that has a width, and room for masks below where values were ignored. Of what was always 0
/// nothing is known: what is 0 or 1 elsewhere, as masks of tokens are, must fit.
fn usable(range: &TensorRange) -> Range {
    let (mut low, mut high) = (range.low.min(0.0), range.high.max(0.0));
    if low == high && range.ignored == 0 {
        return Range {
            low: -1.0,
            high: 1.0,
        };
    }
    if range.ignored > 0 {
        low = match low == high {
            true => MASK,
            false => low.min(high - BELOW),
        };
    }
    high = high.max(low + LEAST);
    Range { low, high }
}

//! The operator form: operators that read and yield codes, with scales and zero points beside them, instead
//! of QuantizeLinear and DequantizeLinear around those of floats.
//!
//! `MatMul` becomes `QLinearMatMul`, `Conv` with the `Relu` behind it `QLinearConv`, `Gemm` onnxruntime's
//! `QGemm`, whose results are floats; and an `Add` of what these yield, or of that and a constant,
//! onnxruntime's `QLinearAdd`.

use super::super::OnnxQuantization;
use super::super::draft::{Draft, Place};
use super::super::weight_only::MICROSOFT;
use super::activation::{self, Params};
use super::edits::Edits;
use super::site::{self, Site};
use super::{Scheme, constant};
use crate::calibrate::{Calibration, Observer, Range};
use crate::error::Result;
use crate::format::onnx::schema::{attribute, graph, node as node_field, value};
use crate::format::onnx::{Message, Node, make_node};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Constants that are added have at most so many elements.
const SHORT: usize = 1 << 16;

/// What goes over to integers, by the node in the main graph.
pub(super) type Parts = BTreeMap<usize, Part>;

/// A node that goes over to integers.
pub(super) enum Part {
    Product(Site),
    /// An `Add`, and its output.
    Sum(String),
}

impl Part {
    /// The values whose ranges must be known.
    pub(super) fn activations(&self) -> Vec<String> {
        match self {
            Self::Product(site) => site.activations().collect(),
            Self::Sum(output) => vec![output.clone()],
        }
    }
}

/// The products, each with the value that it yields as codes.
pub(super) fn products(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> Vec<Site> {
    let ends: HashSet<_> = outputs(draft).into_iter().collect();
    let mut sites = site::find(draft, wish);
    let mut odd = Vec::new();
    sites.retain_mut(|site| {
        let Some(node) = draft.node(site.node) else {
            return false;
        };
        let output = node.outputs().next().unwrap_or_default();
        let is_end = ends.contains(output);
        site.result = match node.op_type() {
            "Gemm" => None,
            "Conv" if !is_end => Some(behind_relu(draft, output)),
            _ => Some(output.to_owned()),
        };
        let suits = site.bias.is_some() || node.input(2).is_empty();
        if !suits {
            odd.push(site.label.clone());
        }
        suits
    });
    for label in odd {
        draft.note(format!(
            "'{label}' is left as it is: its bias is scaled, or no constant with an element for each channel"
        ));
    }
    sites
}

/// Products, and the sums of what they yield, as far as `known` tells the ranges of these.
pub(super) fn parts(
    draft: &Draft<'_>,
    wish: &OnnxQuantization,
    sites: Vec<Site>,
    known: &dyn Fn(&str) -> bool,
) -> Parts {
    let coded = sites.iter().filter_map(|site| site.result.clone());
    let mut coded: HashSet<_> = coded.collect();
    let products = sites.into_iter();
    let mut parts: Parts = products
        .map(|site| (site.node.1, Part::Product(site)))
        .collect();
    for (index, node) in draft.nodes(0) {
        let is_sum = node.is("Add") && !wish.keeps(&node) && !wish.overrides(&node);
        let is_coded = |at: usize| coded.contains(node.input(at));
        let fits = |at: usize| is_coded(at) || short_constant(draft, (0, index), at).is_some();
        let output = node.outputs().next().unwrap_or_default();
        if is_sum && fits(0) && fits(1) && (is_coded(0) || is_coded(1)) && known(output) {
            coded.insert(output.to_owned());
            parts.insert(index, Part::Sum(output.to_owned()));
        }
    }
    parts
}

/// The constant that an input is, if it is short and of floats.
fn short_constant(draft: &Draft<'_>, place: Place, input: usize) -> Option<usize> {
    let weight = draft.weight_at(place, input)?;
    let is_short = draft.info(weight)?.elements() <= SHORT;
    (is_short && constant::is_float(draft, weight)).then_some(weight)
}

/// The outputs of the main graph.
fn outputs(draft: &Draft<'_>) -> Vec<String> {
    let outputs = draft.document.graph().messages(graph::OUTPUT);
    outputs.map(|it| it.text(value::NAME).to_owned()).collect()
}

/// What a `Relu` makes of a value that nothing else reads: codes from 0 on are no less.
fn behind_relu(draft: &Draft<'_>, output: &str) -> String {
    let result = site::behind_relu(draft, output);
    let maker = draft.flow.maker(&result);
    let maker = maker.and_then(|index| draft.node((0, index)));
    match maker.is_some_and(|node| node.is("Relu")) {
        true => result,
        false => output.to_owned(),
    }
}

/// The names of a value's codes, scale and zero point.
type Names = [String; 3];

struct Work<'c> {
    calibration: &'c Calibration,
    scheme: Scheme,
    edits: Edits,
    /// The codes of values, and their scales.
    codes: HashMap<String, (Names, f32)>,
    /// The codes of weights, by weight and axis.
    weights: HashMap<(usize, usize), Names>,
    /// Values that somebody reads as floats.
    read: HashSet<String>,
}

/// Makes operators on integers of all parts.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    scheme: Scheme,
    calibration: &Calibration,
    parts: &Parts,
) -> Result<()> {
    let mut work = Work {
        calibration,
        scheme,
        edits: Edits::default(),
        codes: HashMap::new(),
        weights: HashMap::new(),
        read: read(draft, parts),
    };
    for (&index, part) in parts {
        let Some(node) = draft.node((0, index)) else {
            continue;
        };
        match part {
            Part::Product(site) => work.product(draft, &node, site)?,
            Part::Sum(output) => work.sum(draft, (0, index), &node, output)?,
        }
    }
    let Work { edits, codes, .. } = work;
    let mut names: Vec<_> = codes.into_keys().collect();
    names.sort();
    super::tell(draft, calibration, names.iter(), parts.len());
    edits.make(draft);
    Ok(())
}

/// Values that are outputs, or read by nodes that stay as they are.
fn read(draft: &Draft<'_>, parts: &Parts) -> HashSet<String> {
    let mut read: HashSet<_> = outputs(draft).into_iter().collect();
    for graph in 0..draft.graphs() {
        let message = draft.graphs.graphs[graph];
        let outputs = message.messages(graph::OUTPUT);
        read.extend(outputs.map(|it| it.text(value::NAME).to_owned()));
        for (index, node) in draft.nodes(graph) {
            if graph > 0 || !parts.contains_key(&index) {
                read.extend(node.inputs().map(str::to_owned));
            }
        }
    }
    read
}

impl Work<'_> {
    fn params(&self, name: &str) -> Params {
        let range = self.calibration.tensors.get(name);
        Params::of(range.map(|it| it.range()).unwrap_or_default(), self.scheme)
    }

    /// The codes of a value, with the operator that makes them if nothing yields them.
    fn input(&mut self, draft: &mut Draft<'_>, name: &str) -> (Names, f32) {
        if let Some(known) = self.codes.get(name) {
            return known.clone();
        }
        let params = self.params(name);
        let [scale, zero] = activation::put_params(draft, name, params, self.scheme);
        let codes = draft.names.unique(&format!("{name}_quantized"));
        let node = draft.names.unique(&format!("{name}_QuantizeLinear"));
        let inputs = [name, &scale, &zero];
        let quantize = make_node(["QuantizeLinear", "", &node], &inputs, &[&codes], &[]);
        self.edits.put(draft, name, vec![quantize]);
        let known = ([codes, scale, zero], params.scale);
        self.codes.insert(name.to_owned(), known.clone());
        known
    }

    /// Names for the codes that an operator yields of a value, and what decodes them if somebody reads
    /// floats.
    fn result(&mut self, draft: &mut Draft<'_>, name: &str) -> (Names, Vec<Message>) {
        let params = self.params(name);
        let [scale, zero] = activation::put_params(draft, name, params, self.scheme);
        let codes = draft.names.unique(&format!("{name}_quantized"));
        let names = [codes, scale, zero];
        let mut nodes = Vec::new();
        if self.read.contains(name) {
            let node = draft.names.unique(&format!("{name}_DequantizeLinear"));
            let inputs = names.each_ref().map(String::as_str);
            let operator = ["DequantizeLinear", "", &node[..]];
            nodes.push(make_node(operator, &inputs, &[name], &[]));
        }
        self.codes
            .insert(name.to_owned(), (names.clone(), params.scale));
        (names, nodes)
    }

    fn weight(&mut self, draft: &mut Draft<'_>, site: &Site) -> Result<Names> {
        let key = (site.weight, site.axis);
        draft.release(site.weight);
        if let Some(known) = self.weights.get(&key) {
            return Ok(known.clone());
        }
        let spec = constant::channels(self.scheme.weight_bits, site.axis);
        let names = constant::stored(draft, site.weight, &spec)?;
        self.weights.insert(key, names.clone());
        Ok(names)
    }

    fn product(&mut self, draft: &mut Draft<'_>, node: &Node<'_>, site: &Site) -> Result<()> {
        let (left, scale) = self.input(draft, &site.input);
        let right = self.weight(draft, site)?;
        let bias = match site.bias {
            Some(bias) => {
                let spec = constant::channels(self.scheme.weight_bits, site.axis);
                let scales = constant::scales_at(draft, site.weight, &spec)?;
                let scales: Vec<_> = scales.iter().map(|weight| scale * weight).collect();
                draft.release(bias);
                Some(constant::stored_bias(draft, bias, &scales)?)
            }
            None => None,
        };
        let mut inputs: Vec<_> = left.iter().chain(&right).cloned().collect();
        let (output, behind) = match &site.result {
            Some(name) => {
                let ([codes, scale, zero], behind) = self.result(draft, name);
                inputs.extend([scale, zero]);
                (codes, behind)
            }
            None => {
                let output = node.outputs().next().unwrap_or_default();
                (output.to_owned(), Vec::new())
            }
        };
        inputs.extend(bias);
        let (operator, domain, lost) = match node.op_type() {
            "MatMul" => ("QLinearMatMul", "", None),
            "Conv" => ("QLinearConv", "", None),
            _ => ("QGemm", MICROSOFT, Some("beta")),
        };
        if !domain.is_empty() {
            draft.need_opset(MICROSOFT, 1);
        }
        let label = draft.names.unique(&format!("{}_quant", site.label));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let mut made = make_node([operator, domain, &label], &inputs, &[&output], &[]);
        let attributes = node.attributes();
        let kept = attributes.filter(|each| Some(each.text(attribute::NAME)) != lost);
        let kept: Vec<_> = kept.cloned().collect();
        kept.into_iter()
            .for_each(|each| made.push(node_field::ATTRIBUTE, each));
        let nodes = [made].into_iter().chain(behind).collect();
        self.edits.replace(site.node, nodes);
        self.drop_relu(draft, node, site);
        Ok(())
    }

    /// Takes the `Relu` behind a convolution out, which its codes are clipped as.
    fn drop_relu(&mut self, draft: &Draft<'_>, node: &Node<'_>, site: &Site) {
        let own = node.outputs().next().unwrap_or_default();
        let Some(result) = site.result.as_deref().filter(|name| *name != own) else {
            return;
        };
        if let Some(index) = draft.flow.maker(result) {
            self.edits.replace((0, index), Vec::new());
        }
    }

    fn sum(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        output: &str,
    ) -> Result<()> {
        let mut inputs = Vec::new();
        for at in 0..2 {
            let names = match short_constant(draft, place, at) {
                Some(weight) => self.constant(draft, weight)?,
                None => self.input(draft, node.input(at)).0,
            };
            inputs.extend(names);
        }
        let ([codes, scale, zero], behind) = self.result(draft, output);
        inputs.extend([scale, zero]);
        draft.need_opset(MICROSOFT, 1);
        let label = draft.names.unique(&format!("{output}_QLinearAdd"));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let made = make_node(["QLinearAdd", MICROSOFT, &label], &inputs, &[&codes], &[]);
        self.edits
            .replace(place, [made].into_iter().chain(behind).collect());
        Ok(())
    }

    /// A constant in the codes of activations.
    fn constant(&self, draft: &mut Draft<'_>, weight: usize) -> Result<Names> {
        draft.release(weight);
        let values = match draft.info(weight) {
            Some(info) => constant::floats(&draft.model().read(&info.name)?),
            None => Vec::new(),
        };
        let mut observer = Observer::default();
        observer.observe(&values);
        let Range { low, high } = observer.extremes();
        let params = Params::of(Range { low, high }, self.scheme);
        Ok(constant::stored_codes(
            draft,
            weight,
            &values,
            params,
            self.scheme,
        ))
    }
}

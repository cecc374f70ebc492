//! Activations and weights in integers, their ranges known beforehand: QuantizeLinear and
//! DequantizeLinear around what is to be calculated with integers, as onnxruntime's `quantize_static`
//! writes them.

mod activation;
mod constant;
mod device;
mod edits;
mod gelu;
mod given;
mod operators;
mod rest;
mod role;
mod site;

use super::draft::Draft;
use super::weight_only::MICROSOFT;
use super::{OnnxFormat, OnnxQuantization, OnnxRecipe};
use crate::calibrate::{Calibration, Levels, TensorRange};
use crate::error::{Error, Result};
use crate::format::onnx::{Document, data_type};
use crate::io::Limits;
use activation::{Activation, Params};
use edits::Edits;
use operators::Part;
use site::Site;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a recipe makes of activations and weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    activation_bits: u8,
    weight_bits: u8,
    /// Whether every value is in integers, or those of products alone.
    whole: bool,
    /// The operator set of QuantizeLinear and DequantizeLinear.
    domain: &'static str,
}

impl Scheme {
    /// That of a recipe, if it needs ranges of activations.
    pub(super) fn of(recipe: OnnxRecipe) -> Option<Self> {
        let (activation_bits, weight_bits, whole) = match recipe {
            OnnxRecipe::StaticInt8 => (8, 8, false),
            OnnxRecipe::A8W8 => (8, 8, true),
            OnnxRecipe::A16W8 => (16, 8, true),
            OnnxRecipe::A16W4 => (16, 4, true),
            OnnxRecipe::Copy
            | OnnxRecipe::Int4
            | OnnxRecipe::Int8
            | OnnxRecipe::DynamicInt8
            | OnnxRecipe::Fp16 => return None,
        };
        Some(Self {
            activation_bits,
            weight_bits,
            whole,
            domain: "",
        })
    }

    /// Before operator set 21, ONNX's own operators have no codes of 4 and 16 bits, but onnxruntime's.
    fn in_model(self, draft: &mut Draft<'_>) -> Self {
        let given = || draft.given.values().map(|grid| grid.bits);
        let narrow =
            self.activation_bits == 8 && self.weight_bits == 8 && given().all(|bits| bits == 8);
        if self.weight_bits < 8 || given().any(|bits| bits < 8) {
            draft.need_ir(10);
        }
        if narrow || draft.opset() >= 21 {
            return self;
        }
        draft.need_opset(MICROSOFT, 1);
        Self {
            domain: MICROSOFT,
            ..self
        }
    }

    /// The bits of a product's weight: convolutions of volumes have no 4.
    fn bits_of(self, site: &Site) -> u8 {
        match site.of_volumes {
            true => self.weight_bits.max(8),
            false => self.weight_bits,
        }
    }

    /// Whether every value becomes integers, not those of products alone.
    pub(super) fn is_whole(self) -> bool {
        self.whole
    }

    /// The codes of activations.
    pub(super) fn levels(self) -> Levels {
        Levels::asymmetric(self.activation_bits)
    }
}

/// The power of the values to that of the quantization error, in decibels, below which a node stays as
/// it is. The values then have little more than one bit above the noise.
const SENSITIVE: f32 = 10.0;

/// The names of the values whose ranges a recipe needs.
pub(super) fn observed(
    document: &Document,
    wish: &OnnxQuantization,
    scheme: Scheme,
) -> Result<Vec<String>> {
    let mut draft = Draft::new(document, &Limits::default())?;
    if scheme.whole {
        return Ok(device::observed(&draft));
    }
    let mut names: Vec<_> = match wish.format {
        OnnxFormat::Qdq => {
            let sites = site::find(&mut draft, wish);
            sites.iter().flat_map(Site::activations).collect()
        }
        OnnxFormat::QOperator => {
            let sites = operators::products(&mut draft, wish);
            let parts = operators::parts(&draft, wish, sites, &|_| true);
            parts.values().flat_map(Part::activations).collect()
        }
    };
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

pub(super) fn apply(draft: &mut Draft<'_>, wish: &OnnxQuantization, scheme: Scheme) -> Result<()> {
    let what = "DequantizeLinear with a scale for each channel";
    draft.need_version(13, what, "")?;
    let calibration = wish.calibration.as_ref().ok_or_else(|| {
        Error::misuse(format!(
            "{} needs the ranges of activations; give it samples to calibrate with, or ranges that were found before",
            wish.recipe.name()
        ))
    })?;
    draft.need_ir(4);
    if wish.format == OnnxFormat::Qdq {
        given::take(draft, calibration)?;
    }
    let scheme = scheme.in_model(draft);
    match (scheme.whole, wish.format) {
        (true, OnnxFormat::Qdq) => device::apply(draft, wish, scheme, calibration),
        (true, OnnxFormat::QOperator) => Err(Error::misuse(format!(
            "{} has the form qdq only; qoperator is for static-int8",
            wish.recipe.name()
        ))),
        (false, OnnxFormat::Qdq) => products(draft, wish, scheme, calibration),
        (false, OnnxFormat::QOperator) => on_codes(draft, wish, scheme, calibration),
    }
}

/// Operators on integers in the place of products, and of sums of what they yield.
fn on_codes(
    draft: &mut Draft<'_>,
    wish: &OnnxQuantization,
    scheme: Scheme,
    calibration: &Calibration,
) -> Result<()> {
    let sites = operators::products(draft, wish);
    let mut sites = calibrated(draft, sites, calibration);
    // QGemm alone yields floats.
    sites.retain(|site| {
        let node = draft.node(site.node);
        site.result.is_some() || node.is_some_and(|node| node.is("Gemm"))
    });
    let known = |name: &str| calibration.tensors.contains_key(name);
    let parts = operators::parts(draft, wish, sites, &known);
    operators::apply(draft, scheme, calibration, &parts)
}

/// Integers for what goes into products with weights, and what comes out of convolutions.
fn products(
    draft: &mut Draft<'_>,
    wish: &OnnxQuantization,
    scheme: Scheme,
    calibration: &Calibration,
) -> Result<()> {
    let sites = site::find(draft, wish);
    let sites = calibrated(draft, sites, calibration);
    let mut edits = Edits::default();
    let in_two = in_two(&sites, wish, calibration);
    let mut activations = BTreeMap::new();
    let mut rests = BTreeMap::new();
    let halves = sites.iter().filter(|site| site.half);
    let halves: BTreeSet<_> = halves.map(|site| site.input.clone()).collect();
    for name in sites.iter().flat_map(Site::activations) {
        if let Entry::Vacant(vacant) = activations.entry(name) {
            let name = vacant.key();
            let known = &calibration.tensors[name];
            let two = in_two.contains(name);
            let range = if two {
                rest::first(known)
            } else {
                known.range()
            };
            let params = given::params(calibration, name, scheme).filter(|_| !two);
            let params = params.unwrap_or_else(|| Params::of(range, scheme));
            let own = (&name[..], halves.contains(name));
            let activation = Activation::put(draft, &mut edits, own, params, scheme);
            if two {
                let rest = rest::put(draft, &mut edits, (name, &activation), range, scheme);
                rests.insert(name.clone(), rest);
            }
            vacant.insert(activation);
        }
    }
    for site in &sites {
        edits.input(site.node, 0, &activations[&site.input].output);
        if let Some(name) = &site.result {
            edits.readers(draft, name, &activations[name].output);
        }
    }
    let scales = sites.iter().map(|site| activations[&site.input].scale);
    let scales: Vec<_> = scales.collect();
    // onnxruntime, where it gives signed weights another sign, fails if two products share them.
    let twice = sites.iter().filter(|site| in_two.contains(&site.input));
    let unsigned = twice.map(|site| site.weight).collect();
    let weights = constant::put_weights(draft, &mut edits, &sites, &scales, &unsigned, scheme)?;
    for (site, weight) in sites.iter().zip(&weights) {
        let output = result(draft, &mut edits, site);
        if let Some(rest) = rests.get(&site.input) {
            rest::add_product(draft, &mut edits, site, (rest, weight), &output);
        }
    }
    tell_of_rests(draft, calibration, &sites, &in_two);
    tell(draft, calibration, activations.keys(), sites.len());
    edits.make(draft);
    Ok(())
}

/// The value that a product should yield: its output, or a value of f32 that becomes its output.
fn result(draft: &mut Draft<'_>, edits: &mut Edits, site: &Site) -> String {
    let output = draft
        .node(site.node)
        .and_then(|node| node.outputs().next())
        .unwrap_or_default();
    if !site.half {
        return output.to_owned();
    }
    let wide = draft.names.unique(&format!("{output}_f32"));
    let cast = activation::cast(draft, [&wide, output], data_type::FLOAT16);
    edits.output(site.node, 0, &wide);
    edits.put_right_behind(site.node, vec![cast]);
    wide
}

/// The activations that get two parts.
fn in_two(sites: &[Site], wish: &OnnxQuantization, calibration: &Calibration) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for site in sites.iter().filter(|_| !wish.pure) {
        if rest::needs(site, &calibration.tensors[&site.input]) {
            found.insert(site.input.clone());
        }
    }
    // What a convolution reads too has one scale.
    for site in sites.iter().filter(|site| site.result.is_some()) {
        found.remove(&site.input);
    }
    found
}

/// Says which nodes multiply twice, and why.
fn tell_of_rests(
    draft: &mut Draft<'_>,
    calibration: &Calibration,
    sites: &[Site],
    in_two: &BTreeSet<String>,
) {
    let mut labels: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for site in sites.iter().filter(|site| in_two.contains(&site.input)) {
        let labels = labels.entry(&site.input).or_default();
        labels.push(format!("'{}'", site.label));
    }
    for (name, labels) in labels {
        let ratio = calibration.tensors[name].signal_to_noise;
        draft.note(format!(
            "{} multiply the codes of '{name}' and, once more, what these leave of it: alone, its values would be {:.1} dB above the error",
            labels.join(", "),
            ratio.unwrap_or_default()
        ));
    }
}

/// The sites that can be quantized well: those with known ranges, and enough signal above the noise.
fn calibrated(draft: &mut Draft<'_>, sites: Vec<Site>, calibration: &Calibration) -> Vec<Site> {
    let mut kept = Vec::new();
    for mut site in sites {
        let poor = |name: &String| match calibration.tensors.get(name) {
            None => Some(format!("there is no range for '{name}'")),
            Some(range) => noisy(name, range),
        };
        if let Some(why) = poor(&site.input) {
            draft.note(format!("'{}' is left as it is: {why}", site.label));
            continue;
        }
        if let Some(why) = site.result.as_ref().and_then(poor) {
            draft.note(format!(
                "the output of '{}' is kept wide: {why}",
                site.label
            ));
            site.result = None;
        }
        kept.push(site);
    }
    kept
}

/// Why a tensor's values would not survive.
fn noisy(name: &str, range: &TensorRange) -> Option<String> {
    let ratio = range.signal_to_noise?;
    (ratio < SENSITIVE).then(|| {
        format!("the values of '{name}' would be only {ratio:.1} dB above the quantization error")
    })
}

/// What the person should know.
fn tell<'n>(
    draft: &mut Draft<'_>,
    calibration: &Calibration,
    names: impl Iterator<Item = &'n String>,
    products: usize,
) {
    let mut ranges: Vec<_> = names
        .filter_map(|name| Some((name, calibration.tensors.get(name)?)))
        .collect();
    ranges.sort_by_key(|(name, _)| *name);
    for (name, range) in ranges.iter().filter(|(_, range)| range.ignored > 0) {
        draft.note(format!(
            "{} of {} values of '{name}' are infinite or absurdly large, as masks are, and no part of its range",
            range.ignored, range.values
        ));
    }
    let known = ranges.iter();
    let known = known.filter_map(|(name, range)| Some((range.signal_to_noise?, name)));
    if let Some((ratio, name)) = known.min_by(|a, b| a.0.total_cmp(&b.0)) {
        draft.note(format!(
            "{products} nodes calculate with integers; of all activations '{name}' loses most, its values are {ratio:.1} dB above the error"
        ));
    }
}

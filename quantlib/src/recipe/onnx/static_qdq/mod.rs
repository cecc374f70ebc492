//! Activations and weights in integers, their ranges known beforehand: QuantizeLinear and
//! DequantizeLinear around what is to be calculated with integers, as onnxruntime's `quantize_static`
//! writes them.

mod activation;
mod constant;
mod device;
mod edits;
mod site;

use super::draft::{Draft, need_version};
use super::weight_only::MICROSOFT;
use super::{OnnxQuantization, OnnxRecipe};
use crate::calibrate::{Calibration, Levels, TensorRange};
use crate::error::{Error, Result};
use crate::format::onnx::Document;
use crate::io::Limits;
use activation::{Activation, Params};
use edits::Edits;
use site::Site;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

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
        let narrow = self.activation_bits == 8 && self.weight_bits == 8;
        if self.weight_bits < 8 {
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
    let sites = site::find(&mut draft, wish);
    let mut names: Vec<_> = sites.iter().flat_map(Site::activations).collect();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

pub(super) fn apply(draft: &mut Draft<'_>, wish: &OnnxQuantization, scheme: Scheme) -> Result<()> {
    let what = "DequantizeLinear with a scale for each channel";
    need_version(draft.document, 13, what, "")?;
    let calibration = wish.calibration.as_ref().ok_or_else(|| {
        Error::misuse(format!(
            "{} needs the ranges of activations; give it samples to calibrate with, or ranges that were found before",
            wish.recipe.name()
        ))
    })?;
    draft.need_ir(4);
    let scheme = scheme.in_model(draft);
    match scheme.whole {
        true => device::apply(draft, wish, scheme, calibration),
        false => products(draft, wish, scheme, calibration),
    }
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
    let mut activations = BTreeMap::new();
    for name in sites.iter().flat_map(Site::activations) {
        if let Entry::Vacant(vacant) = activations.entry(name) {
            let name = vacant.key();
            let params = Params::of(calibration.tensors[name].range(), scheme);
            let activation = Activation::put(draft, &mut edits, name, params, scheme);
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
    constant::put_weights(draft, &mut edits, &sites, &scales, scheme)?;
    tell(draft, calibration, activations.keys(), sites.len());
    edits.make(draft);
    Ok(())
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

//! Products that keep more bits than the others, because what is lost there is lost most in the
//! results.
//!
//! Without samples nothing can be measured, but where models attend it is known: errors of the values
//! reach the results undiminished, those of queries and keys pass a Softmax, which evens them out; and
//! the later a product comes, the less follows that could. So values come first, then all others but
//! queries and keys, the last before the first, as long as the output grows by a tenth at most.

use super::attention::Attention;
use super::draft::{Draft, Place};
use super::wish::Choice;
use super::{OnnxQuantization, OnnxRecipe, weight_of};
use crate::dtype::DType;
use std::collections::{HashMap, HashSet};

/// How much larger the output may become, as a fraction.
const GROWTH: f64 = 0.1;

/// What a product that keeps more bits becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wider {
    /// Weights of 8 bits in blocks.
    Int8,
    /// The same, and activations of 8 bits in blocks, by onnxruntime's `MatMulNBits`.
    Int8InBlocks,
    /// Weights of f16.
    Half,
}

impl Wider {
    /// What the sensitive nodes of a recipe become, and bits of a weight with its share of a scale
    /// before and after.
    fn of(wish: &OnnxQuantization) -> Option<(Self, f64, f64)> {
        let shared = |bits: f64| {
            let zero = if wish.symmetric { 0.0 } else { bits };
            bits + (32.0 + zero) / wish.block_size.max(1) as f64
        };
        match wish.recipe {
            OnnxRecipe::Int4 => Some((Self::Int8, shared(4.0), shared(8.0))),
            OnnxRecipe::Int8 => Some((Self::Half, shared(8.0), 16.0)),
            OnnxRecipe::DynamicInt8 => Some((Self::Int8InBlocks, 8.0, shared(8.0))),
            _ => None,
        }
    }

    fn tell(self) -> &'static str {
        match self {
            Self::Int8 => "keep 8 bits",
            Self::Int8InBlocks => "have a scale for each block of activations and weights",
            Self::Half => "keep 16 bits (f16)",
        }
    }
}

/// A product that may be quantized.
struct Candidate {
    place: Place,
    label: String,
    weight: usize,
    elements: usize,
}

/// The nodes of the main graph that keep more bits, and what they become; the plan's notes name them.
pub(super) fn find(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> HashMap<Place, Wider> {
    let Some((wider, before, after)) = Wider::of(wish).filter(|_| !wish.pure) else {
        return HashMap::new();
    };
    let attention = Attention::find(draft);
    if attention.values.is_empty() {
        return HashMap::new();
    }
    let candidates = candidates(draft, wish);
    let mut left = GROWTH * size(draft, &candidates, before) / ((after - before) / 8.0);
    let (values, others): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .rev()
        .filter(|it| !attention.scores.contains(&it.place))
        .partition(|it| attention.values.contains(&it.place));
    let mut kept = HashMap::new();
    let mut paid = HashSet::new();
    for (group, why) in [
        (
            values,
            "they make the values of attention, whose errors reach the results undiminished",
        ),
        (
            others,
            "the later the product, the less follows that evens its errors out",
        ),
    ] {
        let mut labels = Vec::new();
        for it in group {
            let cost = if paid.contains(&it.weight) {
                0.0
            } else {
                it.elements as f64
            };
            if cost <= left {
                left -= cost;
                paid.insert(it.weight);
                kept.insert(it.place, wider);
                labels.push(format!("'{}'", it.label));
            }
        }
        if !labels.is_empty() {
            let (count, names) = (labels.len(), labels.join(", "));
            draft.note(format!(
                "{count} products {}, for {why}: {names}",
                wider.tell()
            ));
        }
    }
    kept
}

/// Products of the main graph with matrices of f32 that get the recipe of all, in their order.
fn candidates(draft: &Draft<'_>, wish: &OnnxQuantization) -> Vec<Candidate> {
    let candidate = |(index, node)| {
        let place = (0, index);
        let weight = weight_of(draft, place, &node)?;
        let is_product = node.is("MatMul") || node.is("Gemm");
        let asked = wish.overrides(&node);
        let meant = !asked && wish.choose(&node) == Choice::Recipe(wish.recipe);
        let info = draft.info(weight)?;
        let is_matrix = info.shape.len() == 2 && info.dtype == DType::F32;
        let constant = draft.is_constant(&draft.graphs.weights[weight]);
        (is_product && meant && is_matrix && constant).then(|| Candidate {
            place,
            label: node.name().to_owned(),
            weight,
            elements: info.elements(),
        })
    };
    draft.nodes(0).filter_map(candidate).collect()
}

/// Bytes of all constants, if the candidates have so many bits a weight.
fn size(draft: &Draft<'_>, candidates: &[Candidate], bits: f64) -> f64 {
    let narrow: HashSet<_> = candidates.iter().map(|it| it.weight).collect();
    let constants = (0..draft.graphs.weights.len()).filter_map(|weight| {
        let info = draft.info(weight)?;
        Some(match narrow.contains(&weight) {
            true => info.elements() as f64 * bits / 8.0,
            false => info.nbytes() as f64,
        })
    });
    constants.sum()
}

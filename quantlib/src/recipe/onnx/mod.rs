//! What becomes of an ONNX model: which weights are quantized, and how the graph changes for it.
//!
//! One file a recipe. They share `draft`, which finds weights and their users and
//! collects edits of the graphs, and `matrix`, which knows the shapes that products' weights have.

mod attention;
mod draft;
mod dynamic;
mod embedding;
mod half;
mod matrix;
mod narrow;
mod sensitive;
mod static_qdq;
mod weight_only;
mod wish;

use crate::calibrate::{Encodings, Levels};
use crate::error::{Error, Result};
use crate::format::onnx::{Document, Node, schema};
use crate::io::Limits;
use crate::model::{Model, Plan};
use draft::{Draft, Place};
use sensitive::Wider;
use std::collections::BTreeMap;
use std::str::FromStr;
use wish::Choice;

pub use wish::{EncodingsFile, OnnxFormat, OnnxLayout, OnnxOverride, OnnxQuantization};

/// Operators with weights that no recipe quantizes.
const WITH_WEIGHTS: &[&str] = &[
    "Attention",
    "ConvTranspose",
    "EmbedLayerNormalization",
    "GRU",
    "LSTM",
    "QMoE",
    "MoE",
    "RNN",
];

/// What becomes of an ONNX model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxRecipe {
    /// Nothing: a copy.
    Copy,
    /// Weights of matrix products in 4 bits, in blocks along the columns; what goes through them
    /// stays floating point.
    Int4,
    /// The same in 8 bits.
    Int8,
    /// Weights in 8 bits with a scale for each column; what goes through them is quantized while the
    /// model runs, and products are of integers.
    DynamicInt8,
    /// Floats of 16 bits instead of 32, wherever operators take them.
    Fp16,
    /// Products with weights calculate with 8-bit integers; the ranges of activations are calibrated.
    StaticInt8,
    /// Every value in integers, as accelerators want it: 8 bits for activations, 8 for weights.
    A8W8,
    /// The same with 16 bits for activations, 8 for weights.
    A16W8,
    /// The same with 16 bits for activations, 4 for weights.
    A16W4,
}

impl OnnxRecipe {
    /// The recipes that quantize.
    pub const ALL: &[Self] = &[
        Self::Int4,
        Self::Int8,
        Self::DynamicInt8,
        Self::Fp16,
        Self::StaticInt8,
        Self::A8W8,
        Self::A16W8,
        Self::A16W4,
    ];

    /// The operators of which some recipe quantizes the weights.
    pub(crate) const WEIGHTED: &[&'static str] = &["MatMul", "Gemm", "Conv", "Gather"];

    /// The codes that activations are rounded to, if the recipe needs their ranges: a
    /// [`Calibration`](crate::calibrate::Calibration).
    pub fn activations(self) -> Option<Levels> {
        static_qdq::Scheme::of(self).map(static_qdq::Scheme::levels)
    }

    /// The name: `"int4"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::DynamicInt8 => "dynamic-int8",
            Self::Fp16 => "fp16",
            Self::StaticInt8 => "static-int8",
            Self::A8W8 => "a8w8",
            Self::A16W8 => "a16w8",
            Self::A16W4 => "a16w4",
        }
    }

    /// The operators whose weights are quantized if nothing else is asked for: those that lose little
    /// by it.
    pub fn operators(self) -> &'static [&'static str] {
        match self {
            Self::Copy | Self::Fp16 => &[],
            Self::Int4 | Self::Int8 => &["MatMul", "Gemm"],
            Self::DynamicInt8 | Self::StaticInt8 | Self::A8W8 | Self::A16W8 | Self::A16W4 => {
                &["MatMul", "Gemm", "Conv"]
            }
        }
    }

    /// Whether single nodes can have the recipe while others have another.
    pub(super) fn is_for_nodes(self) -> bool {
        match self {
            Self::Copy | Self::Int4 | Self::Int8 | Self::DynamicInt8 => true,
            Self::Fp16 | Self::StaticInt8 | Self::A8W8 | Self::A16W8 | Self::A16W4 => false,
        }
    }
}

/// Parses a name in either case; `misuse` with the known names otherwise.
impl FromStr for OnnxRecipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let mut all = Self::ALL.iter().copied();
        let found = all.find(|recipe| recipe.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|recipe| recipe.name()).collect();
            Error::misuse(format!(
                "'{name}' is no recipe for ONNX models; these are: {}",
                names.join(", ")
            ))
        })
    }
}

/// What a job needs to write an ONNX model: the tensors to make, whence, and the graph around them.
#[derive(Debug)]
pub struct OnnxPlan {
    /// The constants of the input, each under a name of its own.
    pub model: Model,
    /// The tensors that are quantized or copied, whose planes are the slots of `document`.
    pub plan: Plan,
    /// The output but for these.
    pub document: Document,
    /// The scales and offsets of values and weights, if [`OnnxQuantization::encodings`] asks for them.
    pub encodings: Encodings,
}

/// Plans a recipe for an ONNX model; nothing is encoded or written.
///
/// ```no_run
/// use quantlib::format::onnx::Document;
/// use quantlib::recipe::onnx::{OnnxQuantization, OnnxRecipe, plan};
/// let document = Document::open("model.onnx")?;
/// let planned = plan(&document, &OnnxQuantization::new(OnnxRecipe::Int4))?;
/// for tensor in &planned.plan.tensors {
///     println!("{} {}", tensor.name, tensor.encoding);
/// }
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `misuse` for block sizes that onnxruntime lacks, `unsupported` if the model's operator set is too
/// old for the layout, `malformed` if a constant has not as many elements as its shape.
pub fn plan(document: &Document, wish: &OnnxQuantization) -> Result<OnnxPlan> {
    let mut draft = Draft::new(document, &Limits::default())?;
    if wish.recipe != OnnxRecipe::Copy {
        wish.check()?;
        match (wish.recipe, static_qdq::Scheme::of(wish.recipe)) {
            (OnnxRecipe::Fp16, _) => half::apply(&mut draft, wish)?,
            (_, Some(scheme)) => {
                each_node(&mut draft, wish)?;
                static_qdq::apply(&mut draft, wish, scheme)?;
            }
            _ => each_node(&mut draft, wish)?,
        }
        let functions = document.model().messages(schema::model::FUNCTIONS).count();
        match functions {
            0 => {}
            1 => draft.note("1 function of the model is left as it is"),
            _ => draft.note(format!(
                "{functions} functions of the model are left as they are"
            )),
        }
    }
    draft.finish()
}

/// Quantizes the weights of every node by the recipe that is chosen for it. Where the recipe is for
/// activations too, which are looked at together, these are the nodes with another.
fn each_node(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> Result<()> {
    let mut weight_only = weight_only::WeightOnly::new(wish);
    let mut dynamic = dynamic::Dynamic::new(wish);
    let mut narrow = narrow::Narrow::default();
    let sensitive = sensitive::find(draft, wish);
    let is_static = wish.recipe.activations().is_some();
    let is_whole = static_qdq::Scheme::of(wish.recipe).is_some_and(static_qdq::Scheme::is_whole);
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let in_blocks = OnnxQuantization {
        accuracy_level: wish.accuracy_level.or(Some(4)),
        layout: OnnxLayout::MatMulNBits,
        ..wish.clone()
    };
    let mut in_blocks = weight_only::WeightOnly::new(&in_blocks);
    for graph in 0..draft.graphs() {
        for (index, node) in draft.nodes(graph) {
            let place = (graph, index);
            let has_weight = (1..3).any(|input| draft.weight_at(place, input).is_some());
            let in_integers = is_whole && node.is("ConvTranspose");
            if has_weight && WITH_WEIGHTS.contains(&node.op_type()) && !in_integers {
                *others.entry(node.op_type()).or_default() += 1;
            }
            let Some(weight) = weight_of(draft, place, &node) else {
                continue;
            };
            if is_static && !wish.overrides(&node) {
                continue;
            }
            let done = match (wish.choose(&node), sensitive.get(&place)) {
                (_, Some(Wider::Half)) => match matrix::suits(draft, weight) {
                    Ok(info) => narrow.apply(draft, place, &node, (weight, &info)).map(Ok)?,
                    Err(why) => Err(why),
                },
                (_, Some(Wider::Int8)) => {
                    weight_only.apply(draft, place, &node, weight, OnnxRecipe::Int8)?
                }
                (_, Some(Wider::Int8InBlocks)) => {
                    in_blocks.apply(draft, place, &node, weight, OnnxRecipe::Int8)?
                }
                (Choice::NotMeant, _) => continue,
                (Choice::Excluded(_), _) if is_static => continue,
                (Choice::Excluded(why), _) => Err(why.to_owned()),
                (Choice::Recipe(OnnxRecipe::DynamicInt8), _) => {
                    dynamic.apply(draft, place, &node, weight)?
                }
                (Choice::Recipe(recipe), _) => {
                    weight_only.apply(draft, place, &node, weight, recipe)?
                }
            };
            if let Err(why) = done {
                draft.note(left_alone(&node, draft.graphs.weights[weight].name, &why));
            }
        }
    }
    for (operator, count) in others {
        draft.note(format!(
            "{count} {operator} are left as they are: their weights are not quantized"
        ));
    }
    Ok(())
}

/// Whether a node was quantized, or why not.
type Done = Result<(), String>;

/// The weight of a node of an operator that has one, if it is a constant.
fn weight_of(draft: &Draft<'_>, place: Place, node: &Node<'_>) -> Option<usize> {
    let input = match node.op_type() {
        _ if !node.domain().is_empty() => return None,
        "Gather" => 0,
        "MatMul" | "Gemm" | "Conv" => 1,
        _ => return None,
    };
    let weight = draft.weight_at(place, input)?;
    // Gather picks from shapes as well as from embeddings.
    let floats = || {
        draft
            .info(weight)
            .is_some_and(|info| info.dtype.is_plain_float())
    };
    (node.op_type() != "Gather" || floats()).then_some(weight)
}

fn left_alone(node: &Node<'_>, weight: &str, why: &str) -> String {
    match node.name() {
        "" => format!("a {} of '{weight}' is left as it is: {why}", node.op_type()),
        name => format!("'{name}' ({}) is left as it is: {why}", node.op_type()),
    }
}

/// The names of the values whose ranges a recipe needs: values of the main graph, each once. Nothing
/// for recipes that leave activations alone.
///
/// Run the model on samples with these as further outputs (see [`Document::probe`]), let a
/// [`Calibrator`](crate::calibrate::Calibrator) observe them, and give the
/// [`Calibration`](crate::calibrate::Calibration) to [`OnnxQuantization::calibration`].
///
/// # Errors
/// `malformed` if a constant has not as many elements as its shape.
pub fn observed(document: &Document, wish: &OnnxQuantization) -> Result<Vec<String>> {
    match static_qdq::Scheme::of(wish.recipe) {
        Some(scheme) => static_qdq::observed(document, wish, scheme),
        None => Ok(Vec::new()),
    }
}

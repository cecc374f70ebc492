//! What may be asked for: a recipe, and wishes beyond it.

use super::OnnxRecipe;
use super::static_qdq::Scheme;
use crate::calibrate::{Calibration, EncodingsVersion};
use crate::error::{Error, Result};
use crate::format::onnx::{Node, SaveOptions};
use crate::model::NamePattern;
use std::path::PathBuf;
use std::str::FromStr;

/// The operators that quantized weights are given to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxLayout {
    /// onnxruntime's `MatMulNBits`, for any operator set.
    #[default]
    MatMulNBits,
    /// ONNX's `DequantizeLinear` in blocks before the `MatMul`, from operator set 21 on.
    Qdq,
}

impl FromStr for OnnxLayout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match &name.to_ascii_lowercase()[..] {
            "matmulnbits" => Ok(Self::MatMulNBits),
            "qdq" => Ok(Self::Qdq),
            _ => Err(Error::misuse(format!(
                "'{name}' is no layout of an ONNX model's weights; these are: matmulnbits, qdq"
            ))),
        }
    }
}

/// How a model says that it calculates with integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxFormat {
    /// `QuantizeLinear` and `DequantizeLinear` around operators of floats, which runtimes fuse.
    #[default]
    Qdq,
    /// Operators that read and yield codes: `QLinearMatMul`, `QLinearConv`, and onnxruntime's `QGemm` and
    /// `QLinearAdd`.
    QOperator,
}

impl FromStr for OnnxFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match &name.to_ascii_lowercase()[..] {
            "qdq" => Ok(Self::Qdq),
            "qoperator" => Ok(Self::QOperator),
            _ => Err(Error::misuse(format!(
                "'{name}' is no form of static quantization; these are: qdq, qoperator"
            ))),
        }
    }
}

/// Another recipe for some nodes.
///
/// ```
/// use quantlib::recipe::onnx::{OnnxOverride, OnnxRecipe};
/// let head: OnnxOverride = "lm_head=int8".parse()?;
/// assert_eq!(head.recipe, OnnxRecipe::Int8);
/// let kept: OnnxOverride = "layer\\.[01]\\.=keep".parse()?;
/// assert!(kept.pattern.is_in("/layer.0.dense/MatMul"));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OnnxOverride {
    /// Found in the names of the nodes.
    pub pattern: NamePattern,
    /// What becomes of them; [`OnnxRecipe::Copy`] leaves them alone.
    pub recipe: OnnxRecipe,
}

impl OnnxOverride {
    /// From the two halves of its text form: an expression, and the name of a recipe or `keep`.
    ///
    /// # Errors
    /// `misuse` if the one is no expression, or the other no recipe that works on single nodes.
    pub fn new(pattern: &str, recipe: &str) -> Result<Self> {
        let recipe = match recipe {
            "keep" => OnnxRecipe::Copy,
            name => name.parse()?,
        };
        if !recipe.is_for_nodes() {
            return Err(Error::misuse(format!(
                "the recipe {} is for whole models; single nodes may be int4, int8, dynamic-int8 or keep",
                recipe.name()
            )));
        }
        Ok(Self {
            pattern: pattern.parse()?,
            recipe,
        })
    }
}

/// `EXPRESSION=RECIPE`; the last equals sign counts.
impl FromStr for OnnxOverride {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.rsplit_once('=') {
            Some((pattern, recipe)) => Self::new(pattern, recipe),
            None => Err(Error::misuse(format!(
                "'{text}' should be EXPRESSION=RECIPE, such as 'lm_head=int8' or 'layer.0=keep'"
            ))),
        }
    }
}

/// How to quantize an ONNX model: a recipe and wishes beyond it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OnnxQuantization {
    /// What most weights become.
    pub recipe: OnnxRecipe,
    /// Weights of a column that share a scale: a power of two from 16 to 256. For weight-only recipes.
    pub block_size: usize,
    /// Ranges that are the same on both sides of zero: for weight-only recipes without zero points,
    /// for dynamic ones codes with a sign.
    pub symmetric: bool,
    /// The operators that the weights are given to.
    pub layout: OnnxLayout,
    /// `MatMulNBits`' attribute of that name: 4 lets onnxruntime calculate with 8-bit activations.
    pub accuracy_level: Option<i64>,
    /// One scale for a whole weight instead of one for each column. For dynamic recipes.
    pub per_tensor: bool,
    /// Weights of 7 bits, for CPUs whose products of 8-bit integers saturate (x86 before VNNI, with
    /// signed codes). For dynamic recipes.
    pub reduce_range: bool,
    /// Operators whose weights are quantized; empty for those of the recipe, see
    /// [`OnnxRecipe::operators`].
    pub operators: Vec<String>,
    /// Nodes that are left alone: those in whose name one of these is found.
    pub exclude: Vec<NamePattern>,
    /// Operators that are left alone.
    pub exclude_operators: Vec<String>,
    /// Nodes with other recipes; the first that fits counts, before everything else.
    pub overrides: Vec<OnnxOverride>,
    /// The recipe for every node it is for, exactly as onnxruntime's own tool: no node keeps more bits
    /// because it is sensitive.
    pub pure: bool,
    /// Inputs and outputs of the model stay f32. For the recipe `fp16`.
    pub keep_io: bool,
    /// The form of static quantization. For `static-int8`.
    pub format: OnnxFormat,
    /// The ranges of activations, for recipes that need them: those of
    /// [`observed`](super::observed).
    pub calibration: Option<Calibration>,
    /// A file for the scales and offsets of values and weights. For recipes that need ranges, of every
    /// value: `a8w8` and its like.
    pub encodings: Option<EncodingsFile>,
    /// Whether the output has its data beside it.
    pub save: SaveOptions,
}

/// A file of encodings, as AIMET and Qualcomm's tools read them.
#[derive(Clone, Debug)]
pub struct EncodingsFile {
    /// In the folder of the model that is written, or on the same volume.
    pub path: PathBuf,
    /// The version of its JSON.
    pub version: EncodingsVersion,
}

impl OnnxQuantization {
    /// The recipe with no exceptions: blocks of 32, with zero points.
    pub fn new(recipe: OnnxRecipe) -> Self {
        Self {
            recipe,
            block_size: 32,
            symmetric: false,
            layout: OnnxLayout::default(),
            accuracy_level: None,
            per_tensor: false,
            reduce_range: false,
            operators: Vec::new(),
            exclude: Vec::new(),
            exclude_operators: Vec::new(),
            overrides: Vec::new(),
            pure: false,
            keep_io: false,
            format: OnnxFormat::default(),
            calibration: None,
            encodings: None,
            save: SaveOptions::default(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let size = self.block_size;
        if !size.is_power_of_two() || !(16..=256).contains(&size) {
            return Err(Error::misuse(format!(
                "blocks of {size} were asked for; onnxruntime has blocks of 16, 32, 64, 128 and 256"
            )));
        }
        let is_whole = Scheme::of(self.recipe).is_some_and(Scheme::is_whole);
        if self.encodings.is_some() && !is_whole {
            return Err(Error::misuse(format!(
                "encodings are written of a8w8, a16w8 and a16w4, whose values all have them; {} has none to write",
                self.recipe.name()
            )));
        }
        let known = OnnxRecipe::WEIGHTED;
        let all = self.operators.iter();
        match all.into_iter().find(|op| !known.contains(&op.as_str())) {
            Some(op) => Err(Error::misuse(format!(
                "'{op}' is no operator whose weights can be quantized; these are: {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// What becomes of a node with weights.
    pub(super) fn choose(&self, node: &Node<'_>) -> Choice {
        let mut overrides = self.overrides.iter();
        if let Some(other) = overrides.find(|other| other.pattern.is_in(node.name())) {
            return match other.recipe {
                OnnxRecipe::Copy => Choice::Excluded("an override says so"),
                recipe => Choice::Recipe(recipe),
            };
        }
        if self.excludes(node) {
            return Choice::Excluded("it is excluded");
        }
        let op = node.op_type();
        let wanted = match &self.operators[..] {
            [] => self.recipe.operators().contains(&op),
            operators => operators.iter().any(|each| each == op),
        };
        match wanted {
            true => Choice::Recipe(self.recipe),
            false => Choice::NotMeant,
        }
    }

    /// Whether a node has a recipe of its own.
    pub(super) fn overrides(&self, node: &Node<'_>) -> bool {
        let mut overrides = self.overrides.iter();
        overrides.any(|other| other.pattern.is_in(node.name()))
    }

    /// Whether a node is to be left alone by a recipe for whole models.
    pub(super) fn keeps(&self, node: &Node<'_>) -> bool {
        let mut overrides = self.overrides.iter();
        let found = overrides.find(|other| other.pattern.is_in(node.name()));
        let kept = found.is_some_and(|other| other.recipe == OnnxRecipe::Copy);
        kept || self.excludes(node)
    }

    /// Whether a node is excluded by its name or its operator.
    pub(super) fn excludes(&self, node: &Node<'_>) -> bool {
        let by_name = self
            .exclude
            .iter()
            .any(|pattern| pattern.is_in(node.name()));
        let operators = &mut self.exclude_operators.iter();
        by_name || operators.any(|op| *op == node.op_type())
    }
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Recipe(OnnxRecipe),
    /// Left alone, because somebody asked for it.
    Excluded(&'static str),
    /// Left alone, because the recipe is for other operators.
    NotMeant,
}

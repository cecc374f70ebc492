//! What becomes of an ONNX model: which weights are quantized, and how the graph changes for it.

mod draft;
mod weight_only;

use crate::error::{Error, Result};
use crate::format::onnx::{Document, SaveOptions, schema};
use crate::io::Limits;
use crate::model::{Model, NamePattern, Plan};
use draft::Draft;
use std::str::FromStr;

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
}

impl OnnxRecipe {
    /// The recipes that quantize.
    pub const ALL: &[Self] = &[Self::Int4, Self::Int8];

    /// The name: `"int4"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
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

/// How to quantize an ONNX model: a recipe and wishes beyond it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OnnxQuantization {
    /// What most weights become.
    pub recipe: OnnxRecipe,
    /// Weights of a column that share a scale: a power of two from 16 to 256.
    pub block_size: usize,
    /// Ranges that are the same on both sides of zero, without zero points.
    pub symmetric: bool,
    /// The operators that the weights are given to.
    pub layout: OnnxLayout,
    /// `MatMulNBits`' attribute of that name: 4 lets onnxruntime calculate with 8-bit activations.
    pub accuracy_level: Option<i64>,
    /// Nodes that are left alone: those in whose name one of these is found.
    pub exclude: Vec<NamePattern>,
    /// Whether the output has its data beside it.
    pub save: SaveOptions,
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
            exclude: Vec::new(),
            save: SaveOptions::default(),
        }
    }

    fn check(&self) -> Result<()> {
        let size = self.block_size;
        if !size.is_power_of_two() || !(16..=256).contains(&size) {
            return Err(Error::misuse(format!(
                "blocks of {size} were asked for; onnxruntime has blocks of 16, 32, 64, 128 and 256"
            )));
        }
        Ok(())
    }

    fn excludes(&self, node: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.is_in(node))
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
        weight_only::apply(&mut draft, wish)?;
        let functions = document.model().messages(schema::model::FUNCTIONS).count();
        if functions > 0 {
            draft.note(format!(
                "{functions} functions of the model are left as they are"
            ));
        }
    }
    draft.finish()
}

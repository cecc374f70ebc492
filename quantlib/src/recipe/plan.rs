//! From a header and a recipe to a plan.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Expr, ImportanceSummary, Metadata, Model, OutputTensor, Plan, TensorInfo};
use crate::recipe::category::{Category, LAYER_EMBEDDINGS, quantizable};
use crate::recipe::document::edits;
use crate::recipe::hyper::Keys;
use crate::recipe::mixture::{Mixture, Seen};
use crate::recipe::name::Recipe;
use crate::recipe::options::QuantizeOptions;
use crate::recipe::order::{Kept, output_order};
use crate::recipe::pattern::Patterns;
use crate::recipe::shape::{fallback, trimmed};
use crate::recipe::split::keep_split;
use crate::tensor::Encoding;

/// What a plan is made from: the tensors of a GGUF in file order, and its keys. The file need not
/// exist: [`compose`](super::compose) makes the header of one that another plan describes.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The tensors in file order.
    pub tensors: &'a [TensorInfo],
    /// The keys in file order.
    pub metadata: &'a Metadata,
    /// How many of the tensors lie in each file of a model in several; none for one file.
    pub files: &'a [usize],
}

impl<'a> From<&'a Model> for Header<'a> {
    fn from(model: &'a Model) -> Self {
        Self {
            tensors: model.tensors(),
            metadata: model.metadata(),
            files: model.tensors_by_file(),
        }
    }
}

/// Decides what llama-quantize would write for this input: order, names, types and keys, so that
/// the output file equals its byte for byte.
///
/// An architecture that llama.cpp does not know has no mixture, but can be copied, or become one
/// type (`pure`, or a recipe of plain floats), where llama.cpp would refuse it.
///
/// # Errors
/// `misuse` if the recipe needs an importance matrix, if a tensor is quantized already and that is
/// not allowed, or if a type that was asked for does not fit; `unsupported` for an architecture
/// without mixtures; `malformed` for contradictory metadata.
pub fn plan(header: &Header<'_>, recipe: Recipe, options: &QuantizeOptions) -> Result<Plan> {
    let keys = Keys {
        metadata: header.metadata,
        overrides: &options.override_kv,
    };
    let (mut kept, layers_left) = output_order(header.tensors, &options.prune_layers)?;
    let parts = match options.keep_split {
        true => keep_split(header, &mut kept)?,
        false => Vec::new(),
    };
    let importance = options.used_importance()?;
    let importance = importance.as_deref();
    let mut planner = Planner::new(&keys, recipe, options, importance, &kept)?;
    let tensors = kept
        .iter()
        .map(|kept| planner.tensor(kept).map_err(|e| e.in_tensor(&kept.name)))
        .collect::<Result<_>>()?;
    Ok(Plan {
        tensors,
        edits: edits(
            &keys,
            recipe,
            options,
            importance,
            header.tensors,
            layers_left,
        )?,
        parts,
        notes: planner.notes,
    })
}

/// What is decided for all tensors at once, and the state of the mixture.
struct Planner<'a> {
    recipe: Recipe,
    options: &'a QuantizeOptions,
    importance: Option<&'a ImportanceSummary>,
    patterns: Patterns,
    mixture: Option<Mixture<'a>>,
    notes: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(
        keys: &'a Keys<'_>,
        recipe: Recipe,
        options: &'a QuantizeOptions,
        importance: Option<&'a ImportanceSummary>,
        kept: &[Kept<'_>],
    ) -> Result<Self> {
        let roles = || kept.iter().map(|kept| Category::of(&kept.name));
        let values = roles().filter(|role| *role == Category::AttentionValue);
        let mixture = if options.pure || !recipe.dtype().is_quantized() {
            None
        } else {
            Some(Mixture {
                recipe,
                arch: keys.architecture(),
                hyper: keys.hyper()?,
                has_importance: importance.is_some(),
                tied: roles().all(|role| role != Category::Output),
                output_type: options.output_tensor_type,
                values: values.count() as i64,
                seen: Seen::default(),
            })
        };
        Ok(Self {
            recipe,
            options,
            importance,
            patterns: Patterns::new(&options.tensor_types)?,
            mixture,
            notes: Vec::new(),
        })
    }

    /// Plans the next tensor in output order.
    fn tensor(&mut self, kept: &Kept<'_>) -> Result<OutputTensor> {
        let stored = kept.tensor;
        let shape = trimmed(&stored.shape);
        let category = Category::of(&kept.name);
        let mut dtype = stored.dtype;
        if self.may_change(&kept.name, shape) {
            dtype = self.choose(&kept.name, shape, category)?;
            if self.importance.is_none() {
                self.check_importance(dtype, category)?;
            }
        }
        let mut importance = None;
        if dtype != stored.dtype {
            importance = self.importance_for(kept, shape, category)?;
            if importance.is_none() {
                self.check_importance(dtype, category)?;
            }
            self.check_types(stored.dtype, dtype)?;
        }
        let mut source = Expr::input(&stored.name);
        if shape != stored.shape {
            source = source.reshape(shape);
        }
        let output = OutputTensor {
            name: kept.name.clone(),
            shape: shape.to_vec(),
            encoding: Encoding::Block(dtype),
            source,
            importance: importance.filter(|_| dtype.is_quantized()),
        };
        output.nbytes()?;
        Ok(output)
    }

    fn may_change(&self, name: &str, shape: &[usize]) -> bool {
        self.recipe != Recipe::Copy
            && shape.len() >= 2
            && !(self.options.leave_output_tensor && name == "output.weight")
            && quantizable(name)
    }

    fn choose(&mut self, name: &str, shape: &[usize], category: Category) -> Result<DType> {
        // The second table is large: it follows a pattern that finds it before the general wish.
        let found_by_pattern = || name == LAYER_EMBEDDINGS && self.patterns.find(name).is_some();
        match category {
            Category::TokenEmbedding if !found_by_pattern() => {
                if let Some(dtype) = self.options.token_embedding_type {
                    return Ok(dtype);
                }
            }
            Category::Output => {
                if let Some(dtype) = self.options.output_tensor_type {
                    return Ok(dtype);
                }
            }
            _ => {}
        }
        let base = self.recipe.dtype();
        if !base.is_quantized() {
            return Ok(base);
        }
        let wanted = match (self.patterns.find(name), &mut self.mixture) {
            (Some(dtype), _) => dtype,
            (None, None) => base,
            (None, Some(mixture)) => mixture.choose(name, shape, category)?,
        };
        let cols = shape.last().copied().unwrap_or(1);
        let dtype = fallback(wanted, cols)?;
        if dtype != wanted {
            self.notes.push(format!(
                "{name}: {cols} columns are no multiple of {}, so {dtype} instead of {wanted}",
                wanted.block_len()
            ));
        }
        Ok(dtype)
    }

    /// The entry of the importance matrix for a tensor; `None` if there is none.
    fn importance_for(
        &mut self,
        kept: &Kept<'_>,
        shape: &[usize],
        category: Category,
    ) -> Result<Option<String>> {
        let Some(importance) = self.importance else {
            return Ok(None);
        };
        let name = &kept.tensor.name;
        let Some(&len) = importance.entries.get(name) else {
            self.notes
                .push(format!("{name}: not in the importance matrix"));
            return Ok(None);
        };
        let (experts, cols) = match shape {
            [.., experts, _, cols] => (*experts, *cols),
            [.., cols] => (1, *cols),
            [] => (1, 1),
        };
        if experts.checked_mul(cols) == Some(len) {
            return Ok(Some(name.clone()));
        }
        let misfit =
            format!("its importance has {len} weights, but {experts} times {cols} are needed");
        // Embeddings are looked up, not multiplied, so matrices never know them right.
        if category == Category::TokenEmbedding {
            self.notes.push(format!("{name}: {misfit}; not used"));
            return Ok(None);
        }
        Err(Error::misuse(format!(
            "{misfit}; use the importance matrix of this model"
        )))
    }

    /// Fails if a type this low would be garbage without importance.
    fn check_importance(&self, dtype: DType, category: Category) -> Result<()> {
        let needs = match dtype {
            DType::Iq1S | DType::Iq1M | DType::Iq2Xxs => true,
            DType::Iq2Xs | DType::Iq2S | DType::Iq3Xxs => true,
            DType::Q2K => self.recipe == Recipe::Q2KS,
            _ => false,
        };
        if !needs || category.is_vocabulary() {
            return Ok(());
        }
        Err(Error::misuse(format!(
            "{} makes this tensor {dtype}, which is garbage without importance weights for it; give a matrix that has them with --imatrix, or choose another recipe",
            self.recipe
        )))
    }

    /// Fails if one type cannot become the other.
    fn check_types(&self, from: DType, to: DType) -> Result<()> {
        let activations = |dtype| matches!(dtype, DType::Q8_1 | DType::Q8K);
        let weights =
            |dtype: DType| dtype.is_plain_float() || dtype.is_quantized() && !activations(dtype);
        if !weights(to) {
            return Err(Error::misuse(format!(
                "{to} is no type for weights; choose another for this tensor"
            )));
        }
        if !weights(from) {
            return Err(Error::unsupported(format!(
                "{from} values cannot become {to}; keep them with --tensor-type {from}, or copy"
            )));
        }
        if from.is_quantized() && !self.options.allow_requantize {
            return Err(Error::misuse(format!(
                "is {from} already, and {to} from that loses more than from the original; start from an f32, f16 or bf16 file, or insist with --allow-requantize"
            )));
        }
        Ok(())
    }
}

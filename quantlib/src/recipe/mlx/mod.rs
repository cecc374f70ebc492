//! Which layers of an MLX model are quantized, and how: mlx_lm's modes and mixtures.

mod exact;
mod layer_type;
mod mixture;
mod name;
#[cfg(test)]
mod tests;

pub use exact::exact_plan;
pub use layer_type::LayerType;
pub use name::MlxRecipe;

use crate::dtype::DType;
use crate::error::Result;
use crate::format::mlx::{Document, Draft, Layer, LayerQuantization, Weight};
use crate::model::Plan;
use crate::tensor::Encoding;
use mixture::Mixture;
use serde_json::{Map, Value};

/// How to make an MLX model: a recipe and wishes beyond it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MlxQuantization {
    /// What most layers become.
    pub recipe: MlxRecipe,
    /// Columns that share a scale; none is the mode's own number, 64 for affine codes.
    pub group_size: Option<usize>,
    /// Exceptions from the recipe; the first whose pattern is found in a layer's path decides.
    pub layers: Vec<LayerType>,
    /// The type of what is not quantized, and of scales: f32, f16 or bf16. None is what mlx_lm takes:
    /// `torch_dtype` of config.json, or else the type of each tensor.
    pub dtype: Option<DType>,
    /// Leaves the names of tensors as they are and quantizes every matrix, whatever the architecture.
    pub as_is: bool,
    /// Replaces an output folder that is not empty.
    pub force: bool,
    /// Decodes what is quantized already and quantizes it again.
    pub allow_requantize: bool,
    /// Keeps the codes and scales of a GGUF file as they are, and refuses what MLX cannot hold.
    pub exact: bool,
}

impl MlxQuantization {
    /// The recipe with no exceptions.
    pub fn new(recipe: MlxRecipe) -> Self {
        Self {
            recipe,
            group_size: None,
            layers: Vec::new(),
            dtype: None,
            as_is: false,
            force: false,
            allow_requantize: false,
            exact: false,
        }
    }

    /// What most layers become; none if the recipe quantizes nothing.
    ///
    /// # Errors
    /// `misuse` if MLX lacks it.
    pub fn layer(&self) -> Result<Option<LayerQuantization>> {
        let Some(mut layer) = self.recipe.layer() else {
            return Ok(None);
        };
        layer.group_size = self.group_size.unwrap_or(layer.group_size);
        layer.check()?;
        Ok(Some(layer))
    }
}

/// What a job needs to write an MLX folder.
#[derive(Clone, Debug)]
pub struct MlxPlan {
    /// The tensors.
    pub plan: Plan,
    /// What lies beside them.
    pub document: Document,
}

/// Decides which layers of a draft are quantized, and writes it down in config.json.
///
/// As in mlx_lm, a layer whose rows are no whole groups is left as it is.
///
/// # Errors
/// `misuse` for a recipe that MLX lacks or that does not fit the model.
pub fn plan(draft: Draft, wish: &MlxQuantization) -> Result<MlxPlan> {
    let mut decision = Decision::new(&draft, wish)?;
    let mut plan = Plan {
        notes: draft.notes,
        ..Plan::default()
    };
    for Weight { mut tensor, layer } in draft.weights {
        let weight = Weight {
            tensor: tensor.clone(),
            layer,
        };
        if let Some(layer) = decision.of(&weight, &mut plan.notes)? {
            let dtype = tensor.encoding.block()?;
            tensor.encoding = Encoding::Affine(layer.spec(dtype)?);
        }
        plan.tensors.push(tensor);
    }
    let mut document = draft.document;
    decision.write(&mut document.config);
    Ok(MlxPlan { plan, document })
}

/// What is decided so far.
struct Decision<'w> {
    wish: &'w MlxQuantization,
    default: Option<LayerQuantization>,
    mixture: Option<Mixture>,
    /// The entry `quantization` of config.json.
    entries: Map<String, Value>,
    /// Whether entries say of every layer how it is quantized, because some were before.
    each: bool,
}

impl<'w> Decision<'w> {
    fn new(draft: &Draft, wish: &'w MlxQuantization) -> Result<Self> {
        let default = wish.layer()?;
        let before = draft.document.config.get("quantization");
        let before = before.and_then(Value::as_object).cloned();
        let mixture = match wish.recipe {
            MlxRecipe::Mixed { low, high } => Some(Mixture::new(low, high, draft)?),
            _ => None,
        };
        Ok(Self {
            wish,
            default,
            mixture,
            each: before.is_some(),
            entries: before.unwrap_or_else(|| default.map_or_else(Map::new, |own| own.to_json())),
        })
    }

    /// How a layer is quantized, if it is.
    fn of(
        &mut self,
        weight: &Weight,
        notes: &mut Vec<String>,
    ) -> Result<Option<LayerQuantization>> {
        let Some(default) = self.default.filter(|_| weight.layer != Layer::None) else {
            return Ok(None);
        };
        let path = weight.path();
        let own = self.wish.layers.iter().find(|own| own.pattern.is_in(path));
        let (layer, entry) = match own {
            Some(LayerType { to: None, .. }) => return Ok(None),
            Some(LayerType { to: Some(to), .. }) => {
                let mut layer = *to;
                if layer.mode == default.mode {
                    layer.group_size = self.wish.group_size.unwrap_or(layer.group_size);
                }
                layer.check().map_err(|e| e.in_tensor(path))?;
                (layer, Some(layer.to_json()))
            }
            None => self.by_recipe(default, weight),
        };
        let cols = weight.tensor.shape.last().copied().unwrap_or(0);
        let fits_recipe = own.is_some() || default.fits(cols);
        if !fits_recipe || !layer.fits(cols) {
            notes.push(format!(
                "{path}: left as it is, for its rows of {cols} are no whole groups of {}",
                layer.group_size
            ));
            return Ok(None);
        }
        let entry = entry.or_else(|| self.each.then(|| layer.to_json()));
        if let Some(entry) = entry {
            self.entries.insert(path.to_owned(), Value::Object(entry));
        }
        Ok(Some(layer))
    }

    /// What the recipe makes of a layer, and its entry in config.json if it has one.
    fn by_recipe(
        &self,
        default: LayerQuantization,
        weight: &Weight,
    ) -> (LayerQuantization, Option<Map<String, Value>>) {
        if let Some(mixture) = &self.mixture {
            let bits = mixture.bits(weight.path());
            let layer = LayerQuantization { bits, ..default };
            return (layer, Some(layer.to_json()));
        }
        match weight.layer {
            Layer::Eight => {
                let layer = LayerQuantization::affine(8);
                let mut entry = layer.to_json();
                // mlx_lm leaves it out where it means affine codes.
                entry.shift_remove("mode");
                (layer, Some(entry))
            }
            Layer::Plain | Layer::None => (default, None),
        }
    }

    fn write(self, config: &mut Map<String, Value>) {
        for name in ["quantization", "quantization_config"] {
            config.shift_remove(name);
            if !self.entries.is_empty() {
                config.insert(name.to_owned(), Value::Object(self.entries.clone()));
            }
        }
    }
}

//! Exceptions from a recipe: a pattern of layers' paths, and what they become.

use super::MlxRecipe;
use crate::error::{Error, Result};
use crate::format::mlx::LayerQuantization;
use crate::model::NamePattern;
use std::str::FromStr;

/// What some layers become whatever the recipe says: `lm_head=mlx-8bit`, or `mlp\.gate$=none`.
///
/// ```
/// use quantlib::recipe::mlx::LayerType;
/// let own: LayerType = "lm_head|embed_tokens=mlx-8bit".parse()?;
/// assert!(own.pattern.is_in("model.embed_tokens"));
/// assert_eq!(own.to.map(|layer| layer.bits), Some(8));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerType {
    /// Found in the path of the layer: its weight's name without `.weight`.
    pub pattern: NamePattern,
    /// What it becomes; none leaves it as it is.
    pub to: Option<LayerQuantization>,
}

impl LayerType {
    /// Of a pattern (ECMAScript) and a name: an MLX recipe's that is no mixture, or `none`.
    ///
    /// # Errors
    /// `misuse` if one is not what it should be.
    pub fn new(pattern: &str, name: &str) -> Result<Self> {
        let to = match name.eq_ignore_ascii_case("none") {
            true => None,
            false => Some(layer(name)?),
        };
        Ok(Self {
            pattern: pattern.parse()?,
            to,
        })
    }
}

fn layer(name: &str) -> Result<LayerQuantization> {
    let recipe: MlxRecipe = name.parse()?;
    let layer = match recipe {
        MlxRecipe::Mixed { .. } => None,
        recipe => recipe.layer(),
    };
    layer.ok_or_else(|| {
        Error::misuse(format!(
            "'{name}' is a mixture of types; name one of them for a layer"
        ))
    })
}

/// Parses `RE=TYPE`.
impl FromStr for LayerType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pattern, name) = text.rsplit_once('=').ok_or_else(|| {
            Error::misuse(format!("'{text}' is not RE=TYPE, such as lm_head=mlx-8bit"))
        })?;
        Self::new(pattern, name)
    }
}

//! The recipes and their names.

use crate::error::{Error, Result};
use crate::format::mlx::{LayerQuantization, Mode};
use std::str::FromStr;

/// What becomes of the layers of an MLX model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MlxRecipe {
    /// Nothing: they stay plain floats.
    Plain,
    /// Integers of so many bits: 2 to 6 or 8.
    Affine(u8),
    /// mxfp4, nvfp4 or mxfp8.
    Float(Mode),
    /// Integers: the output matrix, and in some blocks the value projections and the last of the
    /// feed-forward layers, have more bits than the rest.
    Mixed {
        /// Bits of most layers.
        low: u8,
        /// Bits of the others.
        high: u8,
    },
}

const NAMES: &[(&str, MlxRecipe)] = &[
    ("mlx-2bit", MlxRecipe::Affine(2)),
    ("mlx-3bit", MlxRecipe::Affine(3)),
    ("mlx-4bit", MlxRecipe::Affine(4)),
    ("mlx-5bit", MlxRecipe::Affine(5)),
    ("mlx-6bit", MlxRecipe::Affine(6)),
    ("mlx-8bit", MlxRecipe::Affine(8)),
    ("mlx-mxfp4", MlxRecipe::Float(Mode::Mxfp4)),
    ("mlx-nvfp4", MlxRecipe::Float(Mode::Nvfp4)),
    ("mlx-mxfp8", MlxRecipe::Float(Mode::Mxfp8)),
    ("mlx-mixed-2-6", MlxRecipe::Mixed { low: 2, high: 6 }),
    ("mlx-mixed-3-4", MlxRecipe::Mixed { low: 3, high: 4 }),
    ("mlx-mixed-3-6", MlxRecipe::Mixed { low: 3, high: 6 }),
    ("mlx-mixed-4-6", MlxRecipe::Mixed { low: 4, high: 6 }),
];

impl MlxRecipe {
    /// The recipes that quantize.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(_, recipe)| *recipe)
    }

    /// The name: `"mlx-4bit"`; `"plain"` for none.
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(_, recipe)| *recipe == self);
        named.map_or("plain", |(name, _)| name)
    }

    /// Whether a name is meant to be one of an MLX recipe.
    pub fn is_name(name: &str) -> bool {
        let start = name.get(..4);
        start.is_some_and(|start| start.eq_ignore_ascii_case("mlx-"))
    }

    /// What config.json says of the whole model: in a mixture, of layers that it says nothing else of.
    pub(super) fn layer(self) -> Option<LayerQuantization> {
        match self {
            Self::Plain => None,
            Self::Affine(bits) => Some(LayerQuantization::affine(bits)),
            Self::Float(mode) => Some(LayerQuantization::new(mode)),
            Self::Mixed { .. } => Some(LayerQuantization::new(Mode::Affine)),
        }
    }
}

/// Parses a name in either case; `misuse` with the known names otherwise.
impl FromStr for MlxRecipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, recipe)| *recipe).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            Error::misuse(format!(
                "'{name}' is no recipe for MLX models; these are: {}",
                names.join(", ")
            ))
        })
    }
}

//! What MLX folders may be told.

use super::layer_type;
use clap::{Args, ValueEnum};
use quantlib::recipe::mlx::{LayerType, MlxQuantization, MlxRecipe};

#[derive(Args)]
#[command(next_help_heading = "MLX folders")]
pub(crate) struct MlxOptions {
    /// Columns that share a scale: 32, 64 or 128 for integers; 64 by default
    #[arg(long, value_name = "N")]
    pub(crate) group_size: Option<usize>,

    /// The type of layers in whose path a regular expression (ECMAScript) is found, such as
    /// lm_head=mlx-8bit or mlp.gate=none; may be given more than once, and the first that matches
    /// decides
    #[arg(long, value_name = "RE=TYPE", value_parser = layer_type)]
    pub(crate) layer_type: Vec<LayerType>,

    #[command(flatten)]
    pub(crate) folder: MlxFolder,
}

#[derive(Args)]
#[command(next_help_heading = "MLX folders")]
pub(crate) struct MlxFolder {
    /// Leave the names of tensors as they are, whatever the architecture
    #[arg(long)]
    pub(crate) as_is: bool,

    /// Keep codes and scales as they are; what the output cannot hold is refused
    #[arg(long)]
    pub(crate) exact: bool,

    /// Replace an output folder that is not empty
    #[arg(long)]
    pub(crate) force: bool,
}

/// The kind of output, where neither the recipe nor the output's ending tells it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A GGUF file
    Gguf,
    /// A folder for MLX
    Mlx,
    /// A Hugging Face folder
    #[value(alias("huggingface"))]
    Hf,
    /// An ONNX model
    Onnx,
}

impl MlxOptions {
    pub(crate) fn wish(self, recipe: MlxRecipe) -> MlxQuantization {
        let mut wish = self.folder.wish(recipe);
        wish.group_size = self.group_size;
        wish.layers = self.layer_type;
        wish
    }

    /// Whether anything was asked for.
    pub(crate) fn any(&self) -> bool {
        self.group_size.is_some() || !self.layer_type.is_empty() || self.folder.any()
    }
}

impl MlxFolder {
    pub(crate) fn wish(&self, recipe: MlxRecipe) -> MlxQuantization {
        let mut wish = MlxQuantization::new(recipe);
        wish.as_is = self.as_is;
        wish.exact = self.exact;
        wish.force = self.force;
        wish
    }

    pub(crate) fn any(&self) -> bool {
        self.as_is || self.exact || self.force
    }
}

//! What ONNX models may be told.

use super::{external_data, name_pattern, onnx_layout};
use clap::Args;
use quantlib::format::onnx::{ExternalData, SaveOptions};
use quantlib::model::NamePattern;
use quantlib::recipe::onnx::{OnnxLayout, OnnxQuantization, OnnxRecipe};

#[derive(Args)]
#[command(next_help_heading = "ONNX models")]
pub(crate) struct OnnxOptions {
    /// Weights of a column that share a scale: 16, 32, 64, 128 or 256; 32 by default
    #[arg(long, value_name = "N")]
    pub(crate) block_size: Option<usize>,

    /// The same range on both sides of zero, and no zero points
    #[arg(long)]
    pub(crate) symmetric: bool,

    /// The operators that take the weights: matmulnbits, or qdq for DequantizeLinear in blocks, from
    /// operator set 21 on
    #[arg(long, value_name = "NAME", value_parser = onnx_layout)]
    pub(crate) layout: Option<OnnxLayout>,

    /// MatMulNBits' accuracy_level: with 4, onnxruntime calculates with 8-bit activations
    #[arg(long, value_name = "0-4", value_parser = clap::value_parser!(i64).range(0..=4))]
    pub(crate) accuracy_level: Option<i64>,

    /// Leave nodes alone in whose name a regular expression (ECMAScript) is found; may be given more
    /// than once
    #[arg(long, value_name = "RE", value_parser = name_pattern)]
    pub(crate) exclude: Vec<NamePattern>,

    #[command(flatten)]
    pub(crate) save: OnnxSave,
}

#[derive(Args)]
#[command(next_help_heading = "ONNX models")]
pub(crate) struct OnnxSave {
    /// Whether data go to a file beside the model, OUT.data: auto (as in the input, and above 2 GiB),
    /// always or never
    #[arg(long, value_name = "WHEN", value_parser = external_data)]
    pub(crate) external_data: Option<ExternalData>,
}

impl OnnxOptions {
    pub(crate) fn wish(self, recipe: OnnxRecipe) -> OnnxQuantization {
        let mut wish = OnnxQuantization::new(recipe);
        wish.block_size = self.block_size.unwrap_or(wish.block_size);
        wish.symmetric = self.symmetric;
        wish.layout = self.layout.unwrap_or_default();
        wish.accuracy_level = self.accuracy_level;
        wish.exclude = self.exclude;
        wish.save = self.save.options();
        wish
    }

    /// Whether anything was asked for.
    pub(crate) fn any(&self) -> bool {
        self.block_size.is_some()
            || self.symmetric
            || self.layout.is_some()
            || self.accuracy_level.is_some()
            || !self.exclude.is_empty()
            || self.save.external_data.is_some()
    }
}

impl OnnxSave {
    pub(crate) fn options(&self) -> SaveOptions {
        let mut options = SaveOptions::default();
        options.external_data = self.external_data.unwrap_or_default();
        options
    }
}

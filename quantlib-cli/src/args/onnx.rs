//! What ONNX models may be told.

use super::{
    calibration_method, encodings_version, external_data, name_pattern, onnx_format, onnx_layout,
    onnx_override,
};
use clap::Args;
use quantlib::calibrate::{EncodingsVersion, Method};
use quantlib::format::onnx::{ExternalData, SaveOptions};
use quantlib::model::NamePattern;
use quantlib::recipe::onnx::{
    EncodingsFile, OnnxFormat, OnnxLayout, OnnxOverride, OnnxQuantization, OnnxRecipe,
};
use std::path::PathBuf;

#[derive(Args)]
#[command(next_help_heading = "ONNX models")]
pub(crate) struct OnnxOptions {
    /// Weights of a column that share a scale: 16, 32, 64, 128 or 256; 32 by default
    #[arg(long, value_name = "N")]
    pub(crate) block_size: Option<usize>,

    /// The same range on both sides of zero: no zero points, and for dynamic-int8 signed codes
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

    /// Leave an operator alone, such as Gemm; may be given more than once
    #[arg(long, value_name = "OP")]
    pub(crate) exclude_op: Vec<String>,

    /// The operators whose weights are quantized, of MatMul, Gemm, Conv and Gather; those of the recipe
    /// by default
    #[arg(long, value_name = "OP,…", value_delimiter = ',')]
    pub(crate) ops: Vec<String>,

    /// Another recipe, or keep, for nodes in whose name a regular expression is found, such as
    /// 'lm_head=int8'; the first that fits counts; may be given more than once
    #[arg(long, value_name = "RE=RECIPE", value_parser = onnx_override)]
    pub(crate) node: Vec<OnnxOverride>,

    /// dynamic-int8: one scale for a whole weight instead of one for each column
    #[arg(long)]
    pub(crate) per_tensor: bool,

    /// dynamic-int8: weights of 7 bits, for CPUs whose products of 8-bit integers saturate
    #[arg(long)]
    pub(crate) reduce_range: bool,

    /// fp16: inputs and outputs of the model stay f32
    #[arg(long)]
    pub(crate) keep_io: bool,

    /// The ranges of activations, which static-int8 and its like need: a .json or .encodings file of them
    /// (AIMET's scales and offsets are taken as they are); or samples to find them with, an .npz file or a
    /// folder of .npy files (arrays by input name, the first axis is the batch)
    #[arg(long, value_name = "PATH")]
    pub(crate) calibration: Option<PathBuf>,

    /// How ranges are found: mse (the default), minmax, moving-average, percentile, percentile:99.9,
    /// entropy
    #[arg(long, value_name = "NAME", value_parser = calibration_method, requires = "calibration")]
    pub(crate) calibration_method: Option<Method>,

    /// a8w8, a16w8, a16w4: write the scales and offsets of all values and weights to a JSON file, as
    /// AIMET and Qualcomm's tools read them
    #[arg(long, value_name = "FILE")]
    pub(crate) save_encodings: Option<PathBuf>,

    /// The version of that file: 0.6.1, 1.0.0 (the default) or 2.0.0
    #[arg(long, value_name = "VERSION", value_parser = encodings_version, requires = "save_encodings")]
    pub(crate) encodings_version: Option<EncodingsVersion>,

    /// The form of static-int8: qdq (QuantizeLinear and DequantizeLinear around operators, the default),
    /// or qoperator (QLinearMatMul, QLinearConv and so on)
    #[arg(long, value_name = "NAME", value_parser = onnx_format)]
    pub(crate) format: Option<OnnxFormat>,

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
        wish.exclude_operators = self.exclude_op;
        wish.operators = self.ops;
        wish.overrides = self.node;
        wish.per_tensor = self.per_tensor;
        wish.reduce_range = self.reduce_range;
        wish.keep_io = self.keep_io;
        wish.format = self.format.unwrap_or_default();
        let version = self.encodings_version.unwrap_or_default();
        let file = self.save_encodings;
        wish.encodings = file.map(|path| EncodingsFile { path, version });
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
            || !self.exclude_op.is_empty()
            || !self.ops.is_empty()
            || !self.node.is_empty()
            || self.per_tensor
            || self.reduce_range
            || self.keep_io
            || self.calibration.is_some()
            || self.save_encodings.is_some()
            || self.format.is_some()
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

//! `quantlib compare`

use super::name_pattern;
use crate::size;
use clap::Args;
use quantlib::model::NamePattern;
use std::path::PathBuf;

/// Show how far two models are apart
///
/// Tensors of the same name and shape are compared value by value; B is measured against A. A Hugging
/// Face folder beside a GGUF file is compared as what it would be converted to. The exit code is 0
/// whether or not there are differences, unless --exit-code is given.
#[derive(Args)]
#[command(after_help = "\
Columns, with a of A, b of B and n elements:
  SQNR    10 log10(sum a^2 / sum (a - b)^2), in dB; six more are one bit more
  RMSE    sqrt(sum (a - b)^2 / n)
  max     the largest |a - b|
  cosine  sum a b / sqrt(sum a^2 sum b^2)")]
pub(crate) struct Compare {
    /// A GGUF or safetensors file, or a folder with safetensors: the better one
    pub(crate) a: PathBuf,

    /// Another
    pub(crate) b: PathBuf,

    /// Compare only tensors whose name a regular expression (ECMAScript) finds
    #[arg(long, value_name = "RE", value_parser = name_pattern)]
    pub(crate) filter: Option<NamePattern>,

    /// Show the tensors with the lowest SQNR first, at most this many
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "4294967295")]
    pub(crate) worst: Option<usize>,

    /// Exit with code 1 if anything differs: tensors, types or metadata
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// Number of threads; 0 means all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Memory that tensors may take, such as 512M or 2G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size::parse)]
    pub(crate) memory_limit: u64,

    /// Print one JSON document in place of text
    #[arg(long)]
    pub(crate) json: bool,
}

//! `quantlib inspect`

use super::name_pattern;
use clap::Args;
use quantlib::model::NamePattern;
use std::path::PathBuf;

/// Show what a model file holds
///
/// Only headers are read, so this is quick for models of any size.
#[derive(Args)]
pub(crate) struct Inspect {
    /// A GGUF, safetensors or ONNX file, or a folder with safetensors
    pub(crate) file: PathBuf,

    /// List every tensor
    #[arg(long)]
    pub(crate) tensors: bool,

    /// Only tensors whose name a regular expression (ECMAScript) finds; lists them
    #[arg(long, value_name = "RE", value_parser = name_pattern)]
    pub(crate) filter: Option<NamePattern>,

    /// List every tensor, and show long values whole
    #[arg(long)]
    pub(crate) all: bool,

    /// Print one JSON document, with every tensor; long arrays only with --all
    #[arg(long)]
    pub(crate) json: bool,
}

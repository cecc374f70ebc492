//! `quantlib inspect`

use clap::Args;
use std::path::PathBuf;

/// Show what a model file holds
///
/// Only headers are read, so this is quick for models of any size.
#[derive(Args)]
pub(crate) struct Inspect {
    /// A GGUF or safetensors file, or a folder with safetensors
    pub(crate) file: PathBuf,

    /// List every tensor
    #[arg(long)]
    pub(crate) tensors: bool,

    /// List every tensor, and show long values whole
    #[arg(long)]
    pub(crate) all: bool,

    /// Print one JSON document, with every tensor; long arrays only with --all
    #[arg(long)]
    pub(crate) json: bool,
}

//! `quantlib extract`

use clap::Args;
use std::path::PathBuf;

/// Write one tensor of a model into a file
///
/// Floats and quantized types become f32 in a NumPy file (.npy), integers stay as they are.
#[derive(Args)]
pub(crate) struct Extract {
    /// A GGUF or safetensors file, or a folder with safetensors
    pub(crate) src: PathBuf,

    /// The tensor's name
    pub(crate) tensor: String,

    /// The file to write; it appears when it is complete
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,

    /// The bytes as they are stored, and nothing else
    #[arg(long)]
    pub(crate) raw: bool,
}

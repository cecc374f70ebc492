//! `quantlib split` and `quantlib merge`

use super::Job;
use crate::size;
use clap::Args;
use quantlib::rewrite::{SplitBy, SplitOptions};
use std::path::PathBuf;

/// Divide a GGUF file among several
///
/// The files are those that llama-gguf-split writes, byte for byte: OUT-00001-of-0000N.gguf and so on,
/// where an ending .gguf of OUT is left out. They appear when all are complete. llama.cpp and quantlib
/// open the whole model when the first is named.
#[derive(Args)]
pub(crate) struct Split {
    /// A GGUF file; any part of a split one stands for the whole model
    pub(crate) src: PathBuf,

    #[command(flatten)]
    pub(crate) job: Job,

    /// The most bytes of tensors in a file, such as 2G; here K, M and G are powers of 1000, as for
    /// llama-gguf-split
    #[arg(long, value_name = "SIZE", value_parser = size::parse_decimal, conflicts_with = "max_tensors")]
    max_size: Option<u64>,

    /// The most tensors in a file [default: 128]
    #[arg(long, value_name = "N")]
    max_tensors: Option<usize>,

    /// Put only metadata into the first file
    #[arg(long)]
    no_tensor_first_split: bool,
}

impl Split {
    pub(crate) fn options(&self) -> SplitOptions {
        let mut options = SplitOptions::default();
        options.no_tensor_first_split = self.no_tensor_first_split;
        if let Some(most) = self.max_tensors {
            options.by = SplitBy::Tensors(most);
        }
        if let Some(most) = self.max_size {
            options.by = SplitBy::Bytes(most);
        }
        options
    }
}

/// Join the parts of a split GGUF model into one file
///
/// The output is the file that llama-gguf-split --merge writes, byte for byte.
#[derive(Args)]
pub(crate) struct Merge {
    /// A part of the model, such as model-00001-of-00003.gguf; the others lie beside it
    pub(crate) src: PathBuf,

    #[command(flatten)]
    pub(crate) job: Job,
}

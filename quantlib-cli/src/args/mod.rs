//! The command line: what can be asked for, and the help that explains it.

mod compare;
mod convert;
mod edit;
mod extract;
mod inspect;
mod mlx;
mod onnx;
mod quantize;
mod split;
mod types;

pub(crate) use compare::Compare;
pub(crate) use convert::Convert;
pub(crate) use edit::Edit;
pub(crate) use extract::Extract;
pub(crate) use inspect::Inspect;
pub(crate) use mlx::Format;
pub(crate) use quantize::{Exceptions, Quantize, Target};
pub(crate) use split::{Merge, Split};
pub(crate) use types::Types;

use crate::size;
use clap::{Args as ClapArgs, Parser, Subcommand};
use quantlib::arch::{Lora, OutType};
use quantlib::calibrate::{EncodingsVersion, Method};
use quantlib::format::onnx::ExternalData;
use quantlib::model::NamePattern;
use quantlib::recipe::KvOverride;
use quantlib::recipe::mlx::LayerType;
use quantlib::recipe::onnx::{OnnxFormat, OnnxLayout, OnnxOverride};
use quantlib::{DType, GGML_VERSION, LLAMA_CPP_VERSION};
use std::path::PathBuf;
use std::sync::LazyLock;

/// Quantize neural networks and convert model files, with the bytes that llama.cpp writes.
#[derive(Parser)]
#[command(name = "quantlib", version = version(), arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  quantlib quantize my-model -o my-model-q4_k_m.gguf -t q4_k_m
  quantlib quantize my-model-f16.gguf -o my-model-q8_0.gguf -t q8_0 --dry-run
  quantlib quantize model.onnx -o model-int4.onnx -t int4
  quantlib quantize my-model -o my-model-4bit --to mlx -t mlx-4bit
  quantlib convert my-model -o my-model-f16.gguf -t f16
  quantlib inspect my-model-q4_k_m.gguf --tensors
  quantlib compare my-model my-model-q4_k_m.gguf --worst 10
  quantlib split my-model-f16.gguf -o my-model --max-size 2G
  quantlib merge my-model-00001-of-00003.gguf -o my-model.gguf

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The docs of the arguments are the commands' descriptions.
#[derive(Subcommand)]
pub(crate) enum Command {
    Quantize(Box<Quantize>),
    Convert(Convert),
    Inspect(Inspect),
    Compare(Compare),
    Split(Split),
    Merge(Merge),
    Edit(Box<Edit>),
    Extract(Extract),
    Types(Types),
}

/// What is added to a Hugging Face folder's weights first.
#[derive(ClapArgs)]
pub(crate) struct Adapters {
    /// Merge a LoRA adapter (a PEFT folder) into the weights of the Hugging Face folder first, by a
    /// factor if one is given, such as my-lora:0.5; may be given more than once
    #[arg(long = "lora", value_name = "DIR[:SCALE]", value_parser = lora)]
    pub(crate) loras: Vec<Lora>,
}

/// How a job runs; none of it changes the bytes that are written.
#[derive(ClapArgs)]
pub(crate) struct Job {
    /// The file or folder to write; it appears when it is complete, and replaces an old one only then
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,

    /// Number of threads; 0 means all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Memory that tensors may take, such as 512M or 2G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size::parse)]
    pub(crate) memory_limit: u64,

    /// Show what would be written, tensor by tensor, without writing it
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print one JSON document on standard output in place of text
    #[arg(long)]
    pub(crate) json: bool,
}

fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let own = env!("CARGO_PKG_VERSION");
        format!("{own} (the bytes of llama.cpp {LLAMA_CPP_VERSION}, ggml {GGML_VERSION})")
    });
    &VERSION
}

/// Parsers of one type each, as clap wants them.
macro_rules! parsers {
    ($($name:ident: $type:ty;)*) => {$(
        fn $name(text: &str) -> Result<$type, quantlib::Error> {
            text.parse()
        }
    )*};
}
parsers! {
    calibration_method: Method;
    encodings_version: EncodingsVersion;
    external_data: ExternalData;
    onnx_format: OnnxFormat;
    onnx_layout: OnnxLayout;
    onnx_override: OnnxOverride;
    out_type: OutType;
    lora: Lora;
    dtype: DType;
    kv_override: KvOverride;
    name_pattern: NamePattern;
    layer_type: LayerType;
}

//! The command line: what can be asked for, and the help that explains it.

use crate::size;
use crate::tensor_types::TensorTypes;
use clap::{Args as ClapArgs, Parser, Subcommand};
use quantlib::arch::OutType;
use quantlib::recipe::{KvOverride, Recipe};
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
  quantlib convert my-model -o my-model-f16.gguf -t f16
  quantlib inspect my-model-q4_k_m.gguf --tensors

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
    Types(Types),
}

/// Quantize a Hugging Face folder or a GGUF file into a GGUF file
///
/// The output is the file that llama-quantize writes, byte for byte; for a Hugging Face folder, the
/// one that convert_hf_to_gguf.py and then llama-quantize write, with no file between. Tensors are
/// streamed, so the model may be larger than the memory.
#[derive(ClapArgs)]
pub(crate) struct Quantize {
    /// A Hugging Face folder (config.json, safetensors, tokenizer) or a GGUF file, the first part
    /// of a split one included
    pub(crate) src: PathBuf,

    /// What most tensors become, such as q4_k_m or q8_0; `quantlib types` lists all recipes
    #[arg(short = 't', long = "type", value_name = "NAME", value_parser = recipe)]
    pub(crate) recipe: Recipe,

    #[command(flatten)]
    pub(crate) job: Job,

    /// The same as --memory-limit, in MiB, as llama-quantize has it
    #[arg(long, value_name = "MIB", conflicts_with = "memory_limit", value_parser = size::mebibytes)]
    pub(crate) max_buffer_size: Option<u64>,

    /// Encode NaN and infinite weights as zeros instead of refusing them
    #[arg(long)]
    pub(crate) zero_non_finite: bool,

    /// The tokenizer's kind (tokenizer.ggml.pre), where a folder's is not recognized
    #[arg(long, value_name = "NAME")]
    pub(crate) pre: Option<String>,

    #[command(flatten)]
    pub(crate) exceptions: Exceptions,
}

/// Convert a Hugging Face folder into a GGUF file
///
/// The output is the file that convert_hf_to_gguf.py writes, byte for byte.
#[derive(ClapArgs)]
pub(crate) struct Convert {
    /// A Hugging Face folder: config.json, safetensors, tokenizer
    pub(crate) src: PathBuf,

    /// The type of matrices: f32, f16, bf16, q8_0 or auto; auto is bf16 or f16, as the model is
    /// stored
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "auto", value_parser = out_type)]
    pub(crate) outtype: OutType,

    #[command(flatten)]
    pub(crate) job: Job,

    /// The tokenizer's kind (tokenizer.ggml.pre), where it is not recognized
    #[arg(long, value_name = "NAME")]
    pub(crate) pre: Option<String>,

    /// The model's name (general.name), in place of what the folder says
    #[arg(long, value_name = "NAME")]
    pub(crate) model_name: Option<String>,
}

/// How a job runs; none of it changes the bytes that are written.
#[derive(ClapArgs)]
pub(crate) struct Job {
    /// The file to write; it appears when it is complete, and replaces an old one only then
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

/// Exceptions from the recipe, named like llama-quantize's options.
#[derive(ClapArgs)]
#[command(next_help_heading = "Choice of types")]
pub(crate) struct Exceptions {
    /// One type for every tensor that can have it, instead of the recipe's mixture
    #[arg(long)]
    pub(crate) pure: bool,

    /// Leave output.weight as it is stored
    #[arg(long)]
    pub(crate) leave_output_tensor: bool,

    /// The type of output.weight
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    pub(crate) output_tensor_type: Option<DType>,

    /// The type of the token embeddings
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    pub(crate) token_embedding_type: Option<DType>,

    #[command(flatten)]
    pub(crate) tensor_types: TensorTypes,

    /// Weigh columns by an importance matrix that llama-imatrix or quantlib made: a GGUF or .dat file
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,

    /// Use importance only for tensors whose name has this part; may be given more than once
    #[arg(long, value_name = "NAME", conflicts_with = "exclude_weights")]
    pub(crate) include_weights: Vec<String>,

    /// Use no importance for tensors whose name has this part; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_weights: Vec<String>,

    /// Quantize tensors again that are quantized already; quality suffers
    #[arg(long)]
    pub(crate) allow_requantize: bool,

    /// Leave out layers, such as 3,7,11; the rest are renumbered
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub(crate) prune_layers: Vec<u32>,

    /// Set a metadata key, such as llama.context_length=int:4096, with int, float, bool or str as
    /// the type; may be given more than once
    #[arg(long, value_name = "KEY=TYPE:VALUE", value_parser = kv_override)]
    pub(crate) override_kv: Vec<KvOverride>,
}

/// Show what a model file holds
///
/// Only headers are read, so this is quick for models of any size.
#[derive(ClapArgs)]
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

/// List the tensor types and the recipes
#[derive(ClapArgs)]
pub(crate) struct Types {
    /// Print one JSON document in place of text
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
    recipe: Recipe;
    out_type: OutType;
    dtype: DType;
    kv_override: KvOverride;
}

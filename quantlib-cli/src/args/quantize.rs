//! `quantlib quantize`

use super::mlx::{Format, MlxOptions};
use super::onnx::OnnxOptions;
use super::{Adapters, Job, dtype, kv_override};
use crate::size;
use crate::tensor_types::TensorTypes;
use clap::Args;
use quantlib::DType;
use quantlib::Error;
use quantlib::recipe::mlx::MlxRecipe;
use quantlib::recipe::onnx::OnnxRecipe;
use quantlib::recipe::{KvOverride, Recipe};
use std::path::PathBuf;

/// Quantize a Hugging Face folder or a GGUF file into a GGUF file, a folder into one for MLX, or an
/// ONNX model into another
///
/// A GGUF file is the one that llama-quantize writes, byte for byte; for a Hugging Face folder, the
/// one that convert_hf_to_gguf.py and then llama-quantize write, with no file between. Tensors are
/// streamed, so the model may be larger than the memory.
#[derive(Args)]
pub(crate) struct Quantize {
    /// A Hugging Face folder (config.json, safetensors, tokenizer), a GGUF file, the first part of a
    /// split one included, or an ONNX model
    pub(crate) src: PathBuf,

    /// What most tensors become, such as q4_k_m or q8_0; `quantlib types` lists all recipes. For ONNX
    /// models int4, int8, dynamic-int8 or fp16; for MLX folders mlx-4bit and so on
    #[arg(short = 't', long = "type", value_name = "NAME", value_parser = Target::parse)]
    pub(crate) target: Target,

    /// The kind of output, which the type tells too
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Format>,

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
    pub(crate) adapters: Adapters,

    #[command(flatten)]
    pub(crate) exceptions: Exceptions,

    #[command(flatten)]
    pub(crate) onnx: OnnxOptions,

    #[command(flatten)]
    pub(crate) mlx: MlxOptions,
}

/// A recipe, whose name tells the kind of output.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Gguf(Recipe),
    Onnx(OnnxRecipe),
    Mlx(MlxRecipe),
}

impl Target {
    fn parse(name: &str) -> Result<Self, Error> {
        if MlxRecipe::is_name(name) {
            return name.parse().map(Self::Mlx);
        }
        match name.parse() {
            Ok(recipe) => Ok(Self::Onnx(recipe)),
            Err(_) => name.parse().map(Self::Gguf),
        }
    }

    /// The kind of output.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Gguf(_) => Format::Gguf,
            Self::Onnx(_) => Format::Onnx,
            Self::Mlx(_) => Format::Mlx,
        }
    }
}

/// Exceptions from the recipe, named like llama-quantize's options.
#[derive(Args)]
#[command(next_help_heading = "Choice of types")]
pub(crate) struct Exceptions {
    /// One type for every tensor that can have it, instead of the recipe's mixture; of ONNX models no
    /// product keeps more bits because it is sensitive
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

    /// Write one file for each input file, NAME-00001-of-0000N.gguf and so on; tensors stay in the
    /// input's order
    #[arg(long)]
    pub(crate) keep_split: bool,

    /// Leave out layers, such as 3,7,11; the rest are renumbered
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub(crate) prune_layers: Vec<u32>,

    /// Set a metadata key, such as llama.context_length=int:4096, with int, float, bool or str as
    /// the type; may be given more than once
    #[arg(long, value_name = "KEY=TYPE:VALUE", value_parser = kv_override)]
    pub(crate) override_kv: Vec<KvOverride>,
}

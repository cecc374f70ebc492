//! `quantlib convert`

use super::mlx::{Format, MlxFolder};
use super::onnx::OnnxSave;
use super::{Adapters, Job, out_type};
use clap::Args;
use quantlib::arch::OutType;
use std::path::PathBuf;

/// Convert a Hugging Face or MLX folder or a LoRA adapter into a GGUF file, or into a folder of either kind
///
/// The output is the file that convert_hf_to_gguf.py writes, byte for byte, or convert_lora_to_gguf.py
/// for the folder of a PEFT adapter. An ONNX model is copied, with its data moved if that is asked for.
#[derive(Args)]
pub(crate) struct Convert {
    /// A Hugging Face or MLX folder (config.json, safetensors, tokenizer), or that of a PEFT adapter
    /// (adapter_config.json, adapter_model.safetensors); a GGUF file, for a folder; or an ONNX model
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

    #[command(flatten)]
    pub(crate) adapters: Adapters,

    /// For an adapter: the folder of the model that it is for (its config.json suffices), if
    /// adapter_config.json does not name it
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,

    /// The kind of output: gguf, or mlx or hf for a folder
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Format>,

    #[command(flatten)]
    pub(crate) onnx: OnnxSave,

    #[command(flatten)]
    pub(crate) mlx: MlxFolder,
}

//! Model families, declared: names, hyper-parameters and tensor expressions.
//!
//! [`convert_plan`] turns a Hugging Face folder into the plan of a GGUF file, the one that
//! convert_hf_to_gguf.py of llama.cpp writes. What it knows of an architecture is one
//! description in `families`; docs/adding-an-architecture.md says how to write another.

mod convert;
#[cfg(test)]
mod facts;
mod families;
mod family;
mod fp8;
mod general;
mod hparams;
mod keys;
mod long_rope;
mod lora;
mod mlx;
mod modalities;
mod names;
mod outtype;
mod params;
mod rewrite;
mod rope_factors;
mod stacks;
mod tensors;

pub use convert::{ConvertOptions, convert_plan, tensor_names};
pub use lora::{Lora, attach as attach_loras, convert_adapter_plan};
pub use mlx::{HfSource, MlxSource, as_blocks, draft as mlx_draft, gguf_draft, hf_draft};
pub use outtype::OutType;

/// The model classes (as `architectures` in config.json names them) that can be converted.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    families::ALL
        .iter()
        .flat_map(|family| family.classes.iter().copied())
}

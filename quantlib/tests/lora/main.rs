//! LoRA adapters: merged into a base model, or as GGUF files of their own.
#![cfg(feature = "hf")]

mod convert;
mod merge;
mod refusals;
mod support;

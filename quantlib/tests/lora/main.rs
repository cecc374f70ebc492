//! LoRA adapters, merged into a base model.
#![cfg(feature = "hf")]

mod merge;
mod refusals;
mod support;

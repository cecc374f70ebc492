//! Recipes against llama-quantize: the types that it chooses, and whole files.

mod cases;
mod files;
mod imatrix;
#[cfg(feature = "hf")]
mod one_pass;
mod peer;
mod refusals;
mod selection;
mod small_models;
mod split;

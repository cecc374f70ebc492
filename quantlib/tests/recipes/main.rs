//! Recipes against llama-quantize: the types that it chooses, and whole files.

mod cases;
mod files;
mod peer;
mod selection;
mod small_models;

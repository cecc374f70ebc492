//! PEFT adapter folders: low-rank updates (LoRA) of a base model's matrices.

mod adapter;
mod config;

pub use adapter::{Adapter, LowRank, Placement};
pub use config::AdapterConfig;

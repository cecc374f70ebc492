//! LoRA adapters: merged into the base model that is converted, or converted for themselves.

mod merge;
mod wish;

pub use merge::attach;
pub(super) use merge::merge;
pub use wish::Lora;

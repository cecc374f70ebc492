//! LoRA adapters: merged into the base model that is converted, or converted for themselves.

mod convert;
mod merge;
mod pair;
mod wish;

pub use convert::convert_adapter_plan;
pub use merge::attach;
pub(super) use merge::merge;
pub use wish::Lora;

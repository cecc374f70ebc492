//! Containers, which know nothing of each other, and the dialects over them.

#[cfg(feature = "hf")]
pub mod hf;

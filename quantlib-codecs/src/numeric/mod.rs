//! Small floating-point types as files hold them: little-endian bytes of alignment 1, converted by
//! integer arithmetic that equals ggml's on every bit pattern and vectorizes.

mod bf16;
mod f16;
pub mod f8;

pub(crate) use bf16::Bf16;
pub(crate) use f16::F16;

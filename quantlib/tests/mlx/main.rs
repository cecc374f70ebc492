//! MLX folders: against what mlx_lm writes, as input, and with wrong input.
#![cfg(feature = "hf")]

mod back;
mod folders;
mod golden;
mod refusals;
mod support;

//! MLX folders: against what mlx_lm writes, and with wrong input.
#![cfg(feature = "hf")]

mod golden;
mod support;

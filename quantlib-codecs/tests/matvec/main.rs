//! Products of encoded rows with a vector: bit for bit as docs/matvec.md defines them, on every
//! instruction set, near what exact arithmetic gives, and near ggml's.

mod data;
mod floats;
mod ggml_cpu;
mod integers;
mod refusals;

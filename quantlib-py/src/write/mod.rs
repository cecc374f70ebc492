//! `GGUFWriter` and `save`.

mod source;
mod writer;

pub(crate) use source::Source;
pub use writer::{GgufWriter, save};

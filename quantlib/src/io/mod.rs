//! Files: positional reads, limits on what a file may claim, and outputs that appear whole or not at all.

mod limits;
mod output;
mod source;

pub use limits::Limits;
pub(crate) use output::OutputSet;
pub(crate) use source::FileSource;

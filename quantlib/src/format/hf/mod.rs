//! Hugging Face model folders: configuration, tokenizer and weights in files of their own.

mod folder;
mod vocab;

pub use folder::{Folder, Object};
pub(crate) use vocab::token_count;
pub use vocab::{VocabOptions, VocabStyle, vocab};

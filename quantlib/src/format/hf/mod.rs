//! Hugging Face model folders: configuration, tokenizer and weights in files of their own.

mod folder;

pub use folder::{Folder, Object};

//! The list of tokens that goes into a file.

use crate::error::{Error, Result};
use crate::model::{Array, Metadata, StringArray, Value};

/// Most tokens that a vocabulary may claim to have; real ones have up to 262 thousand.
const MAX_TOKENS: u64 = 1 << 22;

/// What a token is for, with GGUF's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum TokenType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Tokens with their types and, for SentencePiece-like models, scores.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub texts: Vec<String>,
    pub types: Vec<TokenType>,
    /// Empty where the model has none.
    pub scores: Vec<f32>,
}

impl Tokens {
    pub(super) fn push(&mut self, text: String, kind: TokenType) {
        self.texts.push(text);
        self.types.push(kind);
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Writes the `tokenizer.ggml.*` keys of the list in the converter's order.
    pub(super) fn write(self, model: &str, pre: &str, out: &mut Metadata) {
        let mut set = |key: &str, value: Value| {
            out.insert(format!("tokenizer.ggml.{key}"), value);
        };
        set("model", model.into());
        set("pre", pre.into());
        if self.texts.is_empty() {
            return;
        }
        let texts: StringArray = self.texts.iter().collect();
        set("tokens", Array::String(texts).into());
        if !self.scores.is_empty() {
            set("scores", Array::F32(self.scores).into());
        }
        let types = self.types.iter().map(|&kind| kind as i32).collect();
        set("token_type", Array::I32(types).into());
    }
}

/// The text of an id that no token has.
pub(super) fn padding(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Checks a vocabulary size that a file claims.
pub(super) fn check_size(size: u64) -> Result<usize> {
    if size > MAX_TOKENS {
        return Err(Error::limit(format!(
            "a vocabulary of {size} tokens is more than the {MAX_TOKENS} that are accepted"
        )));
    }
    Ok(size as usize)
}

/// Whether a token is meant to control the model although its file does not say so: some models
/// forget to mark theirs as special.
pub(super) fn looks_special(text: &str) -> bool {
    let framed = |start: &str, end: &str| text.starts_with(start) && text.ends_with(end);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || framed("<|", "|>")
        || framed("<\u{ff5c}", "\u{ff5c}>")
        || framed("<unused", ">")
}

/// A user-defined token as llama.cpp wants it: with spaces for SentencePiece's space marks.
pub(super) fn plain_spaces(text: &str) -> String {
    text.replace('\u{2581}', " ")
}

//! SentencePiece-like BPE of a `tokenizer.json` without its `tokenizer.model`.

use super::auto::AutoTokenizer;
use super::files::Files;
use super::json::truthy;
use super::tokens::{TokenType, Tokens};
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use serde_json::Value;
use std::collections::HashSet;

/// The score of every token, since the file has none.
const SCORE: f32 = -1000.0;

/// Whether the description is that of a SentencePiece model: BPE that falls back to bytes.
pub(super) fn applies(files: &Files) -> bool {
    let Some(model) = files.model() else {
        return false;
    };
    let decoder = files
        .json
        .as_ref()
        .and_then(|json| json.get("decoder")?.get("type"));
    model.get("type").and_then(Value::as_str) == Some("BPE")
        && model.get("byte_fallback").is_some_and(truthy)
        && decoder.and_then(Value::as_str) == Some("Sequence")
}

/// The base vocabulary, then the added tokens beyond it.
///
/// # Errors
/// `malformed` if the base vocabulary has gaps.
pub(super) fn tokens(folder: &Folder, files: &mut Files) -> Result<Tokens> {
    let tokenizer = AutoTokenizer::load(folder, files)?;
    let specials = tokenizer.special_ids();
    let base = tokenizer.base_size();
    let vocab = tokenizer.vocab();
    let mut tokens = Tokens::default();
    for id in 0..base {
        let text = u32::try_from(id)
            .ok()
            .and_then(|id| vocab.get(&id))
            .ok_or_else(|| {
                Error::malformed(format!(
                    "no token has the id {id}, but the vocabulary has {base} tokens"
                ))
                .in_file(folder.path().join("tokenizer.json"))
            })?;
        tokens.push(text.clone(), base_type(text, id as u32, &specials));
    }
    for (id, token) in tokenizer.added() {
        if id as usize >= base {
            let kind = match specials.contains(&id) {
                true => TokenType::Control,
                false => TokenType::UserDefined,
            };
            tokens.push(token.content, kind);
        }
    }
    tokens.scores = vec![SCORE; tokens.len()];
    Ok(tokens)
}

fn base_type(text: &str, id: u32, specials: &HashSet<u32>) -> TokenType {
    if is_byte(text) {
        TokenType::Byte
    } else if specials.contains(&id) {
        TokenType::Control
    } else {
        TokenType::Normal
    }
}

/// Whether the text is like `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|text| text.strip_suffix('>'));
    digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

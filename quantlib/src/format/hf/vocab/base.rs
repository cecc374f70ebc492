//! Vocabularies of byte-level BPE and WordPiece models, as `AutoTokenizer` loads them.

use super::auto::AutoTokenizer;
use super::files::Files;
use super::tokens::{TokenType, Tokens, check_size, looks_special, padding, plain_spaces};
use super::{VocabOptions, pre};
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use tokenizers::AddedToken;

/// The tokens and the name of the pre-tokenizer.
pub(super) struct Base {
    pub tokens: Tokens,
    pub pre: String,
}

impl Base {
    /// Loads the vocabulary, padded to the configured size.
    ///
    /// # Errors
    /// `malformed` if a token's id is not below `vocab_size`, and whatever loading the tokenizer finds.
    pub(super) fn load(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Self> {
        let tokenizer = AutoTokenizer::load(folder, files)?;
        let vocab = tokenizer.vocab();
        let size = match options.vocab_size {
            Some(size) => check_size(size).map_err(|e| {
                e.in_file(folder.path().join("config.json"))
                    .in_key("vocab_size")
            })?,
            None => vocab.len(),
        };
        if let Some((id, text)) = vocab
            .last_key_value()
            .filter(|(id, _)| **id as usize >= size)
        {
            return Err(Error::malformed(format!(
                "the token {text:?} has the id {id}, but the vocabulary has {size} tokens; \
                 correct vocab_size in config.json"
            ))
            .in_file(folder.path().join("tokenizer.json")));
        }
        let pre = match &options.pre {
            Some(pre) => pre.clone(),
            None => pre::recognize(&tokenizer)
                .map_err(|e| e.in_file(folder.path()))?
                .to_owned(),
        };
        let added = tokenizer.added();
        let mut tokens = Tokens::default();
        for id in 0..size {
            let key = id as u32;
            match (vocab.get(&key), added.get(&key)) {
                (None, _) => tokens.push(padding(id), TokenType::Unused),
                (Some(text), None) => tokens.push(text.clone(), TokenType::Normal),
                (Some(_), Some(token)) => {
                    let (text, kind) = added_token(&tokenizer, token)?;
                    tokens.push(text, kind);
                }
            }
        }
        Ok(Self { tokens, pre })
    }
}

/// llama.cpp matches added tokens against the text as it is, so they are stored as they come out of
/// the tokenizer.
fn added_token(tokenizer: &AutoTokenizer, token: &AddedToken) -> Result<(String, TokenType)> {
    let text = match token.normalized {
        true => token.content.clone(),
        false => tokenizer.round_trip(&token.content)?,
    };
    Ok(match token.special || looks_special(&text) {
        true => (text, TokenType::Control),
        false => (plain_spaces(&text), TokenType::UserDefined),
    })
}

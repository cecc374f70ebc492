//! SentencePiece vocabularies: `tokenizer.model` with what JSON files add to it.

use super::files::Files;
use super::proto::{Field, Message};
use super::tokens::{TokenType, Tokens, check_size, looks_special, padding, plain_spaces};
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use serde_json::Value;
use std::collections::HashSet;

/// Longest `tokenizer.model`; those of 256 thousand tokens have 4 MB.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// The score of tokens that JSON files add.
const ADDED_SCORE: f32 = -1000.0;

/// The score of ids that no token has.
const PADDING_SCORE: f32 = -10000.0;

/// One piece of a SentencePiece model.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: u64,
}

/// The tokens of the folder's `tokenizer.model`, padded or cut to `vocab_size`; `None` without one.
pub(super) fn tokens(
    folder: &Folder,
    files: &Files,
    vocab_size: Option<u64>,
) -> Result<Option<Tokens>> {
    let Some(mut list) = List::read(folder, vocab_size.filter(|&size| size > 0))? else {
        return Ok(None);
    };
    list.add_decoder(files)
        .map_err(|e| e.in_file(folder.path().join("tokenizer_config.json")))?;
    Ok(Some(list.0))
}

/// The same, where the added tokens of both JSON files count as they are and must fit.
pub(super) fn exact_tokens(
    folder: &Folder,
    files: &Files,
    vocab_size: Option<u64>,
) -> Result<Option<Tokens>> {
    let Some(mut list) = List::read(folder, vocab_size)? else {
        return Ok(None);
    };
    if let Some(Value::Object(decoder)) = files.option("added_tokens_decoder") {
        for (id, token) in decoder {
            let added = list.add_exact(id.trim().parse().ok(), token);
            added.map_err(|e| e.in_file(folder.path().join("tokenizer_config.json")))?;
        }
    }
    let added = files
        .json
        .as_ref()
        .map(|json| super::json::list(json, "added_tokens"));
    for token in added.into_iter().flatten() {
        let added = list.add_exact(token.get("id").and_then(Value::as_u64), token);
        added.map_err(|e| e.in_file(folder.path().join("tokenizer.json")))?;
    }
    Ok(Some(list.0))
}

pub(super) fn token_type(kind: u64) -> TokenType {
    match kind {
        2 => TokenType::Unknown,
        3 => TokenType::Control,
        5 => TokenType::Unused,
        6 => TokenType::Byte,
        // User-defined pieces (4) stay normal.
        _ => TokenType::Normal,
    }
}

/// Tokens by id, all slots filled.
pub(super) struct List(pub Tokens);

impl List {
    pub(super) fn new(size: usize) -> Self {
        Self(Tokens {
            texts: (0..size).map(padding).collect(),
            types: vec![TokenType::Unused; size],
            scores: vec![PADDING_SCORE; size],
        })
    }

    /// The pieces of the folder's model and the tokens of an `added_tokens.json`, padded or cut
    /// to a size; `None` without a model.
    fn read(folder: &Folder, size: Option<u64>) -> Result<Option<Self>> {
        let Some(bytes) = folder.bytes("tokenizer.model", MAX_BYTES)? else {
            return Ok(None);
        };
        let pieces = parse(&bytes).map_err(|e| e.in_file(folder.path().join("tokenizer.model")))?;
        let size = match size {
            Some(size) => check_size(size)?,
            None => pieces.len(),
        };
        let mut list = Self::new(size);
        for (id, piece) in pieces.into_iter().enumerate().take(size) {
            list.set(id, piece.text, piece.score, token_type(piece.kind));
        }
        list.add_legacy(folder)?;
        Ok(Some(list))
    }

    /// Adds a token as it is.
    fn add_exact(&mut self, id: Option<u64>, token: &Value) -> Result<()> {
        let text = token.get("content").and_then(Value::as_str);
        let (Some(id), Some(text)) = (id, text) else {
            return Err(Error::malformed("an added token has no id or no content"));
        };
        if clamp(id) >= self.0.len() {
            return Err(Error::malformed(format!(
                "the added token {text:?} has the id {id}, but the vocabulary has {} tokens",
                self.0.len()
            )));
        }
        let kind = match token.get("special").is_some_and(super::json::truthy) {
            true => TokenType::Control,
            false => TokenType::UserDefined,
        };
        self.set(clamp(id), text.to_owned(), ADDED_SCORE, kind);
        Ok(())
    }

    /// Sets a token; ids beyond the vocabulary are left out.
    pub(super) fn set(&mut self, id: usize, text: String, score: f32, kind: TokenType) {
        let tokens = &mut self.0;
        if id < tokens.len() {
            tokens.texts[id] = text;
            tokens.scores[id] = score;
            tokens.types[id] = kind;
        }
    }

    /// Adds the tokens of an `added_tokens.json`: text to id.
    fn add_legacy(&mut self, folder: &Folder) -> Result<()> {
        for (text, id) in folder.object("added_tokens.json")?.unwrap_or_default() {
            let id = id.as_u64().ok_or_else(|| {
                Error::malformed(format!("{id} is no id for the token {text:?}"))
                    .in_file(folder.path().join("added_tokens.json"))
            })?;
            self.set(clamp(id), text, ADDED_SCORE, TokenType::UserDefined);
        }
        Ok(())
    }

    /// Adds the tokens of `added_tokens_decoder`: id to description.
    fn add_decoder(&mut self, files: &Files) -> Result<()> {
        let Some(Value::Object(decoder)) = files.option("added_tokens_decoder") else {
            return Ok(());
        };
        for (id, token) in decoder {
            let bad = || {
                Error::malformed(format!("the entry {id:?} is no added token"))
                    .in_key("added_tokens_decoder")
            };
            let id = id.trim().parse().map_err(|_| bad())?;
            let text = token
                .get("content")
                .and_then(Value::as_str)
                .ok_or_else(bad)?;
            let special = token.get("special").is_some_and(super::json::truthy);
            let (text, kind) = match special || looks_special(text) {
                true => (text.to_owned(), TokenType::Control),
                false => (plain_spaces(text), TokenType::UserDefined),
            };
            self.set(clamp(id), text, ADDED_SCORE, kind);
        }
        Ok(())
    }
}

fn clamp(id: u64) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// Parses a SentencePiece model: field 1 of the message repeats for every piece.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        if let (1, Field::Bytes(piece)) = (number, field) {
            pieces.push(
                parse_piece(piece).map_err(|e| e.in_key(format!("pieces[{}]", pieces.len())))?,
            );
        }
    }
    check(&pieces)?;
    Ok(pieces)
}

/// A piece: text (1), score (2, a 32-bit float), type (3, normal by default).
fn parse_piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: 1,
    };
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => {
                let text = std::str::from_utf8(text);
                piece.text = text
                    .map_err(|_| Error::malformed("is not UTF-8"))?
                    .to_owned();
            }
            (2, Field::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Field::Varint(kind)) => piece.kind = kind,
            _ => {}
        }
    }
    Ok(piece)
}

/// What SentencePiece itself asks of a model when it loads one.
fn check(pieces: &[Piece]) -> Result<()> {
    let mut seen = HashSet::with_capacity(pieces.len());
    for (id, piece) in pieces.iter().enumerate() {
        if piece.text.is_empty() {
            return Err(Error::malformed(format!("piece {id} is empty")));
        }
        if !seen.insert(piece.text.as_str()) {
            return Err(Error::malformed(format!(
                "the piece {:?} occurs twice",
                piece.text
            )));
        }
    }
    match pieces.iter().filter(|piece| piece.kind == 2).count() {
        1 => Ok(()),
        0 => Err(Error::malformed(
            "is no SentencePiece model: it has no unknown piece",
        )),
        _ => Err(Error::malformed("has several unknown pieces")),
    }
}

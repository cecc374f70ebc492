//! The `tokenizers` library behind a guard: what it is given is checked, and a panic becomes an error.

use super::json::list;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::{AddedToken, Tokenizer};

/// Longest prefix or suffix that a model may put on every piece of a word, in bytes.
const MAX_AFFIX: usize = 256;

/// How much normalizers and their like may lengthen a text, as a power of two.
const MAX_GROWTH_BITS: f64 = 24.0;

/// A tokenizer that was built from a `tokenizer.json`-like description.
#[derive(Debug)]
pub(super) struct Backend {
    tokenizer: Tokenizer,
}

impl Backend {
    /// Builds a tokenizer.
    ///
    /// # Errors
    /// `malformed` if the description is inconsistent, `limit` if it asks for absurd amounts of text.
    pub(super) fn build(description: &Value) -> Result<Self> {
        check_growth(description)?;
        check_model(&description["model"])?;
        let tokenizer = guard("cannot be loaded", || {
            Tokenizer::deserialize(description).map_err(|e| e.to_string())
        })?;
        Ok(Self { tokenizer })
    }

    /// Adds tokens; those that the vocabulary has keep their ids.
    pub(super) fn add_tokens(&mut self, tokens: Vec<AddedToken>) -> Result<()> {
        let tokenizer = &mut self.tokenizer;
        guard("rejects an added token", || {
            tokenizer.add_tokens(tokens).map_err(|e| e.to_string())
        })?;
        Ok(())
    }

    /// Splits special tokens like any text from now on.
    pub(super) fn split_special_tokens(&mut self) {
        self.tokenizer.set_encode_special_tokens(true);
    }

    /// The ids of a text, with or without what the post-processor adds.
    pub(super) fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        guard("fails on a text", || {
            let encoding = self.tokenizer.encode(text, add_special_tokens);
            Ok(encoding.map_err(|e| e.to_string())?.get_ids().to_vec())
        })
    }

    /// The text of ids.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        guard("fails on a list of ids", || {
            self.tokenizer.decode(ids, false).map_err(|e| e.to_string())
        })
    }

    /// Texts by id, those of added tokens included.
    pub(super) fn vocab(&self) -> BTreeMap<u32, String> {
        let ids = self.tokenizer.get_vocab(true).into_values();
        ids.filter_map(|id| Some((id, self.tokenizer.id_to_token(id)?)))
            .chain(
                self.added()
                    .into_iter()
                    .map(|(id, token)| (id, token.content)),
            )
            .collect()
    }

    /// Number of tokens without the added ones.
    pub(super) fn base_size(&self) -> usize {
        self.tokenizer.get_vocab_size(false)
    }

    pub(super) fn added(&self) -> BTreeMap<u32, AddedToken> {
        self.tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .collect()
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }
}

/// Runs library code on data from a file.
fn guard<T>(what: &str, run: impl FnOnce() -> Result<T, String>) -> Result<T> {
    let reason = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(reason)) => reason,
        Err(_) => "its parts contradict each other".to_owned(),
    };
    Err(Error::malformed(format!("the tokenizer {what}: {reason}")))
}

/// Checks what the library takes for granted: that merges join tokens of the vocabulary to others.
fn check_model(model: &Value) -> Result<()> {
    let affix = |key: &str| model.get(key).and_then(Value::as_str).unwrap_or_default();
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if affix(key).len() > MAX_AFFIX {
            return Err(Error::limit(format!("is longer than {MAX_AFFIX} bytes"))
                .in_key(format!("model.{key}")));
        }
    }
    let Some(Value::Object(vocab)) = model.get("vocab") else {
        return Ok(());
    };
    let prefix = affix("continuing_subword_prefix");
    let mut joined = String::new();
    for (rank, merge) in list(model, "merges").iter().enumerate() {
        let complete = halves(merge).is_some_and(|(left, right)| {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right.get(prefix.len()..).unwrap_or_default());
            [left, right, &joined]
                .iter()
                .all(|token| vocab.contains_key(*token))
        });
        if !complete {
            return Err(Error::malformed(format!(
                "merge {rank}, {merge}, does not join two tokens of the vocabulary to a third"
            ))
            .in_key("model.merges"));
        }
    }
    Ok(())
}

fn halves(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(merge) => merge.split_once(' '),
        Value::Array(pair) => match pair.as_slice() {
            [left, right] => Some((left.as_str()?, right.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}

/// Refuses chains of steps that each lengthen the text: a few dozen bytes of JSON could ask for more
/// memory than there is.
fn check_growth(description: &Value) -> Result<()> {
    for key in ["normalizer", "pre_tokenizer", "decoder"] {
        if description.get(key).map_or(0.0, growth_bits) > MAX_GROWTH_BITS {
            return Err(Error::limit("lengthens texts beyond all measure").in_key(key));
        }
    }
    Ok(())
}

/// An upper bound for the factor by which a step and those inside it lengthen a text, in bits.
fn growth_bits(step: &Value) -> f64 {
    let inserted = |key: &str| {
        let text = step.get(key).and_then(Value::as_str).unwrap_or_default();
        (1.0 + text.len() as f64).log2()
    };
    let own = match step.get("type").and_then(Value::as_str) {
        Some("Replace") => inserted("content"),
        Some("Prepend") => inserted("prepend"),
        Some("Precompiled") => 6.0,
        Some("NFKC" | "NFKD") => 5.0,
        Some("NFC" | "NFD" | "Metaspace" | "BertNormalizer") => 2.0,
        Some("ByteLevel" | "Lowercase") => 1.0,
        _ => 0.0,
    };
    let inside = ["normalizers", "pretokenizers", "decoders"];
    own + inside
        .iter()
        .flat_map(|key| list(step, key))
        .map(growth_bits)
        .sum::<f64>()
}

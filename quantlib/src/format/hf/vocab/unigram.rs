//! Unigram vocabularies of XLM-RoBERTa and its kin: `sentencepiece.bpe.model`, which in spite of its
//! name holds no BPE, or else a `tokenizer.json` made of one.

use super::auto::AutoTokenizer;
use super::files::Files;
use super::json::truthy;
use super::proto::{Field, Message};
use super::sentencepiece::{List, MAX_BYTES, parse, token_type};
use super::tokens::{TokenType, Tokens, check_size};
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use serde_json::Value;

/// A vocabulary and what is done with texts before they are looked up in it.
pub(super) struct Unigram {
    pub tokens: Tokens,
    pub add_prefix_space: bool,
    pub remove_spaces: bool,
    /// SentencePiece's compiled table of replacements.
    pub charsmap: Vec<u8>,
}

impl Unigram {
    /// Loads the vocabulary, padded to the configured size.
    ///
    /// # Errors
    /// `unsupported` for a vocabulary of another kind, `malformed` for what the files get wrong.
    pub(super) fn load(
        folder: &Folder,
        files: &mut Files,
        vocab_size: Option<u64>,
    ) -> Result<Self> {
        match folder.bytes(MODEL, MAX_BYTES)? {
            Some(bytes) => {
                from_model(&bytes, vocab_size).map_err(|e| e.in_file(folder.path().join(MODEL)))
            }
            None => from_json(folder, files, vocab_size)
                .map_err(|e| e.in_file(folder.path().join("tokenizer.json"))),
        }
    }
}

const MODEL: &str = "sentencepiece.bpe.model";

/// The size of a list of `known` tokens that is padded to the configured size.
fn size(known: usize, vocab_size: Option<u64>) -> Result<usize> {
    check_size(vocab_size.unwrap_or(0).max(known as u64))
}

/// The pieces as fairseq numbers them: its own four in place of the first three, and the last left
/// out.
fn from_model(bytes: &[u8], vocab_size: Option<u64>) -> Result<Unigram> {
    let settings = Settings::parse(bytes)?;
    let pieces = parse(bytes)?;
    let mut list = List::new(size(pieces.len(), vocab_size)?);
    for (id, piece) in pieces.into_iter().enumerate() {
        list.set(id, piece.text, piece.score, token_type(piece.kind));
    }
    let own = [
        ("<s>", TokenType::Control),
        ("<pad>", TokenType::Control),
        ("</s>", TokenType::Control),
        ("<unk>", TokenType::Unknown),
    ];
    let Tokens {
        texts,
        types,
        scores,
    } = list.0;
    let kept = 3..texts.len().saturating_sub(1).max(3);
    fn realign<T: Clone>(own: impl Iterator<Item = T>, rest: Option<&[T]>) -> Vec<T> {
        own.chain(rest.unwrap_or_default().iter().cloned())
            .collect()
    }
    Ok(Unigram {
        tokens: Tokens {
            texts: realign(
                own.iter().map(|(text, _)| (*text).to_owned()),
                texts.get(kept.clone()),
            ),
            types: realign(own.iter().map(|(_, kind)| *kind), types.get(kept.clone())),
            scores: realign(own.iter().map(|_| 0.0), scores.get(kept)),
        },
        add_prefix_space: settings.add_dummy_prefix,
        remove_spaces: settings.remove_extra_whitespaces,
        charsmap: settings.charsmap,
    })
}

/// What a SentencePiece model says beside its pieces.
struct Settings {
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

impl Settings {
    /// Reads the training settings (field 2), which name the kind of model, and those of the
    /// normalizer (field 3).
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut settings = Self {
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        let mut kind = UNIGRAM;
        let mut message = Message::new(bytes);
        while let Some((number, field)) = message.next()? {
            match (number, field) {
                (2, Field::Bytes(trainer)) => {
                    let mut trainer = Message::new(trainer);
                    while let Some((number, field)) = trainer.next()? {
                        if let (3, Field::Varint(value)) = (number, field) {
                            kind = value;
                        }
                    }
                }
                (3, Field::Bytes(normalizer)) => settings.read_normalizer(normalizer)?,
                _ => {}
            }
        }
        match kind {
            UNIGRAM => Ok(settings),
            _ => Err(Error::unsupported(
                "is no unigram model; only those can be converted for this architecture",
            )),
        }
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<()> {
        let mut normalizer = Message::new(bytes);
        while let Some((number, field)) = normalizer.next()? {
            match (number, field) {
                (2, Field::Bytes(charsmap)) => self.charsmap = charsmap.to_vec(),
                (3, Field::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Field::Varint(flag)) => self.remove_extra_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// SentencePiece's number of the kind of model.
const UNIGRAM: u64 = 1;

fn from_json(folder: &Folder, files: &mut Files, vocab_size: Option<u64>) -> Result<Unigram> {
    let json = files
        .json
        .as_ref()
        .ok_or_else(|| Error::unsupported(format!("is missing, and there is no {MODEL} either")))?;
    let charsmap = charsmap(json)?;
    let scores = scores(json)?;
    let unknown = json["model"].get("unk_id").map_or(Some(3), Value::as_u64);
    let unknown_text = files.option("unk_token").and_then(Value::as_str);
    let unknown_text = unknown_text.map(str::to_owned);
    let add_prefix_space = files.option("add_prefix_space").map(truthy);
    let remove_spaces = files
        .option("clean_up_tokenization_spaces")
        .is_some_and(truthy);

    let tokenizer = AutoTokenizer::load(folder, files)?;
    let (vocab, added, special) = (
        tokenizer.vocab(),
        tokenizer.added(),
        tokenizer.special_ids(),
    );
    let named = added
        .iter()
        .find(|(_, token)| Some(&token.content) == unknown_text.as_ref());
    let unknown = named.map(|(id, _)| u64::from(*id)).or(unknown);
    let mut list = List::new(size(tokenizer.base_size(), vocab_size)?);
    let base = list.0.len().min(tokenizer.base_size());
    for (id, text) in vocab
        .into_iter()
        .take_while(|(id, _)| (*id as usize) < base)
    {
        let kind = if Some(u64::from(id)) == unknown {
            TokenType::Unknown
        } else if special.contains(&id) {
            TokenType::Control
        } else if added.contains_key(&id) {
            TokenType::UserDefined
        } else {
            TokenType::Normal
        };
        let score = scores.get(id as usize).copied().unwrap_or_default();
        list.set(id as usize, text, score, kind);
    }
    Ok(Unigram {
        tokens: list.0,
        add_prefix_space: add_prefix_space.unwrap_or(tokenizer.adds_prefix_space()),
        remove_spaces,
        charsmap,
    })
}

/// The table of replacements of the normalizer, which must be that of a SentencePiece model.
fn charsmap(json: &Value) -> Result<Vec<u8>> {
    let text = json["normalizer"].get("precompiled_charsmap");
    let text = text.and_then(Value::as_str).ok_or_else(|| {
        Error::unsupported("only a normalizer with a precompiled_charsmap can be converted")
            .in_key("normalizer")
    })?;
    base64::decode(text).map_err(|e| {
        Error::malformed(format!("is no base64 text: {e}"))
            .in_key("normalizer.precompiled_charsmap")
    })
}

/// The scores in the order of ids.
fn scores(json: &Value) -> Result<Vec<f32>> {
    let vocab = json["model"].get("vocab").and_then(Value::as_array);
    let entries = vocab.into_iter().flatten();
    let scores: Option<Vec<f32>> = entries
        .map(|entry| Some(entry.get(1)?.as_f64()? as f32))
        .collect();
    match scores {
        Some(scores) if !scores.is_empty() => Ok(scores),
        _ => Err(
            Error::unsupported("is no unigram vocabulary: a list of tokens with scores")
                .in_key("model.vocab"),
        ),
    }
}

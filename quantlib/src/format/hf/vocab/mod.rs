//! Tokenizers of model folders as the `tokenizer.*` keys of a GGUF file.
//!
//! The keys, their order and their values are those of llama.cpp's converter, which in part asks
//! transformers' `AutoTokenizer`: what that does with the files is reproduced here.

mod auto;
mod backend;
mod base;
mod classes;
mod files;
mod json;
mod llama_hf;
mod merges;
mod post_processor;
mod pre;
mod proto;
mod sentencepiece;
mod special;
mod template;
mod tokens;
mod unigram;

use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::model::{self, Array, Metadata};
use base::Base;
use files::Files;
use serde_json::Value;
use special::{COMMON_KINDS, SpecialVocab};
use tokens::{TokenType, Tokens};
use unigram::Unigram;

/// How a model family keeps its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabStyle {
    /// SentencePiece, else a `tokenizer.json` made of one, else byte-level BPE: Llama and Mistral.
    Llama,
    /// SentencePiece, else byte-level BPE: Qwen 2 and 3.
    Qwen,
    /// Byte-level BPE.
    Gpt2,
    /// WordPiece: BERT.
    Bert,
    /// SentencePiece whose added tokens count as they are, or byte-level BPE: Phi 3 and 4.
    Phi,
    /// SentencePiece that puts no space in front of a text, with a token for the end of a turn: Gemma 1.
    Gemma,
    /// SentencePiece that puts no space in front of a text: Gemma 2.
    Gemma2,
    /// The same, else byte-level BPE: Gemma 3.
    Gemma3,
    /// Byte-level BPE, only as a `tokenizer.json`: StableLM.
    StableLm,
    /// Byte-level BPE: RoBERTa.
    Roberta,
    /// Unigram: XLM-RoBERTa.
    Unigram,
    /// Unigram or WordPiece, whichever `tokenizer.json` has: Nomic.
    UnigramOrBert,
}

/// What the caller knows and decides about a vocabulary.
#[derive(Clone, Debug, Default)]
pub struct VocabOptions {
    /// The name of the pre-tokenizer, instead of the one that is recognized.
    pub pre: Option<String>,
    /// `vocab_size` of the model's configuration, defaults included: the vocabulary is padded to it.
    pub vocab_size: Option<u64>,
    /// `type_vocab_size` of the model's configuration, defaults included; only BERT needs it.
    pub token_types: Option<u32>,
}

/// The `tokenizer.*` keys for a folder, in the converter's order.
///
/// # Errors
/// `unsupported` for a tokenizer of another kind or a pre-tokenizer that is not known, `malformed` and
/// `limit` for what the files get wrong; each names the file.
pub fn vocab(folder: &Folder, style: VocabStyle, options: &VocabOptions) -> Result<Metadata> {
    let mut files = Files::read(folder)?;
    match style {
        VocabStyle::Llama => llama(folder, &mut files, options),
        VocabStyle::Qwen => {
            let mut out = Metadata::new();
            if !sentencepiece(folder, &files, options, &mut out)? {
                gpt2(folder, &mut files, options, &mut out)?;
            }
            Ok(out)
        }
        VocabStyle::Phi => phi(folder, &mut files, options),
        VocabStyle::Gemma => gemma(folder, &files, options, true),
        VocabStyle::Gemma2 => gemma(folder, &files, options, false),
        VocabStyle::Gemma3 if folder.has("tokenizer.model") => {
            gemma(folder, &files, options, false)
        }
        VocabStyle::StableLm if files.json.is_none() => Err(missing(folder, "tokenizer.json")),
        VocabStyle::Gpt2 | VocabStyle::Gemma3 | VocabStyle::StableLm => {
            let mut out = Metadata::new();
            gpt2(folder, &mut files, options, &mut out)?;
            Ok(out)
        }
        VocabStyle::Bert => bert(folder, &mut files, options),
        VocabStyle::Roberta => roberta(folder, &mut files, options),
        VocabStyle::Unigram => unigram(folder, &mut files, options),
        VocabStyle::UnigramOrBert => match files.is_unigram() {
            true => unigram(folder, &mut files, options),
            false => bert(folder, &mut files, options),
        },
    }
}

fn missing(folder: &Folder, file: &str) -> Error {
    Error::unsupported(format!("there is no {file}, which this architecture needs"))
        .in_file(folder.path())
}

/// Number of rows of the embeddings that belong to tokens: as many as a SentencePiece vocabulary
/// has, else the tokens that `tokenizer.json` lists.
///
/// # Errors
/// As [`vocab`], and `unsupported` without either file.
pub(crate) fn token_count(folder: &Folder, vocab_size: Option<u64>) -> Result<usize> {
    let files = Files::read(folder)?;
    if let Some(tokens) = sentencepiece::tokens(folder, &files, vocab_size)? {
        return Ok(tokens.len());
    }
    let json = files.json.as_ref();
    let json = json.ok_or_else(|| missing(folder, "tokenizer.json"))?;
    let vocab = match json.get("model").and_then(|model| model.get("vocab")) {
        Some(Value::Object(vocab)) => vocab.len(),
        Some(Value::Array(vocab)) => vocab.len(),
        _ => 0,
    };
    Ok(vocab + json::list(json, "added_tokens").len())
}

fn phi(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Metadata> {
    let mut out = Metadata::new();
    let class = files.option("tokenizer_class").and_then(Value::as_str);
    if class == Some("GPT2Tokenizer") {
        gpt2(folder, files, options, &mut out)?;
        return Ok(out);
    }
    let tokens = sentencepiece::exact_tokens(folder, files, options.vocab_size)?;
    let tokens = tokens.ok_or_else(|| missing(folder, "tokenizer.model"))?;
    let special = SpecialVocab::load(folder, files, &COMMON_KINDS, false)?;
    finish(tokens, "llama", "default", special, true, &mut out);
    Ok(out)
}

fn gemma(folder: &Folder, files: &Files, options: &VocabOptions, turns: bool) -> Result<Metadata> {
    let mut out = Metadata::new();
    if !sentencepiece(folder, files, options, &mut out)? {
        return Err(missing(folder, "tokenizer.model"));
    }
    if turns {
        let kinds = ["prefix", "suffix", "middle", "fsep", "eot"];
        let mut special = SpecialVocab::load(folder, files, &kinds, false)?;
        special.add_id("eot", 107);
        special.without_template().write(None, &mut out);
    }
    out.insert("tokenizer.ggml.add_space_prefix".into(), false.into());
    Ok(out)
}

fn llama(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Metadata> {
    if files.json.is_none() && folder.has("tekken.json") {
        return Err(Error::unsupported(
            "only a tokenizer in Mistral's own format (tekken.json) is there; add a tokenizer.json",
        )
        .in_file(folder.path()));
    }
    let mut out = Metadata::new();
    if let Some(add) = files
        .option("add_prefix_space")
        .filter(|add| !add.is_null())
    {
        out.insert(
            "tokenizer.ggml.add_space_prefix".into(),
            json::truthy(add).into(),
        );
    }
    let code_llama = options.vocab_size == Some(32016);
    let infill = match code_llama {
        true => Some(infill_tokens(folder, files)?),
        false => None,
    };
    if !sentencepiece(folder, files, options, &mut out)? {
        match llama_hf::applies(files) {
            true => {
                let special = SpecialVocab::load(folder, files, &COMMON_KINDS, false)?;
                let tokens = llama_hf::tokens(folder, files)?;
                finish(tokens, "llama", "default", special, true, &mut out);
            }
            false => gpt2(folder, files, options, &mut out)?,
        }
    }
    if let Some(infill) = infill {
        infill.write(None, &mut out);
    }
    if options.vocab_size == Some(49152) {
        out.insert("tokenizer.ggml.add_bos_token".into(), false.into());
    }
    Ok(out)
}

/// What Code Llama adds: the end of an infilled text.
fn infill_tokens(folder: &Folder, files: &Files) -> Result<SpecialVocab> {
    let kinds = ["prefix", "suffix", "middle", "eot"];
    let mut special = SpecialVocab::load(folder, files, &kinds, false)?;
    special.add_id("eot", 32010);
    Ok(special)
}

/// Writes the keys of a SentencePiece model, if there is one.
fn sentencepiece(
    folder: &Folder,
    files: &Files,
    options: &VocabOptions,
    out: &mut Metadata,
) -> Result<bool> {
    let Some(tokens) = sentencepiece::tokens(folder, files, options.vocab_size)? else {
        return Ok(false);
    };
    let special = SpecialVocab::load(folder, files, &COMMON_KINDS, false)?;
    finish(tokens, "llama", "default", special, true, out);
    Ok(true)
}

fn finish(
    tokens: Tokens,
    model: &str,
    pre: &str,
    special: SpecialVocab,
    in_range: bool,
    out: &mut Metadata,
) {
    let len = tokens.len();
    tokens.write(model, pre, out);
    special.write(in_range.then_some(len), out);
}

fn gpt2(
    folder: &Folder,
    files: &mut Files,
    options: &VocabOptions,
    out: &mut Metadata,
) -> Result<()> {
    let special = SpecialVocab::load(folder, files, &COMMON_KINDS, true)?;
    let base = Base::load(folder, files, options)?;
    finish(base.tokens, "gpt2", &base.pre, special, false, out);
    Ok(())
}

fn bert(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Metadata> {
    let special = SpecialVocab::load(folder, files, &COMMON_KINDS, false)?;
    let mut base = Base::load(folder, files, options)?;
    let Tokens { texts, types, .. } = &mut base.tokens;
    for (text, &kind) in texts.iter_mut().zip(types.iter()) {
        if kind != TokenType::Control {
            *text = phantom(text);
        }
    }
    let mut out = Metadata::new();
    count_token_types(options, &mut out);
    finish(base.tokens, "bert", &base.pre, special, true, &mut out);
    Ok(out)
}

fn count_token_types(options: &VocabOptions, out: &mut Metadata) {
    let types = options.token_types.unwrap_or(1);
    out.insert("tokenizer.ggml.token_type_count".into(), types.into());
}

/// What the converter takes for byte-level BPE if there is a `tokenizer.json`, and for WordPiece else.
fn roberta(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Metadata> {
    if files.json.is_none() {
        return bert(folder, files, options);
    }
    let mut out = Metadata::new();
    gpt2(folder, files, options, &mut out)?;
    count_token_types(options, &mut out);
    Ok(out)
}

fn unigram(folder: &Folder, files: &mut Files, options: &VocabOptions) -> Result<Metadata> {
    let special = SpecialVocab::load(folder, files, &COMMON_KINDS, false)?;
    let vocab = Unigram::load(folder, files, options.vocab_size)?;
    let len = vocab.tokens.len();
    let mut out = Metadata::new();
    vocab.tokens.write("t5", "default", &mut out);
    let mut set = |key: &str, value: model::Value| {
        out.insert(format!("tokenizer.ggml.{key}"), value);
    };
    set("add_space_prefix", vocab.add_prefix_space.into());
    set("token_type_count", options.token_types.unwrap_or(1).into());
    set("remove_extra_whitespaces", vocab.remove_spaces.into());
    if !vocab.charsmap.is_empty() {
        set("precompiled_charsmap", Array::U8(vocab.charsmap).into());
    }
    special.write(Some(len), &mut out);
    Ok(out)
}

/// WordPiece marks what continues a word, llama.cpp what starts one.
fn phantom(text: &str) -> String {
    match text.strip_prefix("##") {
        Some(rest) => rest.to_owned(),
        None => format!("\u{2581}{text}"),
    }
}

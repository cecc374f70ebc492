//! The tokenizer that transformers' `AutoTokenizer` (version 5) makes of a folder.

use super::backend::Backend;
use super::classes::Class;
use super::files::Files;
use super::json::{list, truthy};
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use tokenizers::AddedToken;

/// The roles of special tokens that every tokenizer knows.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A special token as the files give it: only its text, or with its properties.
#[derive(Clone, Debug, PartialEq)]
enum Special {
    Text(String),
    Token(AddedToken),
}

impl Special {
    /// `None` for what is neither a string nor the description of an added token.
    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            _ => added_token(value).map(Self::Token),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }
}

/// Reads `{"content": ..., "lstrip": ..., ...}`.
fn added_token(value: &Value) -> Option<AddedToken> {
    let flag = |key: &str| value.get(key).map(truthy);
    let content = value.get("content")?.as_str()?;
    let mut token = AddedToken::from(content, flag("special").unwrap_or(false))
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false));
    if let Some(normalized) = flag("normalized") {
        token = token.normalized(normalized);
    }
    Some(token)
}

/// The special and added tokens of a folder's files, before a tokenizer has them.
struct Settings {
    /// Special tokens by role, the common roles first.
    named: Vec<(String, Special)>,
    /// Special tokens without a role.
    extra: Vec<Special>,
    /// Added tokens by id.
    added: BTreeMap<u64, AddedToken>,
}

/// A loaded tokenizer.
pub(super) struct AutoTokenizer {
    backend: Backend,
    special: Vec<String>,
    /// Ids around every text, where they do not come from the post-processor.
    around: Option<[Vec<u32>; 2]>,
    cleans_up: bool,
    adds_prefix_space: bool,
}

impl AutoTokenizer {
    /// Loads the tokenizer of a folder; takes the model out of `files`.
    pub(super) fn load(folder: &Folder, files: &mut Files) -> Result<Self> {
        let class = Class::pick(folder, files);
        let has_json = files.json.is_some();
        let settings = Settings::gather(folder, files, class)?;
        let json = match files.json.take() {
            Some(json) => json,
            None => plain_vocab(folder, class)?,
        };
        let unknown = settings.named("unk_token").unwrap_or("[UNK]").to_owned();
        let description = class.describe(json, files, &unknown);
        let is_bpe = description["model"]["type"] == "BPE";
        let no_processor = description["post_processor"].is_null();
        let in_file = |e: Error| e.in_file(folder.path().join("tokenizer.json"));
        let mut backend = Backend::build(&description).map_err(in_file)?;
        drop(description);
        if files.option("split_special_tokens").is_some_and(truthy) {
            backend.split_special_tokens();
        }
        let special = settings.add_to(&mut backend, class).map_err(in_file)?;
        let flag = |key: &str| files.option(key).is_some_and(truthy);
        let around = match class {
            Class::Bert | Class::Roberta => {
                Some(["cls_token", "sep_token"].map(|role| settings.id(&backend, role)))
            }
            _ if !has_json || no_processor => {
                let ids = |add: &str, role| match !has_json && flag(add) {
                    true => settings.id(&backend, role),
                    false => Vec::new(),
                };
                Some([
                    ids("add_bos_token", "bos_token"),
                    ids("add_eos_token", "eos_token"),
                ])
            }
            _ => None,
        };
        let force = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
        Ok(Self {
            backend,
            special,
            around,
            cleans_up: flag("clean_up_tokenization_spaces") && (!is_bpe || flag(force)),
            adds_prefix_space: class == Class::XlmRoberta,
        })
    }

    /// The ids of a text with the special tokens around it.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.around {
            None => self.backend.encode(text, true),
            Some([before, after]) => {
                let ids = self.backend.encode(text, false)?;
                Ok([before.as_slice(), &ids, after].concat())
            }
        }
    }

    /// What a text is after encoding without special tokens and decoding.
    pub(super) fn round_trip(&self, text: &str) -> Result<String> {
        let mut text = self.backend.decode(&self.backend.encode(text, false)?)?;
        if self.cleans_up {
            for (before, after) in CLEAN_UP {
                text = text.replace(before, after);
            }
        }
        Ok(text)
    }

    /// Texts by id, those of added tokens included.
    pub(super) fn vocab(&self) -> BTreeMap<u32, String> {
        self.backend.vocab()
    }

    /// The added tokens by id.
    pub(super) fn added(&self) -> BTreeMap<u32, AddedToken> {
        self.backend.added()
    }

    /// Number of tokens without the added ones.
    pub(super) fn base_size(&self) -> usize {
        self.backend.base_size()
    }

    /// Whether a space goes before texts where no file says it.
    pub(super) fn adds_prefix_space(&self) -> bool {
        self.adds_prefix_space
    }

    /// The ids of all special tokens.
    pub(super) fn special_ids(&self) -> HashSet<u32> {
        let ids = self.special.iter().filter_map(|text| self.backend.id(text));
        ids.collect()
    }
}

/// How transformers tidies decoded texts.
const CLEAN_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// A description made of the plain vocabulary files of older folders.
fn plain_vocab(folder: &Folder, class: Class) -> Result<Value> {
    let missing = |what: &str| {
        Error::unsupported(format!(
            "there is no {what}; make one with transformers' AutoTokenizer and save_pretrained"
        ))
        .in_file(folder.path())
    };
    let model = match class {
        Class::Bert => {
            let text = folder.text("vocab.txt")?;
            let text = text.ok_or_else(|| missing("tokenizer.json or vocab.txt"))?;
            let lines = text.lines().enumerate();
            let vocab: Object = lines.map(|(id, token)| (token.into(), id.into())).collect();
            json!({"type": "WordPiece", "vocab": vocab})
        }
        Class::Qwen2 | Class::Gpt2 | Class::Roberta => {
            let vocab = folder.object("vocab.json")?;
            let vocab = vocab.ok_or_else(|| missing("tokenizer.json or vocab.json"))?;
            let text = folder.text("merges.txt")?;
            let text = text.ok_or_else(|| missing("tokenizer.json or merges.txt"))?;
            let merges: Vec<&str> = text
                .lines()
                .filter(|l| !l.starts_with("#version"))
                .collect();
            json!({"type": "BPE", "vocab": vocab, "merges": merges})
        }
        Class::AsFile | Class::Llama | Class::XlmRoberta => return Err(missing("tokenizer.json")),
    };
    Ok(json!({"version": "1.0", "added_tokens": [], "model": model, "post_processor": null}))
}

impl Settings {
    fn gather(folder: &Folder, files: &Files, class: Class) -> Result<Self> {
        let mut options = files.config.clone().unwrap_or_default();
        promote_extra(&mut options);
        let added = match options.get("added_tokens_decoder") {
            Some(decoder) => decoder_tokens(decoder)
                .map_err(|e| e.in_file(folder.path().join("tokenizer_config.json")))?,
            None => {
                let map = folder.object("special_tokens_map.json")?;
                options.extend(map.unwrap_or_default());
                promote_extra(&mut options);
                legacy_tokens(folder, files, &options)?
            }
        };
        let padding = files
            .json
            .as_ref()
            .and_then(|json| json.get("padding")?.get("pad_token"));
        if let Some(padding) = padding.filter(|_| matches!(class, Class::AsFile | Class::Llama)) {
            options
                .entry("pad_token")
                .or_insert_with(|| padding.clone());
        }
        Ok(Self {
            named: named_tokens(&options, class, &added),
            extra: extra_tokens(&options),
            added,
        })
    }

    /// The text of the token with a role.
    fn named(&self, role: &str) -> Option<&str> {
        let mut named = self.named.iter();
        named.find_map(|(name, token)| (name == role).then(|| token.text()))
    }

    /// The id of the token with a role, if it has one.
    fn id(&self, backend: &Backend, role: &str) -> Vec<u32> {
        let id = self.named(role).and_then(|text| backend.id(text));
        id.into_iter().collect()
    }

    /// Adds all tokens to a tokenizer, in the order that gives new ones their ids; returns the texts of
    /// the special ones.
    fn add_to(&self, backend: &mut Backend, class: Class) -> Result<Vec<String>> {
        let specials = || self.named.iter().map(|(_, token)| token).chain(&self.extra);
        let mut known: HashSet<String> = backend.added().into_values().map(|t| t.content).collect();
        known.extend(self.added.values().map(|token| token.content.clone()));
        let mut missing: Vec<&Special> = Vec::new();
        for special in specials() {
            if !known.contains(special.text()) && !missing.contains(&special) {
                missing.push(special);
            }
        }
        let added = self
            .added
            .values()
            .map(|token| Special::Token(token.clone()));
        let is_named = |text: &str| self.named.iter().any(|(_, token)| token.text() == text);
        let tokens = added
            .chain(missing.into_iter().cloned())
            .map(|token| match token {
                Special::Text(text) => AddedToken::from(text, true),
                Special::Token(token) => {
                    let special = token.special || is_named(&token.content);
                    token.special(special)
                }
            });
        backend.add_tokens(tokens.collect())?;
        let mut texts: Vec<String> = Vec::new();
        for special in specials() {
            if !texts.iter().any(|text| text == special.text()) {
                texts.push(special.text().to_owned());
            }
        }
        if class == Class::Qwen2 {
            let again = texts
                .iter()
                .map(|text| AddedToken::from(text.as_str(), true));
            backend.add_tokens(again.collect())?;
        }
        Ok(texts)
    }
}

/// The old name of the list of special tokens without a role gives way to the new one.
fn promote_extra(options: &mut Object) {
    if !options.get("extra_special_tokens").is_some_and(truthy)
        && let Some(tokens) = options.shift_remove("additional_special_tokens")
    {
        options.insert("extra_special_tokens".into(), tokens);
    }
}

/// The tokens of `added_tokens_decoder`.
fn decoder_tokens(decoder: &Value) -> Result<BTreeMap<u64, AddedToken>> {
    let entries = decoder.as_object().into_iter().flatten();
    entries
        .map(|(id, token)| Some((id.trim().parse().ok()?, added_token(token)?)))
        .collect::<Option<_>>()
        .ok_or_else(|| {
            Error::malformed("an entry has no number or no content").in_key("added_tokens_decoder")
        })
}

/// The tokens of `added_tokens.json` and of `tokenizer.json`, for folders without a decoder.
fn legacy_tokens(
    folder: &Folder,
    files: &Files,
    options: &Object,
) -> Result<BTreeMap<u64, AddedToken>> {
    let mut tokens = BTreeMap::new();
    let roles = ROLES
        .iter()
        .filter_map(|role| Special::parse(options.get(*role)?));
    let specials: Vec<Special> = roles.chain(extra_tokens(options)).collect();
    for (text, id) in folder.object("added_tokens.json")?.unwrap_or_default() {
        let id = id.as_u64().ok_or_else(|| {
            Error::malformed(format!("{id} is no id for the token {text:?}"))
                .in_file(folder.path().join("added_tokens.json"))
        })?;
        let special = specials.iter().any(|token| token.text() == text);
        tokens.insert(id, AddedToken::from(text, special));
    }
    let listed = files
        .json
        .as_ref()
        .map_or(&[][..], |json| list(json, "added_tokens"));
    for token in listed {
        let id = token.get("id").and_then(Value::as_u64);
        let (Some(id), Some(token)) = (id, added_token(token)) else {
            return Err(Error::malformed("an added token has no id or no content")
                .in_file(folder.path().join("tokenizer.json"))
                .in_key("added_tokens"));
        };
        tokens.insert(id, token);
    }
    Ok(tokens)
}

/// The special tokens with a role: the common roles, then those that only this model has.
fn named_tokens(
    options: &Object,
    class: Class,
    added: &BTreeMap<u64, AddedToken>,
) -> Vec<(String, Special)> {
    let mut named = Vec::new();
    for role in ROLES {
        let token = match options.get(role) {
            Some(value) => Special::parse(value),
            None => class
                .default_token(role)
                .map(|text| Special::Text(text.to_owned())),
        };
        let Some(token) = token else { continue };
        // The last added token of the same text tells the properties.
        let same = added
            .values()
            .rev()
            .find(|added| added.content == token.text());
        let found = options.contains_key(role).then_some(same).flatten();
        named.push((
            role.to_owned(),
            found.map_or(token, |found| Special::Token(found.clone())),
        ));
    }
    let own = options.iter().filter(|(key, _)| key.ends_with("_token"));
    let extra = options
        .get("extra_special_tokens")
        .and_then(Value::as_object);
    let own = own.chain(extra.into_iter().flatten());
    for (role, value) in own.filter(|(role, _)| !ROLES.contains(&role.as_str())) {
        if let Some(token) = Special::parse(value) {
            named.push((role.clone(), token));
        }
    }
    named
}

/// The special tokens without a role.
fn extra_tokens(options: &Object) -> Vec<Special> {
    let extra = options
        .get("extra_special_tokens")
        .and_then(Value::as_array);
    extra
        .into_iter()
        .flatten()
        .filter_map(Special::parse)
        .collect()
}

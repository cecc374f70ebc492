//! tokenizer.json and tokenizer_config.json of a vocabulary in GGUF's keys.

use super::config::{Keys, strings};
use crate::error::{Error, Result};
use crate::format::mlx::{Content, ExtraFile};
use crate::model::{Array, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;

/// How text is cut up before pairs are merged, by `tokenizer.ggml.pre`: the pattern, whether a piece
/// that is a token is not built by merges, and whether characters are composed first.
const PATTERNS: &[(&str, &str, bool, bool)] = &[
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        true,
        false,
    ),
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        false,
        true,
    ),
];

/// `tokenizer.ggml.token_type` of tokens that text never becomes, and of those that it becomes as they
/// stand.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The tokenizer's files; or none, and a note that says why.
pub(super) fn files(keys: &Keys<'_>) -> Result<(Vec<ExtraFile>, Option<String>)> {
    let kind = keys.get("tokenizer.ggml.model").and_then(Value::as_str);
    let none = |why: String| {
        let note = format!("no tokenizer files are made: {why}; copy those of the original model");
        Ok((Vec::new(), Some(note)))
    };
    let Some(vocabulary) = Vocabulary::new(keys) else {
        return none("the file has no vocabulary".to_owned());
    };
    let body = match kind {
        Some("llama") => vocabulary.sentence_pieces(keys),
        Some("gpt2") => {
            let pre = keys.get("tokenizer.ggml.pre").and_then(Value::as_str);
            let known = PATTERNS.iter().find(|(name, ..)| Some(*name) == pre);
            match known {
                Some((_, pattern, whole, compose)) => {
                    vocabulary.byte_pairs(keys, pattern, *whole, *compose)
                }
                None => {
                    return none(format!(
                        "'{}' cuts text up in its own way",
                        pre.unwrap_or("")
                    ));
                }
            }
        }
        _ => return none(format!("a vocabulary of kind '{}'", kind.unwrap_or(""))),
    };
    let Some(body) = body else {
        return none("the vocabulary lacks scores or merges".to_owned());
    };
    let files = [
        ("tokenizer.json", body),
        ("tokenizer_config.json", vocabulary.settings(keys)),
    ];
    let file = |(name, json): (&str, Json)| {
        let text = serde_json::to_vec_pretty(&json);
        let text = text.map_err(|e| Error::malformed(format!("is no JSON: {e}")))?;
        Ok(ExtraFile {
            name: name.to_owned(),
            content: Content::Bytes(text),
        })
    };
    let files: Result<_> = files.into_iter().map(file).collect();
    Ok((files?, None))
}

struct Vocabulary<'k> {
    tokens: Vec<&'k str>,
    types: &'k [i32],
    /// Whether texts begin with the token that says so.
    adds_bos: bool,
}

impl<'k> Vocabulary<'k> {
    /// None if it is not there, or not text.
    fn new(keys: &Keys<'k>) -> Option<Self> {
        let tokens = strings(keys, "tokenizer.ggml.tokens")?;
        let tokens: Option<Vec<_>> = tokens.iter().map(|t| std::str::from_utf8(t).ok()).collect();
        let types = match keys
            .get("tokenizer.ggml.token_type")
            .and_then(Value::as_array)
        {
            Some(Array::I32(types)) => types,
            _ => &[][..],
        };
        let adds = keys.get("tokenizer.ggml.add_bos_token");
        let kind = keys.get("tokenizer.ggml.model").and_then(Value::as_str);
        Some(Self {
            tokens: tokens?,
            types,
            adds_bos: match adds {
                Some(Value::Bool(adds)) => *adds,
                _ => kind == Some("llama"),
            },
        })
    }

    fn ids(&self) -> HashMap<&'k str, usize> {
        self.tokens
            .iter()
            .enumerate()
            .map(|(id, token)| (*token, id))
            .collect()
    }

    fn special(&self, keys: &Keys<'_>, name: &str) -> Option<&'k str> {
        let id = keys
            .get(&format!("tokenizer.ggml.{name}_token_id"))?
            .as_u64()?;
        self.tokens.get(usize::try_from(id).ok()?).copied()
    }

    /// Tokens that stand in text as they are.
    fn added(&self) -> Vec<Json> {
        let special = |kind: &i32| matches!(*kind, CONTROL | USER_DEFINED);
        let kinds = self
            .types
            .iter()
            .enumerate()
            .filter(|(_, kind)| special(kind));
        let named = kinds.filter_map(|(id, kind)| Some((id, *kind, self.tokens.get(id)?)));
        named
            .map(|(id, kind, token)| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": kind == CONTROL,
                })
            })
            .collect()
    }

    /// The table of tokens, each once: a token that comes again has its first number.
    fn table(&self) -> Map<String, Json> {
        let mut table = Map::new();
        for (id, token) in self.tokens.iter().enumerate() {
            table.entry(*token).or_insert_with(|| json!(id));
        }
        table
    }

    /// What is done to the tokens of a text.
    fn template(&self, keys: &Keys<'_>) -> Json {
        let bos = self.special(keys, "bos").filter(|_| self.adds_bos);
        let Some(bos) = bos else {
            return Json::Null;
        };
        let id = keys
            .get("tokenizer.ggml.bos_token_id")
            .and_then(Value::as_u64);
        let first = json!({"SpecialToken": {"id": bos, "type_id": 0}});
        let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
        json!({
            "type": "TemplateProcessing",
            "single": [first, text("A")],
            "pair": [first, text("A"), first, text("B")],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
        })
    }

    /// A vocabulary whose pairs of pieces are merged by the score of what they become.
    fn sentence_pieces(&self, keys: &Keys<'_>) -> Option<Json> {
        let Some(Array::F32(scores)) = keys.get("tokenizer.ggml.scores")?.as_array() else {
            return None;
        };
        let prefix = keys.get("tokenizer.ggml.add_space_prefix");
        let prefix = prefix != Some(&Value::Bool(false));
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let mut normalizers = vec![spaces];
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Some(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added(),
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null,
            "post_processor": self.template(keys),
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": self.special(keys, "unknown"),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": true,
                "ignore_merges": false,
                "vocab": self.table(),
                "merges": self.merges(scores),
            },
        }))
    }

    /// Every way to make a token of two, those of high scores first.
    fn merges(&self, scores: &[f32]) -> Vec<[&'k str; 2]> {
        let ids = self.ids();
        let mut merges = Vec::new();
        for (token, score) in self.tokens.iter().zip(scores) {
            let mut own: Vec<_> = token
                .char_indices()
                .skip(1)
                .filter_map(|(at, _)| {
                    let (left, right) = token.split_at(at);
                    Some((*ids.get(left)?, *ids.get(right)?, [left, right]))
                })
                .collect();
            own.sort_by_key(|(left, right, _)| (*left, *right));
            merges.extend(own.into_iter().map(|(.., pair)| (*score, pair)));
        }
        let length = |text: &str| text.chars().count();
        merges.sort_by(|(a, x), (b, y)| {
            let lengths = |pair: &[&str; 2]| (length(pair[0]), length(pair[1]));
            b.total_cmp(a).then_with(|| lengths(y).cmp(&lengths(x)))
        });
        merges.into_iter().map(|(_, pair)| pair).collect()
    }

    /// A vocabulary of bytes written as characters, with its merges.
    fn byte_pairs(
        &self,
        keys: &Keys<'_>,
        pattern: &str,
        whole: bool,
        compose: bool,
    ) -> Option<Json> {
        let merges = strings(keys, "tokenizer.ggml.merges")?;
        let merges: Option<Vec<_>> = merges
            .iter()
            .map(|merge| std::str::from_utf8(merge).ok()?.split_once(' '))
            .map(|pair| pair.map(|(left, right)| [left, right]))
            .collect();
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
        });
        Some(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added(),
            "normalizer": compose.then(|| json!({"type": "NFC"})),
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
                bytes,
            ]},
            "post_processor": self.template(keys),
            "decoder": bytes,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": whole,
                "vocab": self.table(),
                "merges": merges?,
            },
        }))
    }

    fn settings(&self, keys: &Keys<'_>) -> Json {
        let mut settings = Map::new();
        settings.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        settings.insert("clean_up_tokenization_spaces".into(), json!(false));
        for (name, key) in [
            ("bos", "bos"),
            ("eos", "eos"),
            ("unk", "unknown"),
            ("pad", "padding"),
        ] {
            if let Some(token) = self.special(keys, key) {
                settings.insert(format!("{name}_token"), json!(token));
            }
        }
        let template = keys.get("tokenizer.chat_template").and_then(Value::as_str);
        if let Some(template) = template {
            settings.insert("chat_template".into(), json!(template));
        }
        Json::Object(settings)
    }
}

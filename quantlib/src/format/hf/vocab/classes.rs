//! Which tokenizer class the transformers library picks, and what it makes of a `tokenizer.json`.
//!
//! Some classes take only the vocabulary and the merges from the file and bring everything else
//! along. The ids of the test string, and with them `tokenizer.ggml.pre`, depend on it.

use super::files::Files;
use super::json::truthy;
use crate::format::hf::Folder;
use serde_json::{Value, json};

/// How Qwen2 splits texts into words.
const QWEN2_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// A tokenizer class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The file as it is; also for classes that are not known here.
    AsFile,
    Llama,
    Qwen2,
    Gpt2,
    Roberta,
    XlmRoberta,
    Bert,
}

impl Class {
    /// The class that transformers' `AutoTokenizer` picks.
    pub(super) fn pick(folder: &Folder, files: &Files) -> Self {
        let model = folder.config().get("model_type").and_then(Value::as_str);
        let declared = [
            files.option("tokenizer_class"),
            folder.config().get("tokenizer_class"),
        ]
        .into_iter()
        .flatten()
        .find_map(|class| class.as_str().filter(|class| !class.is_empty()));
        let Some(declared) = declared else {
            return match model {
                Some("qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe") => Self::Qwen2,
                Some("bert" | "distilbert" | "nomic_bert") => Self::Bert,
                Some("roberta") => Self::Roberta,
                Some("xlm-roberta") => Self::XlmRoberta,
                Some("gpt2" | "starcoder2") => Self::Gpt2,
                _ => Self::AsFile,
            };
        };
        match (model, Self::by_name(declared)) {
            // Too many Qwen2 folders name a wrong class, so transformers does not ask them.
            (Some("qwen2"), _) => Self::Qwen2,
            // For these it has no class of their own, and then believes the file.
            (
                Some("granite" | "mistral" | "mixtral" | "olmo2" | "olmo3" | "phi3" | "stablelm"),
                _,
            ) => Self::AsFile,
            (_, Self::Llama) if files.json.as_ref().is_some_and(mentions_byte_level) => {
                Self::AsFile
            }
            (_, class) => class,
        }
    }

    fn by_name(name: &str) -> Self {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "LlamaTokenizer" => Self::Llama,
            "Qwen2Tokenizer" => Self::Qwen2,
            "GPT2Tokenizer" => Self::Gpt2,
            "RobertaTokenizer" => Self::Roberta,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer" => Self::Bert,
            _ => Self::AsFile,
        }
    }

    /// The token that the class uses for a role that `tokenizer_config.json` does not mention.
    pub(super) fn default_token(self, role: &str) -> Option<&'static str> {
        Some(match (self, role) {
            (Self::Llama, "bos_token") => "<s>",
            (Self::Llama, "eos_token") => "</s>",
            (Self::Llama, "unk_token") => "<unk>",
            (Self::Qwen2, "unk_token" | "eos_token" | "pad_token") => "<|endoftext|>",
            (Self::Gpt2, "unk_token" | "bos_token" | "eos_token") => "<|endoftext|>",
            (Self::Roberta | Self::XlmRoberta, "bos_token" | "cls_token") => "<s>",
            (Self::Roberta | Self::XlmRoberta, "eos_token" | "sep_token") => "</s>",
            (Self::Roberta | Self::XlmRoberta, "unk_token") => "<unk>",
            (Self::Roberta | Self::XlmRoberta, "pad_token") => "<pad>",
            (Self::Roberta | Self::XlmRoberta, "mask_token") => "<mask>",
            (Self::Bert, "unk_token") => "[UNK]",
            (Self::Bert, "sep_token") => "[SEP]",
            (Self::Bert, "pad_token") => "[PAD]",
            (Self::Bert, "cls_token") => "[CLS]",
            (Self::Bert, "mask_token") => "[MASK]",
            _ => return None,
        })
    }

    /// The description that the tokenizer is built from, given the file's.
    pub(super) fn describe(self, mut json: Value, files: &Files, unknown: &str) -> Value {
        // Texts are encoded without cutting and padding.
        for key in ["truncation", "padding"] {
            json[key] = Value::Null;
        }
        if self == Self::AsFile {
            return json;
        }
        json["added_tokens"] = json!([]);
        let option = |key: &str| files.option(key).filter(|value| !value.is_null());
        let space = option("add_prefix_space").map(truthy);
        match self {
            Self::AsFile => {}
            Self::Llama => describe_llama(&mut json, space.unwrap_or(true), option("legacy")),
            Self::Qwen2 => describe_qwen2(&mut json, space.unwrap_or(false)),
            Self::Gpt2 | Self::Roberta => {
                json["model"] = bpe(json["model"].take(), Some(""), false, false);
                json["normalizer"] = Value::Null;
                json["pre_tokenizer"] = byte_level(space.unwrap_or(false), true);
                json["decoder"] = byte_level(true, true);
            }
            Self::XlmRoberta => {
                json["model"] = json!({
                    "type": "Unigram", "unk_id": 3, "byte_fallback": false,
                    "vocab": json["model"]["vocab"].take(),
                });
            }
            Self::Bert => describe_bert(&mut json, &option, unknown),
        }
        json
    }
}

/// Whether any string of the description is `ByteLevel`.
fn mentions_byte_level(json: &Value) -> bool {
    match json {
        Value::String(text) => text == "ByteLevel",
        Value::Array(items) => items.iter().any(mentions_byte_level),
        Value::Object(entries) => entries
            .iter()
            .any(|(key, value)| key == "ByteLevel" || mentions_byte_level(value)),
        _ => false,
    }
}

/// A BPE model with the vocabulary and merges of another.
fn bpe(mut model: Value, affix: Option<&str>, fuse_unk: bool, byte_fallback: bool) -> Value {
    let merges = match model["merges"].take() {
        Value::Null => json!([]),
        merges => merges,
    };
    json!({
        "type": "BPE", "dropout": null, "unk_token": null,
        "continuing_subword_prefix": affix, "end_of_word_suffix": affix,
        "fuse_unk": fuse_unk, "byte_fallback": byte_fallback, "ignore_merges": false,
        "vocab": model["vocab"].take(), "merges": merges,
    })
}

fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": add_prefix_space,
        "trim_offsets": true, "use_regex": use_regex,
    })
}

fn describe_llama(json: &mut Value, space: bool, legacy: Option<&Value>) {
    let scheme = match (space, legacy.is_some_and(truthy)) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    json["model"] = bpe(json["model"].take(), None, true, true);
    json["normalizer"] = Value::Null;
    json["pre_tokenizer"] = json!({
        "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": false,
    });
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if space {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json["decoder"] = json!({"type": "Sequence", "decoders": steps});
}

fn describe_qwen2(json: &mut Value, space: bool) {
    json["model"] = bpe(json["model"].take(), Some(""), false, false);
    json["normalizer"] = json!({"type": "NFC"});
    json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": false},
        byte_level(space, false),
    ]});
    json["decoder"] = byte_level(true, true);
}

fn describe_bert<'a>(json: &mut Value, option: &impl Fn(&str) -> Option<&'a Value>, unknown: &str) {
    json["model"] = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": json["model"]["vocab"].take(),
    });
    json["normalizer"] = json!({
        "type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": option("tokenize_chinese_chars").is_none_or(truthy),
        "strip_accents": option("strip_accents").map(truthy),
        "lowercase": option("do_lower_case").is_none_or(truthy),
    });
    json["pre_tokenizer"] = json!({"type": "BertPreTokenizer"});
    json["post_processor"] = Value::Null;
    json["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
}

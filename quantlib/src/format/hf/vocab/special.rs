//! Special tokens, merges, chat template and normalizer flags, gathered from a folder's JSON files.

use super::files::Files;
use super::json::{list, token_id, true_entry, truthy};
use super::merges;
use super::post_processor::{Added, Specials};
use super::template;
use crate::error::Result;
use crate::format::ChatTemplate;
use crate::format::hf::{Folder, Object};
use crate::model::{Array, Metadata, StringArray};
use indexmap::IndexMap;
use serde_json::Value;

/// The kinds of special tokens that are looked for, in the order in which they are written.
pub(super) const COMMON_KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/// What a folder says about its special tokens.
#[derive(Debug, Default)]
pub(super) struct SpecialVocab {
    merges: Option<StringArray>,
    /// Every id that some file gives for a kind, best source first.
    ids: Vec<(String, u32)>,
    add: Added,
    template: Option<ChatTemplate>,
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
}

impl SpecialVocab {
    /// Gathers special tokens of these `kinds` and, if wanted, the merges.
    pub(super) fn load(
        folder: &Folder,
        files: &Files,
        kinds: &[&str],
        with_merges: bool,
    ) -> Result<Self> {
        let mut special = Self::default();
        if with_merges {
            special.merges = merges::load(folder, files)?;
        }
        let kinds = special.load_tokenizer(folder, files, kinds)?;
        special.load_config(folder, &kinds)?;
        Ok(special)
    }

    /// Adds an id for a kind that no file may have named.
    pub(super) fn add_id(&mut self, kind: &str, id: u32) {
        self.ids.push((kind.to_owned(), id));
    }

    /// Without the chat template.
    pub(super) fn without_template(mut self) -> Self {
        self.template = None;
        self
    }

    fn load_tokenizer(
        &mut self,
        folder: &Folder,
        files: &Files,
        kinds: &[&str],
    ) -> Result<Vec<String>> {
        let config = files.config.as_ref().filter(|config| !config.is_empty());
        let mut specials = Specials::new(config, kinds);
        if let Some(json) = files.json.as_ref().filter(|json| truthy(json)) {
            if let Some(normalizer) = true_entry(json, "normalizer") {
                self.read_normalizer(normalizer);
            }
            specials.read_tokenizer(json);
        }
        let (kinds, entries, add) = specials.into_parts();
        self.add = add;
        if let Some(config) = config {
            self.template = template::load(folder, config)?;
            let added = files
                .json
                .as_ref()
                .map_or(&[][..], |json| list(json, "added_tokens"));
            self.read_entries(config, &entries, &kinds, added)
                .map_err(|e| e.in_file(folder.path().join("tokenizer.json")))?;
        }
        Ok(kinds)
    }

    /// Looks up the tokens that `tokenizer_config.json` names among the added tokens.
    fn read_entries(
        &mut self,
        config: &Object,
        entries: &Object,
        kinds: &[String],
        added: &[Value],
    ) -> Result<()> {
        for kind in kinds {
            if let Some(Value::Bool(add)) = config.get(&format!("add_{kind}_token")) {
                self.add.entry(kind.clone()).or_insert(*add);
            }
            let content = match entries.get(&format!("{kind}_token")) {
                Some(Value::String(content)) => Some(content.as_str()),
                Some(entry) => entry.get("content").and_then(Value::as_str),
                None => None,
            };
            let Some(content) = content else { continue };
            let token = added
                .iter()
                .find(|token| token.get("content").and_then(Value::as_str) == Some(content));
            if let Some(id) = token.and_then(|token| token.get("id")) {
                self.set_id(kind, id)?;
            }
        }
        Ok(())
    }

    /// Reads the ids that `config.json` itself gives, at its top or for its language model.
    fn load_config(&mut self, folder: &Folder, kinds: &[String]) -> Result<()> {
        let inner = folder.config().get("text_config");
        for kind in kinds {
            let key = format!("{kind}_token_id");
            let top = folder.config().get(&key).filter(|id| !id.is_null());
            let id = top.or_else(|| inner.and_then(|inner| inner.get(&key)));
            if let Some(id) = id {
                self.set_id(kind, id)
                    .map_err(|e| e.in_file(folder.path().join("config.json")).in_key(key))?;
            }
        }
        Ok(())
    }

    fn set_id(&mut self, kind: &str, id: &Value) -> Result<()> {
        if let Some(id) = token_id(id)? {
            self.add_id(kind, id);
        }
        Ok(())
    }

    fn read_normalizer(&mut self, normalizer: &Value) {
        match normalizer.get("type").and_then(Value::as_str) {
            Some("Lowercase") => self.lowercase = Some(true),
            Some("StripAccents") => self.strip_accents = Some(true),
            Some("BertNormalizer") => {
                if let Some(flag) = normalizer.get("lowercase") {
                    self.lowercase = flag.as_bool();
                }
                if let Some(flag) = normalizer.get("strip_accents") {
                    self.strip_accents = flag.as_bool();
                }
            }
            Some("Sequence") => {
                for normalizer in list(normalizer, "normalizers") {
                    self.read_normalizer(normalizer);
                }
            }
            _ => {}
        }
    }

    /// Writes the keys in the converter's order. Ids from `tokens` on are left out, where it is given.
    pub(super) fn write(self, tokens: Option<usize>, out: &mut Metadata) {
        if let Some(merges) = self.merges.filter(|merges| !merges.is_empty()) {
            out.insert("tokenizer.ggml.merges".into(), Array::String(merges).into());
        }
        let mut ids = IndexMap::new();
        for (kind, id) in self.ids {
            if tokens.is_none_or(|tokens| (id as usize) < tokens) {
                ids.entry(kind).or_insert(id);
            }
        }
        for (kind, id) in ids {
            if let Some(key) = id_key(&kind) {
                out.insert(key.into(), id.into());
            }
        }
        for (kind, add) in self.add {
            if matches!(kind.as_str(), "bos" | "eos" | "sep") {
                out.insert(format!("tokenizer.ggml.add_{kind}_token"), add.into());
            }
        }
        if let Some(template) = self.template {
            template.write(out);
        }
        let flags = [
            ("lowercase", self.lowercase),
            ("strip_accents", self.strip_accents),
        ];
        for (name, flag) in flags {
            if let Some(flag) = flag {
                out.insert(format!("tokenizer.ggml.normalizer.{name}"), flag.into());
            }
        }
    }
}

/// The key under which GGUF keeps the id of a kind; kinds without one are not written.
fn id_key(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "bos" => "tokenizer.ggml.bos_token_id",
        "eos" => "tokenizer.ggml.eos_token_id",
        "unk" => "tokenizer.ggml.unknown_token_id",
        "sep" => "tokenizer.ggml.seperator_token_id",
        "pad" => "tokenizer.ggml.padding_token_id",
        "mask" => "tokenizer.ggml.mask_token_id",
        "eot" => "tokenizer.ggml.eot_token_id",
        "eom" => "tokenizer.ggml.eom_token_id",
        _ => return None,
    })
}

//! Which special tokens a tokenizer puts around a text, read off its post-processor.
//!
//! The converter does this by simple rules, with surprises that its files depend on: a token that
//! `tokenizer_config.json` describes by an object is never equal to the post-processor's string.

use super::json::{list, true_entry, truthy};
use crate::format::hf::Object;
use indexmap::IndexMap;
use serde_json::Value;

/// Whether tokens of a kind are added to texts, in the order of discovery.
pub(super) type Added = IndexMap<String, bool>;

/// The special tokens that `tokenizer_config.json` names, corrected by the post-processor.
pub(super) struct Specials {
    kinds: Vec<String>,
    /// The `*_token` entries of `tokenizer_config.json`; `None` without such a file.
    entries: Option<Object>,
    add: Added,
    bos: Option<Value>,
    eos: Option<Value>,
    cls: Option<Value>,
    sep: Option<Value>,
}

impl Specials {
    pub(super) fn new(config: Option<&Object>, kinds: &[&str]) -> Self {
        let entries: Option<Object> = config.map(|config| {
            let tokens = config.iter().filter(|(key, _)| key.ends_with("_token"));
            tokens
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        });
        let entry = |key: &str| entries.as_ref()?.get(key).filter(|v| truthy(v)).cloned();
        Self {
            kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
            add: Added::new(),
            bos: entry("bos_token"),
            eos: entry("eos_token"),
            cls: entry("cls_token"),
            sep: entry("sep_token"),
            entries,
        }
    }

    /// The kinds to look for, the tokens by `*_token` name, and what is added.
    pub(super) fn into_parts(self) -> (Vec<String>, Object, Added) {
        (self.kinds, self.entries.unwrap_or_default(), self.add)
    }

    /// Reads the post-processor of a `tokenizer.json`.
    pub(super) fn read_tokenizer(&mut self, json: &Value) {
        if self.bos.is_none() && self.cls.is_some() {
            self.bos = self.cls.clone();
            self.set_entry("bos_token", self.bos.clone());
        }
        if self.eos.is_none() && self.sep.is_some() {
            self.eos = self.sep.clone();
            self.set_entry("eos_token", self.eos.clone());
        }
        let Some(processor) = true_entry(json, "post_processor") else {
            return;
        };
        match processor.get("processors").and_then(Value::as_array) {
            Some(processors) => processors.iter().for_each(|p| self.read_processor(p)),
            None => self.read_processor(processor),
        }
    }

    fn read_processor(&mut self, processor: &Value) {
        match processor.get("type").and_then(Value::as_str) {
            Some("ByteLevel") => {
                self.add.entry("bos".into()).or_insert(false);
                self.add.entry("eos".into()).or_insert(false);
            }
            Some("RobertaProcessing") => self.read_roberta(processor),
            Some("TemplateProcessing") => self.read_template(processor),
            _ => {}
        }
    }

    fn read_roberta(&mut self, processor: &Value) {
        for kind in ["bos", "eos", "sep"] {
            self.add.insert(kind.into(), true);
        }
        if self.entries.is_none() {
            return;
        }
        let token = |key: &str, default: &Option<Value>| match processor.get(key) {
            Some(token) => token.get(0).cloned(),
            None => default.clone(),
        };
        if self.cls.is_none() {
            self.cls = token("cls", &self.bos);
            self.set_entry("cls_token", self.cls.clone());
        }
        if self.sep.is_none() {
            self.sep = token("sep", &self.eos);
            self.set_entry("sep_token", self.sep.clone());
        }
    }

    fn read_template(&mut self, processor: &Value) {
        let (mut first, mut last) = (None, None);
        if let [start, .., end] = list(processor, "single") {
            first = special_token(start);
            last = special_token(end);
        }
        if let Some(first) = first {
            self.read_first(first);
        }
        if let Some(last) = last {
            self.read_last(last);
        }
        self.read_pair(list(processor, "pair"), first, last);
    }

    /// The token before a text is BOS or CLS; it fills whichever of them is not known.
    fn read_first(&mut self, first: &Value) {
        let is_known = |this: &Self| [&this.bos, &this.cls].contains(&&Some(first.clone()));
        if self.entries.is_none() {
            self.bos = Some(first.clone());
        } else if !is_known(self) {
            if self.bos.is_none() {
                self.bos = Some(first.clone());
                self.set_entry("bos_token", self.bos.clone());
            }
            if self.cls.is_none() {
                self.cls = Some(first.clone());
                self.set_entry("cls_token", self.cls.clone());
            }
        }
        let known = is_known(self);
        self.add.insert("bos".into(), known);
    }

    /// The token after a text is EOS; what was called so before ends turns or messages.
    fn read_last(&mut self, last: &Value) {
        let last = Some(last.clone());
        if self.entries.is_some() && last != self.eos {
            let spare = ["eot", "eom"]
                .into_iter()
                .find(|spare| !self.kinds.iter().any(|kind| kind == spare));
            if let Some(spare) = spare {
                self.kinds.push(spare.to_owned());
                self.set_entry(&format!("{spare}_token"), self.eos.clone());
            }
            self.set_entry("eos_token", last.clone());
        }
        self.eos = last;
        self.add.insert("eos".into(), true);
    }

    /// Between two texts stands SEP or EOS: `A [sep] [eos] B`.
    fn read_pair(&mut self, pair: &[Value], first: Option<&Value>, last: Option<&Value>) {
        let mut pair = pair;
        if let [start, rest @ ..] = pair
            && first.is_some()
            && special_token(start) == first
        {
            pair = rest;
        }
        if let [rest @ .., end] = pair
            && last.is_some()
            && special_token(end) == last
        {
            pair = rest;
        }
        let [a, middle @ .., b] = pair else { return };
        if sequence(a) != Some("A") || sequence(b) != Some("B") || middle.is_empty() {
            return;
        }
        let is_separator = |item: &Value| {
            let token = special_token(item);
            token.is_some() && [self.sep.as_ref(), self.eos.as_ref()].contains(&token)
        };
        let mut add = last.is_none() && is_separator(&middle[0]);
        if let [_, second] = middle {
            add |= is_separator(second);
        }
        self.add.insert("sep".into(), add);
        if add && self.sep.is_none() {
            self.set_entry("sep_token", self.eos.clone());
        }
    }

    /// Changes what `tokenizer_config.json` says, if there is one.
    fn set_entry(&mut self, key: &str, value: Option<Value>) {
        if let Some(entries) = &mut self.entries {
            entries.insert(key.to_owned(), value.unwrap_or(Value::Null));
        }
    }
}

/// The special token that an item of a template stands for.
fn special_token(item: &Value) -> Option<&Value> {
    true_entry(item.get("SpecialToken")?, "id")
}

/// The name of the text that an item of a template stands for.
fn sequence(item: &Value) -> Option<&str> {
    item.get("Sequence")?.get("id")?.as_str()
}

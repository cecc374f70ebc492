//! Other keys and values, in the way of gguf-py's gguf_new_metadata.py.

use crate::error::{Error, Result};
use crate::format::ChatTemplate;
use crate::format::chat_template::KEY as CHAT_TEMPLATE;
use crate::model::{Array, Metadata, StringArray, Value};

const ARCHITECTURE: &str = "general.architecture";
const TOKENS: &str = "tokenizer.ggml.tokens";

/// The special tokens that GGUF knows; `tokenizer.ggml.NAME_token_id` is the key of each.
pub const SPECIAL_TOKENS: &[&str] = &[
    "bos",
    "eos",
    "eot",
    "eom",
    "unknown",
    "seperator",
    "padding",
    "mask",
    "fim_pre",
    "fim_suf",
    "fim_mid",
    "fim_pad",
    "fim_rep",
    "fim_sep",
    "prefix",
    "suffix",
    "middle",
];

/// One change of a model's metadata.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Sets a key. One that is there keeps its place, a new one goes last.
    Set {
        /// The key.
        key: String,
        /// Its value, of another type than before if so wished.
        value: Value,
    },
    /// Removes a key.
    Remove {
        /// The key, which need not be there.
        key: String,
    },
    /// Gives a key another name, at its place.
    Rename {
        /// The key, which must be there.
        from: String,
        /// A key that is not there.
        to: String,
    },
    /// Replaces all chat templates; the new ones go last.
    ChatTemplate(ChatTemplate),
    /// Sets a special token.
    SpecialToken {
        /// One of [`SPECIAL_TOKENS`].
        name: String,
        /// Which one it is.
        token: Token,
    },
}

/// A token of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// By its number.
    Id(u32),
    /// By its text; the first of that text.
    Text(String),
}

impl Change {
    /// Sets a key.
    pub fn set(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Set {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Removes a key.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::Remove { key: key.into() }
    }
}

/// The metadata after the changes, one after the other. `general.architecture` goes first, as
/// gguf-py has it.
///
/// # Errors
/// `misuse` for removing or renaming `general.architecture`, for keys to be renamed that are not
/// there, or are there already, and for tokens that the model has not.
pub fn edited(metadata: &Metadata, changes: &[Change]) -> Result<Metadata> {
    let mut out = metadata.clone();
    for change in changes {
        apply(change, &mut out)?;
    }
    if let Some(index) = out.get_index_of(ARCHITECTURE) {
        out.move_index(index, 0);
    }
    Ok(out)
}

fn apply(change: &Change, out: &mut Metadata) -> Result<()> {
    match change {
        Change::Set { key, value } => {
            out.insert(key.clone(), value.clone());
        }
        Change::Remove { key } => {
            keep_architecture(key)?;
            out.shift_remove(key);
        }
        Change::Rename { from, to } => rename(out, from, to)?,
        Change::ChatTemplate(template) => {
            out.retain(|key, _| !key.starts_with(CHAT_TEMPLATE));
            template.clone().write(out);
        }
        Change::SpecialToken { name, token } => {
            let id = token_id(out, name, token)?;
            out.insert(format!("tokenizer.ggml.{name}_token_id"), Value::U32(id));
        }
    }
    Ok(())
}

fn keep_architecture(key: &str) -> Result<()> {
    if key != ARCHITECTURE {
        return Ok(());
    }
    Err(Error::misuse("must stay, for no program can load a model without it").in_key(key))
}

fn rename(out: &mut Metadata, from: &str, to: &str) -> Result<()> {
    keep_architecture(from)?;
    if out.contains_key(to) {
        return Err(Error::misuse("is there already; remove it first").in_key(to));
    }
    let Some((index, _, value)) = out.shift_remove_full(from) else {
        return Err(Error::misuse("is not there, so it cannot be renamed").in_key(from));
    };
    out.shift_insert(index, to.to_owned(), value);
    Ok(())
}

fn token_id(metadata: &Metadata, name: &str, token: &Token) -> Result<u32> {
    if !SPECIAL_TOKENS.contains(&name) {
        return Err(Error::misuse(format!(
            "'{name}' is no special token; these are: {}",
            SPECIAL_TOKENS.join(", ")
        )));
    }
    let none = StringArray::default();
    let tokens = match metadata.get(TOKENS) {
        Some(Value::Array(Array::String(tokens))) => tokens,
        _ => &none,
    };
    let found = match token {
        Token::Id(id) => (*id as usize) < tokens.len(),
        Token::Text(text) => {
            let mut all = tokens.iter();
            let at = all.position(|token| token == text.as_str());
            return at.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| {
                Error::misuse(format!("there is no token '{text}'")).in_key(TOKENS)
            });
        }
    };
    match (found, token) {
        (true, Token::Id(id)) => Ok(*id),
        _ => Err(Error::misuse(format!(
            "there is no such token among the {} that the model has",
            tokens.len()
        ))
        .in_key(TOKENS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Metadata {
        let tokens: StringArray = ["<s>", "a", "b", "a"].into_iter().collect();
        Metadata::from_iter([
            ("general.name".to_owned(), Value::from("x")),
            (ARCHITECTURE.to_owned(), Value::from("llama")),
            ("tokenizer.chat_template".to_owned(), Value::from("old")),
            ("tokenizer.chat_templates".to_owned(), Value::from("old")),
            (TOKENS.to_owned(), Array::String(tokens).into()),
            ("z".to_owned(), Value::from(1u8)),
        ])
    }

    fn keys(changes: &[Change]) -> Result<String> {
        let out = edited(&document(), changes)?;
        Ok(out.keys().map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    fn rename(from: &str, to: &str) -> Change {
        Change::Rename {
            from: from.into(),
            to: to.into(),
        }
    }

    fn special(name: &str, token: Token) -> Change {
        Change::SpecialToken {
            name: name.into(),
            token,
        }
    }

    #[test]
    fn keys_keep_their_places() {
        let changes = [
            Change::set("general.name", 7u32),
            Change::set("new", "y"),
            rename(TOKENS, "t"),
            Change::remove("z"),
            Change::remove("nothing"),
        ];
        let templates = "tokenizer.chat_template tokenizer.chat_templates";
        assert_eq!(
            keys(&changes).unwrap(),
            format!("general.architecture general.name {templates} t new")
        );
        let template = ChatTemplate::from_text(r#"[{"name": "a b", "template": "T"}]"#).unwrap();
        assert_eq!(
            keys(&[Change::ChatTemplate(template)]).unwrap(),
            format!(
                "general.architecture general.name {TOKENS} z tokenizer.chat_template.a_b tokenizer.chat_templates"
            )
        );
    }

    #[test]
    fn special_tokens_are_in_the_vocabulary() {
        let id = |token| {
            let out = edited(&document(), &[special("eos", token)])?;
            Ok::<_, Error>(out["tokenizer.ggml.eos_token_id"].clone())
        };
        assert_eq!(id(Token::Text("a".into())).unwrap(), Value::U32(1));
        assert_eq!(id(Token::Id(3)).unwrap(), Value::U32(3));
        assert!(id(Token::Id(4)).is_err() && id(Token::Text("c".into())).is_err());
        assert!(keys(&[special("end", Token::Id(0))]).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = [
            Change::remove(ARCHITECTURE),
            rename(ARCHITECTURE, "a"),
            rename("nothing", "a"),
            rename("z", "general.name"),
        ];
        for change in refused {
            assert!(keys(std::slice::from_ref(&change)).is_err(), "{change:?}");
        }
    }
}

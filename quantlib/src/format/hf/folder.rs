//! A model folder: its JSON files, parsed within limits.

use crate::error::{Error, ErrorKind, Result};
use crate::io::FileSource;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A JSON object in file order.
pub type Object = Map<String, Value>;

const CONFIG: &str = "config.json";

/// Longest JSON file that is read. `tokenizer.json` with 256k tokens has 35 MB.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// Longest plain text file that is read: templates, merges, model cards.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Where composite models keep the configuration of their language model; the first one counts.
const TEXT_CONFIG_KEYS: [&[&str]; 6] = [
    &["lfm"],
    &["language_config"],
    &["thinker_config", "text_config"],
    &["lm_config"],
    &["llm_config"],
    &["text_config"],
];

/// An opened Hugging Face model folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    config: Object,
    hparams: Object,
    generation_config: Option<Object>,
}

impl Folder {
    /// Opens a folder: parses `config.json` and, if it is there, `generation_config.json`.
    ///
    /// # Errors
    /// `io` if the folder or its `config.json` cannot be read, `malformed` if a file is not what its
    /// name says, `limit` if one is too long; each names the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let folder = Self::without_config(path)?;
        match folder.has(CONFIG) {
            true => Ok(folder),
            false => Err(missing_config(path)),
        }
    }

    /// [`open`](Self::open) where `config.json` may be missing, as in an adapter's folder; it is an
    /// empty object then.
    pub fn without_config(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::misuse("is not a folder").in_file(path));
        }
        let mut folder = Self {
            path: path.to_path_buf(),
            config: Object::new(),
            hparams: Object::new(),
            generation_config: None,
        };
        folder.config = folder.object(CONFIG)?.unwrap_or_default();
        folder.hparams = folder.config.clone();
        if let Some(text) = folder.text_config() {
            let text = text.clone();
            folder.hparams.extend(text);
        }
        folder.generation_config = folder.object("generation_config.json")?;
        Ok(folder)
    }

    /// The folder, as the caller named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json` as it is.
    pub fn config(&self) -> &Object {
        &self.config
    }

    /// The configuration of a composite model's language model, whatever its key.
    pub fn text_config(&self) -> Option<&Object> {
        TEXT_CONFIG_KEYS.iter().find_map(|path| {
            path.iter().try_fold(&self.config, |config, key| {
                config.get(*key).and_then(Value::as_object)
            })
        })
    }

    /// `config.json` with the entries of [`text_config`](Self::text_config) at the top, where they win.
    pub fn hparams(&self) -> &Object {
        &self.hparams
    }

    /// `generation_config.json`, if it is there.
    pub fn generation_config(&self) -> Option<&Object> {
        self.generation_config.as_ref()
    }

    /// The model class, such as `LlamaForCausalLM`: the language model's own, where it has one.
    ///
    /// # Errors
    /// `malformed` if `config.json` names none.
    pub fn architecture(&self) -> Result<&str> {
        self.text_config()
            .and_then(first_architecture)
            .or_else(|| first_architecture(&self.config))
            .ok_or_else(|| {
                Error::malformed("names no model class; add \"architectures\": [\"...\"]")
                    .in_file(self.path.join("config.json"))
                    .in_key("architectures")
            })
    }

    /// Whether the folder has a regular file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// A JSON file of the folder, `None` if it is not there.
    pub fn json(&self, name: &str) -> Result<Option<Value>> {
        let Some(text) = read_text(&self.path.join(name), MAX_JSON_BYTES)? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&text).map_err(|e| {
            Error::malformed(format!("is not valid JSON: {e}")).in_file(self.path.join(name))
        })?;
        Ok(Some(value))
    }

    /// A JSON file of the folder that must be an object, `None` if it is not there.
    pub fn object(&self, name: &str) -> Result<Option<Object>> {
        match self.json(name)? {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(Error::malformed("is not a JSON object").in_file(self.path.join(name))),
        }
    }

    /// A binary file of the folder of at most `limit` bytes, `None` if it is not there.
    pub(crate) fn bytes(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        read_bytes(&self.path.join(name), limit)
    }

    /// A UTF-8 text file of the folder with every line ending as `\n`, `None` if it is not there.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        let text = read_text(&self.path.join(name), MAX_TEXT_BYTES)?;
        Ok(text.map(|text| match text.contains('\r') {
            true => text.replace("\r\n", "\n").replace('\r', "\n"),
            false => text,
        }))
    }
}

fn missing_config(path: &Path) -> Error {
    Error::new(
        ErrorKind::Io,
        "there is no config.json; a Hugging Face model folder needs one",
    )
    .in_file(path)
}

fn first_architecture(config: &Object) -> Option<&str> {
    config.get("architectures")?.get(0)?.as_str()
}

/// A whole UTF-8 file of at most `limit` bytes; `None` if there is none of this name.
fn read_text(path: &Path, limit: u64) -> Result<Option<String>> {
    match read_bytes(path, limit)? {
        None => Ok(None),
        Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Error::malformed(format!("is not UTF-8 text at byte {at}")).in_file(path)
        }),
    }
}

fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    if !path.exists() {
        return Ok(None);
    }
    let source = FileSource::open(path)?;
    if source.len() > limit {
        return Err(Error::limit(format!(
            "has {} bytes, more than the {limit} that such a file may have",
            source.len()
        ))
        .in_file(path));
    }
    let mut bytes = vec![0; source.len() as usize];
    source.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        dir
    }

    fn open_error(files: &[(&str, &str)]) -> Error {
        Folder::open(folder(files).path()).unwrap_err()
    }

    #[test]
    fn configuration_of_the_language_model_moves_to_the_top() {
        let dir = folder(&[(
            "config.json",
            r#"{"architectures": ["Outer"], "hidden_size": 1, "last": 0,
                "llm_config": {"hidden_size": 2, "architectures": ["Inner"], "own": 3}}"#,
        )]);
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.architecture().unwrap(), "Inner");
        assert_eq!(folder.hparams()["hidden_size"], 2);
        assert_eq!(folder.hparams()["own"], 3);
        assert_eq!(folder.config()["hidden_size"], 1);
        assert!(folder.generation_config().is_none());
    }

    #[test]
    fn text_has_one_kind_of_line_ending() {
        let dir = folder(&[("config.json", "{}"), ("a.jinja", "a\r\nb\rc\n")]);
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.text("a.jinja").unwrap().unwrap(), "a\nb\nc\n");
        assert!(folder.text("b.jinja").unwrap().is_none());
        let error = folder.architecture().unwrap_err().to_string();
        assert!(
            error.contains("config.json") && error.contains("architectures"),
            "{error}"
        );
    }

    #[test]
    fn errors_name_the_file() {
        let missing = open_error(&[]);
        assert_eq!(missing.kind(), ErrorKind::Io);
        assert!(missing.to_string().contains("config.json"), "{missing}");
        for (content, what) in [
            ("[]", "not a JSON object"),
            ("{", "not valid JSON"),
            (&"[".repeat(100_000), "recursion limit"),
        ] {
            let error = open_error(&[("config.json", content)]);
            assert_eq!(error.kind(), ErrorKind::Malformed);
            let text = error.to_string();
            assert!(
                text.contains("config.json") && text.contains(what),
                "{text}"
            );
        }
        let error = open_error(&[("config.json", "{}"), ("generation_config.json", "1")]);
        assert!(
            error.to_string().contains("generation_config.json"),
            "{error}"
        );
        let error = Folder::open("no/such/folder").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
    }

    #[test]
    fn files_that_are_too_long_are_not_read() {
        let dir = folder(&[("config.json", "{}")]);
        let file = std::fs::File::create(dir.path().join("big.json")).unwrap();
        file.set_len(MAX_JSON_BYTES + 1).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(
            folder.json("big.json").unwrap_err().kind(),
            ErrorKind::Limit
        );
    }
}

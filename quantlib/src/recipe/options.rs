//! Everything besides the recipe that changes what a quantized file holds.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::io::FileSource;
use crate::model::{ImportanceSummary, Value};
use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;

/// Wishes beyond the recipe; the default has none. The names are llama-quantize's options.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// One type for every tensor instead of the recipe's mixture.
    pub pure: bool,
    /// Leave `output.weight` as it is stored.
    pub leave_output_tensor: bool,
    /// The type of `output.weight`, or of the embeddings that stand in for it.
    pub output_tensor_type: Option<DType>,
    /// The type of the token embeddings.
    pub token_embedding_type: Option<DType>,
    /// Types for tensors whose name a pattern finds; the first pattern that does decides. Patterns
    /// are ECMAScript regular expressions, put in lower case first. Only for quantized recipes.
    pub tensor_types: Vec<TensorType>,
    /// Layers to leave out; the rest are renumbered.
    pub prune_layers: Vec<u32>,
    /// Metadata to set, which the choice of types sees too.
    pub override_kv: Vec<KvOverride>,
    /// Encode tensors again that are quantized already, and so lose more.
    pub allow_requantize: bool,
    /// One output file for each input file, with tensors in the input's order.
    pub keep_split: bool,
    /// What is known of the importance weights that the job will encode with.
    pub importance: Option<ImportanceSummary>,
    /// Use importance only for tensors whose name has one of these parts, if there are any.
    pub include_weights: Vec<String>,
    /// Use no importance for tensors whose name has one of these parts.
    pub exclude_weights: Vec<String>,
}

impl QuantizeOptions {
    /// The importance that is left of the matrix after inclusion and exclusion, if any entries are:
    /// llama-quantize takes an empty matrix for none.
    ///
    /// # Errors
    /// `misuse` if weights are both included and excluded.
    pub fn used_importance(&self) -> Result<Option<Cow<'_, ImportanceSummary>>> {
        let (include, exclude) = (&self.include_weights, &self.exclude_weights);
        if !include.is_empty() && !exclude.is_empty() {
            return Err(Error::misuse(
                "importance weights cannot be included and excluded at once; give --include-weights or --exclude-weights",
            ));
        }
        let Some(importance) = &self.importance else {
            return Ok(None);
        };
        let mut importance = Cow::Borrowed(importance);
        if !include.is_empty() || !exclude.is_empty() {
            let any = |name: &str, parts: &[String]| parts.iter().any(|part| name.contains(part));
            let used =
                |name: &String| !any(name, exclude) && (include.is_empty() || any(name, include));
            importance.to_mut().entries.retain(|name, _| used(name));
        }
        Ok((!importance.entries.is_empty()).then_some(importance))
    }
}

/// A type for the tensors that a pattern finds. Parses from `PATTERN=TYPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// An ECMAScript regular expression, searched for anywhere in the name.
    pub pattern: String,
    /// The type.
    pub dtype: DType,
}

impl TensorType {
    /// Reads a file of these, `PATTERN=TYPE` with white space between, as llama-quantize's
    /// `--tensor-type-file`.
    ///
    /// # Errors
    /// `io` if the file cannot be read, `malformed` if it is not UTF-8, `limit` beyond 16 MiB,
    /// `misuse` for what is no pattern and type.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        const LONGEST: u64 = 16 << 20;
        let path = path.as_ref();
        let named = |e: Error| e.in_file(path);
        let source = FileSource::open(path)?;
        if source.len() > LONGEST {
            return Err(named(Error::limit(
                "is too long for a list of tensor types",
            )));
        }
        let mut bytes = vec![0; source.len() as usize];
        source.read_exact_at(&mut bytes, 0)?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| named(Error::malformed("is not UTF-8")))?;
        // What C counts as white space, and so a vertical tab too.
        let words = text.split(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let words = words.filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(named)).collect()
    }
}

impl FromStr for TensorType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pattern, dtype) = text
            .split_once('=')
            .filter(|(pattern, dtype)| !pattern.is_empty() && !dtype.is_empty())
            .ok_or_else(|| {
                Error::misuse(format!(
                    "'{text}' is no tensor type; write PATTERN=TYPE, such as attn_v=q8_0"
                ))
            })?;
        Ok(Self {
            pattern: pattern.to_owned(),
            dtype: dtype.parse()?,
        })
    }
}

/// Metadata to set. Parses from `KEY=TYPE:VALUE`, where the type is int, float, bool or str.
#[derive(Clone, Debug, PartialEq)]
pub struct KvOverride {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: OverrideValue,
}

/// The values that llama-quantize can set.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OverrideValue {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(String),
}

/// Longest key and longest string of an override, in bytes: llama.cpp has fields of 128 with a NUL.
pub(super) const OVERRIDE_BYTES: usize = 127;

impl OverrideValue {
    /// As the file stores it: integers lose their sign and become u32, floats become f32.
    pub(super) fn stored(&self) -> Value {
        match self {
            Self::Int(v) => Value::U32(v.unsigned_abs() as u32),
            Self::Float(v) => Value::F32(*v as f32),
            Self::Bool(v) => Value::Bool(*v),
            Self::Str(v) => Value::String(v.as_str().into()),
        }
    }
}

impl FromStr for KvOverride {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::misuse(format!(
                "'{text}' is no override: {what}; write KEY=TYPE:VALUE with int, float, bool or str as the type"
            ))
        };
        let (key, typed) = text
            .split_once('=')
            .ok_or_else(|| wrong("'=' is missing"))?;
        let (kind, value) = typed
            .split_once(':')
            .ok_or_else(|| wrong("':' is missing"))?;
        if key.len() > OVERRIDE_BYTES || value.len() > OVERRIDE_BYTES {
            return Err(wrong("keys and values have 127 bytes at most"));
        }
        let value = match kind {
            "int" => value.parse().ok().map(OverrideValue::Int),
            "float" => value.parse().ok().map(OverrideValue::Float),
            "bool" => value.parse().ok().map(OverrideValue::Bool),
            "str" => Some(OverrideValue::Str(value.to_owned())),
            _ => None,
        };
        Ok(Self {
            key: key.to_owned(),
            value: value.ok_or_else(|| wrong("the value does not fit the type"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_parse() {
        let parse = |text: &str| text.parse::<KvOverride>().map(|o| (o.key, o.value));
        let int = parse("llama.block_count=int:-3").unwrap();
        assert_eq!(int, ("llama.block_count".into(), OverrideValue::Int(-3)));
        assert_eq!(int.1.stored(), Value::U32(3));
        assert_eq!(parse("a=float:1e-5").unwrap().1.stored(), Value::F32(1e-5));
        assert_eq!(parse("a=bool:true").unwrap().1, OverrideValue::Bool(true));
        assert_eq!(
            parse("a=str:b=c:d").unwrap().1,
            OverrideValue::Str("b=c:d".into())
        );
        for wrong in ["a", "a=b", "a=int:x", "a=bool:1", "a=u8:1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&format!("a=str:{}", "x".repeat(128))).is_err());
    }

    #[test]
    fn files_of_tensor_types_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("types.txt");
        std::fs::write(&path, "attn_v=q8_0\r\n\tffn=Q6_K  a=b=f16").unwrap();
        let error = TensorType::read_file(&path).unwrap_err();
        assert_eq!(error.file(), Some(path.as_path()));
        std::fs::write(&path, " attn_v=q8_0\r\n\tffn=Q6_K\n").unwrap();
        let types = TensorType::read_file(&path).unwrap();
        let types: Vec<_> = types
            .iter()
            .map(|t| (t.pattern.as_str(), t.dtype))
            .collect();
        assert_eq!(types, [("attn_v", DType::Q8_0), ("ffn", DType::Q6K)]);
    }

    #[test]
    fn tensor_types_parse() {
        let parsed: TensorType = r"blk\.\d+\.attn_v=Q8_0".parse().unwrap();
        assert_eq!(
            (parsed.pattern.as_str(), parsed.dtype),
            (r"blk\.\d+\.attn_v", DType::Q8_0)
        );
        for wrong in ["attn_v", "=q8_0", "attn_v=", "attn_v=q9"] {
            assert!(wrong.parse::<TensorType>().is_err(), "{wrong}");
        }
    }
}

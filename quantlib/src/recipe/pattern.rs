//! Types for tensors whose names a pattern finds.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::recipe::options::TensorType;
use regress::Regex;

/// Compiled patterns with their types, in order of precedence.
pub(super) struct Patterns(Vec<(Regex, DType)>);

impl Patterns {
    /// Compiles the patterns, in lower case as llama-quantize has it.
    ///
    /// # Errors
    /// `misuse` for what is no pattern, or no type of ggml's.
    pub(super) fn new(wishes: &[TensorType]) -> Result<Self> {
        let compile = |wish: &TensorType| {
            if wish.dtype.ggml_id().is_none() {
                return Err(Error::misuse(format!(
                    "{} is no type of a GGUF file; choose another for '{}'",
                    wish.dtype, wish.pattern
                )));
            }
            let wrong = |what: &str| {
                Error::misuse(format!(
                    "'{}' is no tensor name pattern: {what}",
                    wish.pattern
                ))
            };
            // C++ knows these from POSIX; here they would mean something else without a word.
            if ["[:", "[.", "[="]
                .iter()
                .any(|part| wish.pattern.contains(part))
            {
                return Err(wrong(
                    "named classes such as [[:digit:]] are not supported; write [0-9]",
                ));
            }
            let regex = Regex::new(&wish.pattern.to_ascii_lowercase())
                .map_err(|e| wrong(&e.to_string()))?;
            Ok((regex, wish.dtype))
        };
        wishes.iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// The type that the first pattern found in `name` asks for.
    pub(super) fn find(&self, name: &str) -> Option<DType> {
        let mut found = self
            .0
            .iter()
            .filter(|(regex, _)| regex.find(name).is_some());
        found.next().map(|(_, dtype)| *dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(wishes: &[&str]) -> Result<Patterns> {
        let wishes: Vec<_> = wishes.iter().map(|wish| wish.parse().unwrap()).collect();
        Patterns::new(&wishes)
    }

    #[test]
    fn the_first_pattern_found_decides() {
        let found = patterns(&[r"BLK\.\D+\.attn_v=q8_0", "attn=q6_k"]).unwrap();
        assert_eq!(found.find("blk.12.attn_v.weight"), Some(DType::Q8_0));
        assert_eq!(found.find("blk.x.attn_v.weight"), Some(DType::Q6K));
        assert_eq!(found.find("blk.0.ffn_up.weight"), None);
    }

    #[test]
    fn wrong_patterns_are_errors() {
        for wrong in ["a(=q8_0", "[[:digit:]]=q8_0", "a=u8"] {
            assert!(patterns(&[wrong]).is_err(), "{wrong}");
        }
    }
}

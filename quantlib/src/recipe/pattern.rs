//! Types for tensors whose names a pattern finds.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::NamePattern;
use crate::recipe::options::TensorType;

/// Compiled patterns with their types, in order of precedence.
pub(super) struct Patterns(Vec<(NamePattern, DType)>);

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
            let pattern = wish.pattern.to_ascii_lowercase().parse()?;
            Ok((pattern, wish.dtype))
        };
        wishes.iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// The type that the first pattern found in `name` asks for.
    pub(super) fn find(&self, name: &str) -> Option<DType> {
        let mut found = self.0.iter().filter(|(pattern, _)| pattern.is_in(name));
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

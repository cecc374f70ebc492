//! Recognizing a pre-tokenizer: llama.cpp knows them by name, files only describe them.

use super::auto::AutoTokenizer;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};

/// A text that every pre-tokenizer splits in its own way.
const PROBE: &str = concat!(
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n",
    "🚀 (normal) 😶\u{200d}🌫\u{fe0f} (multiple emojis concatenated) ✅ 🦙🦙 ",
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 ",
    "កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ ------======= нещо на Български ",
    "''''''```````\"\"\"\"......!!!!!!?????? ",
    "I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, ",
    "'D you like some tea? We'Ve a'lL",
);

/// The names that llama.cpp knows, by the hash of the probe's ids: a hash and a name a line.
const NAMES: &str = include_str!("pre-hashes.txt");

/// The name of a tokenizer's pre-tokenizer.
///
/// # Errors
/// `unsupported` if it is not known; the error tells the hash.
pub(super) fn recognize(tokenizer: &AutoTokenizer) -> Result<&'static str> {
    let hash = hash(&tokenizer.encode(PROBE)?);
    name_of(&hash).ok_or_else(|| {
        Error::unsupported(format!(
            "the pre-tokenizer is not known (hash {hash}); name the one that it equals with --pre NAME"
        ))
        .in_key("tokenizer.ggml.pre")
    })
}

/// SHA-256 of the ids written as a Python list.
fn hash(ids: &[u32]) -> String {
    let digest = Sha256::digest(format!("{ids:?}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name for a hash: the last entry counts, as in the converter.
fn name_of(hash: &str) -> Option<&'static str> {
    let mut entries = NAMES.lines().rev().filter_map(|line| line.split_once(' '));
    entries.find_map(|(known, name)| (known == hash).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_of_python_lists() {
        let empty = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";
        assert_eq!(hash(&[]), empty);
        assert_eq!(format!("{:?}", [1, 23]), "[1, 23]");
    }

    #[test]
    fn the_table_is_well_formed() {
        assert_eq!(NAMES.lines().count(), 97);
        for line in NAMES.lines() {
            let (hash, name) = line.split_once(' ').unwrap();
            assert!(
                hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
                "{line}"
            );
            assert!(!name.is_empty() && !name.contains(' '), "{line}");
            assert!(name_of(hash).is_some());
        }
    }

    #[test]
    fn the_probe_is_the_converters() {
        let digest = Sha256::digest(PROBE);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let facts = folder.join("../tests/data/llama-cpp/probe.txt");
        let facts = std::fs::read_to_string(facts).unwrap();
        assert!(facts.contains(&hex), "{hex}");
    }
}

//! SHA-256 of what ggml wrote, one file a type, so that the tests mean something without ggml.

use crate::Outputs;
use quantlib_codecs::{DType, GGML_VERSION};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `tests/data/golden/codecs/TYPE.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    /// The version that wrote the bytes.
    ggml: String,
    /// For each group of cases the hash of its outputs, one after the other.
    sha256: BTreeMap<String, String>,
}

fn path(dtype: DType) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data/golden/codecs")
        .join(format!("{dtype}.json"))
}

fn of(outputs: &Outputs) -> Golden {
    let hash = |group: &[(String, Vec<u8>)]| {
        let mut hash = Sha256::new();
        for (_, bytes) in group {
            hash.update(bytes);
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    };
    Golden {
        ggml: GGML_VERSION.to_owned(),
        sha256: outputs
            .iter()
            .map(|(name, group)| (name.clone(), hash(group)))
            .collect(),
    }
}

/// Replaces the golden file of a type.
pub(crate) fn write(dtype: DType, outputs: &Outputs) {
    let path = path(dtype);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = serde_json::to_string_pretty(&of(outputs)).unwrap() + "\n";
    std::fs::write(path, text).unwrap();
}

/// Panics with the names of the groups whose hashes are not those of the golden file.
pub(crate) fn check(dtype: DType, outputs: &Outputs) {
    let path = path(dtype);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; QUANTLIB_REGENERATE=1 writes it", path.display()));
    let golden: Golden = serde_json::from_str(&text).unwrap();
    let ours = of(outputs);
    assert_eq!(golden.ggml, ours.ggml, "{}", path.display());
    let names = golden.sha256.keys().chain(ours.sha256.keys());
    let mut differing: Vec<_> = names
        .filter(|name| golden.sha256.get(*name) != ours.sha256.get(*name))
        .collect();
    differing.sort();
    differing.dedup();
    assert!(
        differing.is_empty(),
        "{dtype}: not as in {}: {differing:?}",
        path.display()
    );
}

//! The files of a model: one, shards named by an index, or shards found by their names.

use super::MAX_HEADER;
use super::unique::Entries;
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

const INDEX_FILE: &str = "model.safetensors.index.json";
const INDEX_ENDING: &str = ".safetensors.index.json";

/// Which files make up a model.
#[derive(Debug)]
pub(super) struct Files {
    /// In the order in which they are joined.
    pub(super) paths: Vec<PathBuf>,
    /// The index that named them, if one did.
    pub(super) index: Option<Index>,
}

/// Which tensors an index promises.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    /// Tensor to file name.
    weight_map: HashMap<String, String>,
}

#[derive(Deserialize)]
struct IndexJson {
    weight_map: Entries<String>,
}

impl Files {
    /// Finds the files behind a file, an index or a folder.
    ///
    /// In a folder, as in convert_hf_to_gguf.py, the index decides; without one, every file whose
    /// name begins with `model` and ends in `.safetensors` belongs to the model.
    pub(super) fn find(path: &Path, limits: &Limits) -> Result<Self> {
        if path.is_dir() {
            let index = path.join(INDEX_FILE);
            if index.is_file() {
                return Self::from_index(&index, limits);
            }
            return Self::by_name(path, limits);
        }
        if path.to_string_lossy().ends_with(INDEX_ENDING) {
            return Self::from_index(path, limits);
        }
        Ok(Self {
            paths: vec![path.to_path_buf()],
            index: None,
        })
    }

    fn from_index(path: &Path, limits: &Limits) -> Result<Self> {
        let index = Index::read(path, limits).map_err(|e| e.in_file(path))?;
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        for name in &names {
            check_plain(name).map_err(|e| e.in_file(path).in_key("weight_map"))?;
        }
        check_count(names.len(), limits).map_err(|e| e.in_file(path))?;
        Ok(Self {
            paths: names.iter().map(|name| path.with_file_name(name)).collect(),
            index: Some(index),
        })
    }

    fn by_name(folder: &Path, limits: &Limits) -> Result<Self> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            let mut paths = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with("model") && name.ends_with(".safetensors") {
                    paths.push(entry.path());
                }
            }
            paths.sort();
            Ok(paths)
        };
        let paths = list().map_err(|e| Error::io("cannot list the folder", e).in_file(folder))?;
        check_count(paths.len(), limits).map_err(|e| e.in_file(folder))?;
        if paths.is_empty() {
            return Err(Error::unsupported(
                "the folder has no model*.safetensors file; if it has pytorch_model.bin or others, convert these to safetensors first",
            )
            .in_file(folder));
        }
        Ok(Self { paths, index: None })
    }
}

impl Index {
    fn read(path: &Path, limits: &Limits) -> Result<Self> {
        let source = FileSource::open(path)?;
        let limit = limits.header_bytes.min(MAX_HEADER);
        if source.len() > limit {
            return Err(Error::limit(format!(
                "has {} bytes, more than the limit of {limit}",
                source.len()
            )));
        }
        let mut text = vec![0; source.len() as usize];
        source.read_exact_at(&mut text, 0)?;
        let json: IndexJson = serde_json::from_slice(&text)
            .map_err(|e| Error::malformed(format!("is no valid index of shards: {e}")))?;
        let Entries(weight_map) = json.weight_map;
        Ok(Self {
            path: path.to_path_buf(),
            weight_map: weight_map.into_iter().collect(),
        })
    }

    /// Fails unless the shards have exactly the tensors that the index names.
    pub(super) fn check<'n>(&self, found: impl Iterator<Item = &'n str>) -> Result<()> {
        let found: BTreeSet<&str> = found.collect();
        let missing = self
            .weight_map
            .keys()
            .filter(|name| !found.contains(name.as_str()));
        if let Some(name) = missing.min() {
            return Err(Error::malformed(format!(
                "the index names this tensor in '{}', but no shard has it; fetch the model again",
                self.weight_map[name]
            ))
            .in_file(&self.path)
            .in_tensor(name));
        }
        match found
            .iter()
            .find(|name| !self.weight_map.contains_key(**name))
        {
            None => Ok(()),
            Some(name) => Err(Error::malformed(
                "a shard has this tensor, but the index does not name it; fetch the model again",
            )
            .in_file(&self.path)
            .in_tensor(*name)),
        }
    }
}

/// Fails for names that would leave the index's folder.
fn check_plain(name: &str) -> Result<()> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(only)), None) if only == name => Ok(()),
        _ => Err(Error::malformed(format!(
            "'{name}' is no file name; shards must lie beside their index"
        ))),
    }
}

fn check_count(count: usize, limits: &Limits) -> Result<()> {
    if count as u64 <= limits.files {
        return Ok(());
    }
    Err(Error::limit(format!(
        "the model has {count} files, more than the limit of {}",
        limits.files
    )))
}

//! Tensor data in files beside the model: found, checked, and never outside the model's folder.

use super::schema::{Kind, property, tensor as field};
use super::tensor::Tensor;
use super::walk::each_tensor_mut;
use super::wire::{Bytes, Field, Message};
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The value of `data_location` for tensors in other files.
const EXTERNAL: i64 = 1;

/// Gives every external tensor its data as a range of a file, which is opened and added to `files`.
pub(super) fn resolve(
    model: &mut Message,
    files: &mut Vec<Arc<FileSource>>,
    limits: &Limits,
) -> Result<()> {
    let Some(path) = files.first().map(|file| file.path().to_path_buf()) else {
        return Ok(());
    };
    let mut known = HashMap::new();
    each_tensor_mut(model, Kind::Model, &mut |tensor, _| {
        if !Tensor::new(tensor).is_external() {
            return Ok(());
        }
        let name = Tensor::new(tensor).name().to_owned();
        let data = place(tensor, &path, files, &mut known, limits);
        let data = data.map_err(|e| e.in_tensor(name).in_file(&path))?;
        tensor.remove(field::RAW_DATA);
        tensor.push(field::RAW_DATA, data);
        Ok(())
    })
}

fn place(
    tensor: &Message,
    model: &Path,
    files: &mut Vec<Arc<FileSource>>,
    known: &mut HashMap<String, u32>,
    limits: &Limits,
) -> Result<Bytes> {
    let in_location = |e: Error| e.in_key("external_data.location");
    let location = entry(tensor, "location").unwrap_or_default();
    let file = match known.get(location) {
        Some(file) => *file,
        None => {
            let path = locate(model, location).map_err(in_location)?;
            if files.len() as u64 >= limits.files {
                return Err(Error::limit(format!(
                    "its data lie in more than {} files, which is the limit",
                    limits.files
                )));
            }
            files.push(Arc::new(FileSource::open(&path).map_err(in_location)?));
            known.insert(location.to_owned(), files.len() as u32 - 1);
            files.len() as u32 - 1
        }
    };
    let end = files[file as usize].len();
    let offset = number(tensor, "offset")?.unwrap_or(0);
    let len = number(tensor, "length")?.unwrap_or(end.saturating_sub(offset));
    if offset.checked_add(len).is_none_or(|last| last > end) {
        return Err(Error::malformed(format!(
            "should have {len} bytes at offset {offset} of '{location}', which has only {end}; the file is incomplete, or not the one that belongs to the model"
        ))
        .in_key("external_data.length"));
    }
    match Tensor::new(tensor).nbytes()? {
        Some(bytes) if bytes != len => Err(Error::malformed(format!(
            "has {len} bytes in '{location}', but elements for {bytes}"
        ))
        .in_key("external_data.length")),
        _ => Ok(Bytes::Stored { file, offset, len }),
    }
}

/// The value of a key in the tensor's list of them.
fn entry<'t>(tensor: &'t Message, key: &str) -> Option<&'t str> {
    let mut entries = tensor.messages(field::EXTERNAL_DATA);
    let entry = entries.rfind(|entry| entry.text(property::KEY) == key)?;
    Some(entry.text(property::VALUE))
}

fn number(tensor: &Message, key: &str) -> Result<Option<u64>> {
    let number = entry(tensor, key).map(|text| {
        text.parse().map_err(|_| {
            Error::malformed(format!("'{text}' is no number of bytes"))
                .in_key(format!("external_data.{key}"))
        })
    });
    number.transpose()
}

/// The file that a location names, if it lies in the model's folder or below. Where the model is a
/// link, as in the cache of Hugging Face, the folder that it leads to is as good.
fn locate(model: &Path, location: &str) -> Result<PathBuf> {
    let outside = |why: &str| {
        Error::malformed(format!(
            "'{location}' {why}; data must lie in the folder of the model, or below it"
        ))
    };
    let parts = location.split(['/', '\\']);
    if location.is_empty() || location.contains('\0') {
        return Err(Error::malformed(format!("'{location}' names no file")));
    }
    let mut components = Path::new(location).components();
    let plain = components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain || location.starts_with('\\') || location.get(1..2) == Some(":") {
        return Err(outside("is no path relative to the model"));
    }
    if parts.into_iter().any(|part| part == "..") {
        return Err(outside("leads out of the folder"));
    }
    let folder = match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let real = |path: &Path| {
        std::fs::canonicalize(path)
            .map_err(|e| Error::io(format!("cannot open its data, {}", path.display()), e))
    };
    let file = real(&folder.join(location))?;
    let behind_link = real(model)?.parent().map(Path::to_path_buf);
    let mut roots = [Some(real(folder)?), behind_link].into_iter().flatten();
    if !roots.any(|root| file.starts_with(root)) {
        return Err(outside("is a link that leads out of the folder"));
    }
    Ok(file)
}

/// Says that the tensor's data lie in another file: what else was said about them stays.
pub(super) fn point(tensor: &mut Message, location: &str, offset: u64, len: u64) {
    let (offset, len) = (offset.to_string(), len.to_string());
    let entries = [
        ("location", location),
        ("offset", &offset),
        ("length", &len),
    ];
    for (key, value) in entries {
        let mut known = tensor.messages_mut(field::EXTERNAL_DATA);
        match known.rfind(|entry| entry.text(property::KEY) == key) {
            Some(entry) => entry.set(property::VALUE, value),
            None => {
                drop(known);
                let entry = [
                    Field::new(property::KEY, key),
                    Field::new(property::VALUE, value),
                ];
                tensor.push(field::EXTERNAL_DATA, Message::of(entry));
            }
        }
    }
    tensor.set(field::DATA_LOCATION, EXTERNAL);
}

/// Says that the data of an external tensor lie in the tensor now.
pub(super) fn embed_if_external(tensor: &mut Message) {
    if Tensor::new(tensor).is_external() {
        tensor.remove(field::EXTERNAL_DATA);
        tensor.remove(field::DATA_LOCATION);
    }
}

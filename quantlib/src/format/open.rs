//! Opens a model whatever its container.

use super::{gguf, mlx, onnx, safetensors};
use crate::error::{Error, Result};
use crate::io::{FileSource, Limits};
use crate::model::Model;
use std::path::Path;

/// Opens a model: a GGUF file (any part of a split one), a safetensors file or index, a folder with
/// safetensors, an MLX folder with quantized layers, or an ONNX file. What a file is, its first bytes tell, then its name's ending.
///
/// Only headers are read. See [`Model`] for what can be done with it.
///
/// ```no_run
/// let model = quantlib::open("model.gguf")?;
/// let embeddings = model.read("token_embd.weight")?;
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `io` if it cannot be read, `unsupported` for other kinds of files, and what
/// [`gguf::Reader::open`], [`safetensors::Reader::open`], [`mlx::Reader::open`] and
/// [`onnx::Reader::open`] say.
pub fn open(path: impl AsRef<Path>) -> Result<Model> {
    open_with(path, &Limits::default())
}

/// [`open`] with other limits.
pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
    let path = path.as_ref();
    if path.is_dir() && mlx::Reader::is_at(path) {
        return mlx::Reader::open_with(path, limits);
    }
    if path.is_dir() {
        return safetensors::Reader::open_with(path, limits);
    }
    let source = FileSource::open(path)?;
    let mut start = [0; 16];
    let len = source.len().min(start.len() as u64) as usize;
    source.read_exact_at(&mut start[..len], 0)?;
    match Kind::of(&start[..len], path) {
        Kind::Gguf => gguf::Reader::open_with(path, limits),
        Kind::Safetensors => safetensors::Reader::open_with(path, limits),
        Kind::Onnx => onnx::Reader::open_with(path, limits),
        Kind::Known(hint) => Err(Error::unsupported(hint).in_file(path)),
        Kind::Unknown => Err(Error::unsupported(
            "is no kind of file that can be opened; these can: .gguf, .safetensors, .safetensors.index.json, a folder with safetensors, .onnx",
        )
        .in_file(path)),
    }
}

/// What a file seems to be.
enum Kind {
    Gguf,
    Safetensors,
    Onnx,
    /// Something that cannot be opened, with what to do instead.
    Known(&'static str),
    Unknown,
}

impl Kind {
    fn of(start: &[u8], path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_lowercase();
        match start {
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            // Eight bytes of length, then a JSON object. Such a length may look like a pickle's start.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            // Zip archives and pickles: what torch.save writes.
            [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Self::Known(
                "is a PyTorch file; open the model with transformers and save it with save_pretrained, which writes safetensors",
            ),
            // The magic numbers of llama.cpp before GGUF, as they lie in a little-endian file.
            [b'l', b'm', b'g', b'g', ..]
            | [b't', b'j', b'g', b'g', ..]
            | [b'f', b'm', b'g', b'g', ..] => {
                Self::Known("is a ggml file from before GGUF; convert the original model again")
            }
            _ if name.ends_with(".gguf") => Self::Gguf,
            _ if name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") => {
                Self::Safetensors
            }
            _ if name.ends_with(".onnx") => Self::Onnx,
            _ if name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") => {
                Self::Known("seems to be a PyTorch file; convert the model to safetensors first")
            }
            _ => Self::Unknown,
        }
    }
}

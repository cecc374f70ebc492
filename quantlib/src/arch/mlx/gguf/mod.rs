//! From a GGUF file to MLX's terms: the way back from what conversion to GGUF made of a model.

mod config;
mod names;
mod tokenizer;

use super::describe::Mlx;
use crate::arch::families;
use crate::arch::family::Family;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::mlx::{Document, Draft, Layer, Weight};
use crate::model::{Model, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use config::Keys;
use names::Names;

/// What a GGUF file is in MLX's terms: the tensors that mlx_lm's model of this architecture has, a
/// config.json, and tokenizer files made of the vocabulary.
///
/// Blocks stay as they are stored, to be repacked, unless `dtype` says which plain floats they become.
///
/// # Errors
/// `unsupported` for an architecture that has no way back, and for tensors that it does not know;
/// `malformed` for keys that are missing or are not what they should be.
pub fn gguf_draft(model: &Model, dtype: Option<DType>) -> Result<Draft> {
    read(model, dtype).map_err(|e| e.in_file(model.path()))
}

fn read(model: &Model, dtype: Option<DType>) -> Result<Draft> {
    let keys = Keys::new(model.metadata())?;
    let (family, mlx) = description(keys.arch())?;
    let names = Names::new(family, mlx, &keys);
    let config = config::config(model, &keys)?;
    let mut parameters = 0;
    let mut weights = Vec::with_capacity(model.tensors().len());
    for info in model.tensors() {
        if names::is_computed(&info.name) {
            continue;
        }
        let weight = weight(info, &names, mlx, dtype).map_err(|e| e.in_tensor(&info.name))?;
        parameters += match names::ends_with(mlx.uncounted, &weight.tensor.name) {
            true => 0,
            false => weight.tensor.elements()?,
        };
        weights.push(weight);
    }
    let (files, note) = tokenizer::files(&keys)?;
    Ok(Draft {
        weights,
        document: Document {
            config,
            files,
            parameters,
            ..Document::default()
        },
        blocks: keys.need_uint("block_count")? as usize,
        notes: note.into_iter().collect(),
    })
}

/// How the architecture of a GGUF file is described.
pub(super) fn described(model: &Model) -> Result<(&'static Family, &'static Mlx)> {
    description(Keys::new(model.metadata())?.arch())
}

/// How an architecture is described, if there is a way back.
fn description(arch: &str) -> Result<(&'static Family, &'static Mlx)> {
    let known = families::ALL.iter().find(|family| family.gguf == arch);
    let described = known.and_then(|family| Some((*family, family.mlx.first()?)));
    described.filter(|_| config::knows(arch)).ok_or_else(|| {
        Error::unsupported(format!(
            "the architecture '{arch}' is not one that can go from GGUF to MLX: {}; convert its Hugging Face folder",
            config::known()
        ))
        .in_key("general.architecture")
    })
}

fn weight(info: &TensorInfo, names: &Names<'_>, mlx: &Mlx, dtype: Option<DType>) -> Result<Weight> {
    let (name, source) = names.back(info)?;
    let to = dtype
        .filter(|_| info.dtype.is_quantized() || info.dtype.is_plain_float())
        .unwrap_or(info.dtype);
    let path = name
        .strip_suffix(".weight")
        .filter(|_| info.shape.len() >= 2);
    let layer = path.map_or(Layer::None, |path| mlx.layer(path));
    let tensor = OutputTensor {
        name,
        shape: info.shape.clone(),
        encoding: Encoding::Block(to),
        source: match to == info.dtype {
            true => source,
            false => source.cast(to),
        },
        importance: None,
    };
    Ok(Weight { tensor, layer })
}

//! MLX folders and GGUF files as Hugging Face folders.

use super::gguf::{described, gguf_draft};
use super::original::{Given, Original, originals};
use super::{Restored, files, is_mlx, order};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, Object};
use crate::format::mlx::{Dialect, Document, Draft, ExtraFile, Layer, Weight};
use crate::model::{Expr, Model, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use serde_json::{Value, json};

/// A model that is to become a Hugging Face folder.
#[derive(Clone, Copy, Debug)]
pub struct HfSource<'s> {
    /// The MLX folder; none for a GGUF file.
    pub folder: Option<&'s Folder>,
    /// The model, with layers in mxfp4 as blocks
    /// ([`Reader::open_blocks`](crate::format::mlx::Reader::open_blocks)) if it is a folder.
    pub model: &'s Model,
    /// The type of floats; none leaves those that are stored, and decodes layers to the type of their
    /// scales.
    pub dtype: Option<DType>,
    /// Refuses what would have to be decoded.
    pub exact: bool,
}

/// What a model is in Hugging Face's terms: its tensors under the names that transformers knows them by,
/// config.json, and the files that are carried over or made of a vocabulary.
///
/// gpt-oss's experts in mxfp4 keep their codes and scales.
///
/// # Errors
/// `unsupported` for a model that there is no way back for, and for layers that would have to be decoded
/// if all is to be exact; `malformed` for tensors that are missing.
pub fn hf_draft(source: HfSource<'_>) -> Result<Draft> {
    let mut draft = match source.folder {
        Some(folder) => of_folder(source, folder),
        None => of_gguf(source),
    }
    .map_err(|e| e.in_file(source.model.path()))?;
    let weights = &mut draft.weights;
    weights.sort_by_cached_key(|weight| order::key(&weight.tensor.name));
    Ok(draft)
}

fn of_folder(source: HfSource<'_>, folder: &Folder) -> Result<Draft> {
    if !is_mlx(source.model) {
        return Err(Error::misuse("is a Hugging Face folder already"));
    }
    let restored = Restored::new(folder, source.model)?;
    let original = |info: &TensorInfo| (info.name.clone(), restored.values(&info.name));
    let originals = restored.tensors().iter().map(original).collect();
    let mut config = folder.config().clone();
    for name in ["quantization", "quantization_config"] {
        config.shift_remove(name);
    }
    draft(source, originals, config, files::copied(folder.path())?)
}

fn of_gguf(source: HfSource<'_>) -> Result<Draft> {
    let made = gguf_draft(source.model, None)?;
    let (family, mlx) = described(source.model)?;
    let given = made.weights.into_iter().map(|weight| {
        Ok(Given {
            info: weight.tensor.info()?,
            source: weight.tensor.source,
        })
    });
    let originals = originals(given.collect::<Result<_>>()?, family, mlx)?;
    let Document { config, files, .. } = made.document;
    let mut draft = draft(source, originals, config, files)?;
    draft.notes = made.notes;
    Ok(draft)
}

fn draft(
    source: HfSource<'_>,
    originals: Vec<Original>,
    mut config: Object,
    files: Vec<ExtraFile>,
) -> Result<Draft> {
    let mut weights = Vec::with_capacity(originals.len());
    let mut parameters = 0;
    for (name, values) in originals {
        let tensor = output(source, &name, values).map_err(|e| e.in_tensor(&name))?;
        parameters += tensor.elements()?;
        weights.push(Weight {
            tensor,
            layer: Layer::None,
        });
    }
    if weights
        .iter()
        .any(|weight| weight.tensor.name.ends_with("_blocks"))
    {
        config.insert("quantization_config".to_owned(), microscaled());
    }
    if let Some(dtype) = source.dtype {
        state_dtype(&mut config, dtype);
    }
    Ok(Draft {
        weights,
        document: Document {
            dialect: Dialect::HuggingFace,
            config,
            files,
            parameters,
        },
        blocks: 0,
        notes: Vec::new(),
    })
}

/// How gpt-oss's own config.json describes its experts.
fn microscaled() -> Value {
    json!({
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
        "quant_method": "mxfp4",
    })
}

/// Says what type the floats are, in the spelling that config.json has.
fn state_dtype(config: &mut Object, dtype: DType) {
    let name = match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    };
    let old = config.contains_key("torch_dtype");
    let key = if old { "torch_dtype" } else { "dtype" };
    config.insert(key.to_owned(), json!(name));
}

/// How a tensor is stored.
fn output(source: HfSource<'_>, name: &str, values: Expr) -> Result<OutputTensor> {
    let model = source.model;
    let typed = values.infer(&|name| model.tensor(name))?;
    let decoded = decoded_to(model, &values, typed.dtype);
    if let (Some((how, _)), true) = (&decoded, source.exact) {
        return Err(Error::unsupported(format!(
            "is {how}, which Hugging Face's files have only for experts of gpt-oss, in mxfp4; leave --exact out to decode it"
        )));
    }
    let decoded = decoded.map(|(_, dtype)| dtype);
    let float = decoded.is_some() || typed.dtype.is_plain_float();
    let wanted = source.dtype.filter(|_| float).or(decoded);
    let dtype = wanted.unwrap_or(typed.dtype);
    Ok(OutputTensor {
        name: name.to_owned(),
        shape: typed.shape,
        encoding: Encoding::Block(dtype),
        source: match dtype == typed.dtype {
            true => values,
            false => values.cast(dtype),
        },
        importance: None,
    })
}

/// What a quantized layer is stored as, and the type that it is decoded to; none for what is none.
fn decoded_to(model: &Model, values: &Expr, dtype: DType) -> Option<(String, DType)> {
    if dtype.is_quantized() {
        let float = match model.format() {
            // As mlx_lm decodes it.
            "mlx" => DType::BF16,
            _ => DType::F16,
        };
        return Some((dtype.to_string(), float));
    }
    if !dtype.is_plain_float() {
        return None;
    }
    let inputs = values.inputs().into_iter();
    let mut layers = inputs.filter_map(|name| model.encoding(model.index_of(name)?));
    let encoding = layers.next()?;
    let float = match encoding {
        Encoding::Affine(spec) if spec.scale.is_plain_float() => spec.scale,
        _ => DType::BF16,
    };
    Some((encoding.to_string(), float))
}

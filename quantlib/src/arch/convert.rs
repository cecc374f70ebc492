//! The plan of a conversion from a Hugging Face folder to GGUF.

use super::families;
use super::family::Family;
use super::fp8::Fp8;
use super::general::{Kind, Parameters};
use super::hparams::Hparams;
use super::keys::Keys;
use super::lora::{self, Lora};
use super::mlx::{Restored, is_mlx};
use super::outtype::OutType;
use super::tensors::{self, Mapper};
use super::{general, params};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::{Folder, VocabOptions, VocabStyle, token_count, vocab};
use crate::model::{Edit, Model, Plan, TensorInfo};
use serde_json::Value;
use std::path::PathBuf;

/// What may be chosen about a conversion.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// The type of the matrices.
    pub outtype: OutType,
    /// `tokenizer.ggml.pre`, where it cannot be recognized.
    pub pre: Option<String>,
    /// `general.name`, in place of what the folder says.
    pub name: Option<String>,
    /// Adapters to merge into the model first, in this order.
    pub loras: Vec<Lora>,
    /// The folder of the model that an adapter is for, where it is the adapter that is converted;
    /// without one, what its configuration says.
    pub base: Option<PathBuf>,
    /// Loses nothing: the codes and scales of an MLX folder's layers stay as they are, and all else gets
    /// the type that keeps every bit. The output type must be left open.
    pub exact: bool,
}

/// Plans the GGUF file that convert_hf_to_gguf.py writes for a folder: all metadata in order, as
/// edits that leave nothing of the model's own, and all tensors.
///
/// `model` is the folder opened as a model, with [`open`](crate::open): only names, types and
/// shapes are looked at. A plan that merges adapters reads their tensors too: carry it out on the
/// model joined with them, by [`attach_loras`](super::attach_loras).
///
/// An MLX folder is seen as the Hugging Face folder that it was made of. Its layers stay the blocks that
/// they are read as ([`AsBlocks`](crate::format::mlx::AsBlocks)) if `options.exact`.
///
/// # Errors
/// `unsupported` for an architecture or weights that cannot be converted, `malformed` for
/// configuration, tokenizer or tensors that do not fit the architecture; each names the file and
/// key or the tensor. `misuse` if what is to be exact gets another type.
pub fn convert_plan(folder: &Folder, model: &Model, options: &ConvertOptions) -> Result<Plan> {
    if options.exact && !matches!(options.outtype, OutType::Auto | OutType::Lossless) {
        return Err(Error::misuse(
            "what is exact stays as it is stored; name no type",
        ));
    }
    if !is_mlx(model) {
        return planned(folder, model, options);
    }
    let restored = Restored::new(folder, model).map_err(|e| e.in_file(folder.path()))?;
    let plan = planned(folder, &restored.for_plans(options.exact)?, options)?;
    match options.exact {
        true => restored.keep_blocks(plan),
        false => Ok(restored.carry_out(plan)),
    }
}

/// The plan for a model with the tensors of a Hugging Face folder.
fn planned(folder: &Folder, model: &Model, options: &ConvertOptions) -> Result<Plan> {
    let config = || folder.path().join("config.json");
    let class = folder.architecture()?;
    let family = Family::of(class, families::ALL).map_err(|e| e.in_file(config()))?;
    let mut hparams = Hparams::load(folder)?;
    let family = family.variant(&hparams);
    let unigram = is_unigram(folder, family)?;
    hparams
        .meet(family.demands)
        .and_then(|()| hparams.adjust(family.adjust, unigram))
        .map_err(|e| e.in_file(config()))?;
    // What an MLX folder says of quantized layers holds no more: they are decoded.
    if model.format() != "mlx" {
        refuse_unconvertible(folder, family)?;
    }
    if family.cuts_tokens() {
        let vocab_size = hparams.uint(&["vocab_size"])?.map(u64::from);
        hparams.tokens = Some(token_count(folder, vocab_size)?);
    }
    let sources = tensors::sources(model);
    let outtype = match options.exact {
        true => OutType::Lossless,
        false => options.outtype,
    };
    let mut file_type = outtype.decide(&sources);
    let packed = |info: &&TensorInfo| info.dtype == DType::U8 && info.name.ends_with("_blocks");
    if quant_method(folder) == Some("mxfp4") || sources.iter().any(packed) {
        file_type = file_type.with_microscaled();
    }
    let fp8 = Fp8::load(folder.hparams()).map_err(|e| e.in_file(config()))?;
    let mut mapper = Mapper::new(family, class, &hparams, file_type, &sources, fp8)
        .map_err(|e| e.in_file(config()))?;
    let tensors = mapper.map().map_err(|e| e.in_file(folder.path()))?;
    let parameters = Parameters::of(&tensors)?;

    let mut keys = Keys::default();
    keys.set("general.architecture", family.gguf);
    let number = file_type.number;
    params::write(&mut keys, family, &[family.early], folder, &hparams, number)?;
    let name = options.name.as_deref();
    general::write(&mut keys, folder, Kind::Model, parameters, name)?;
    params::write(&mut keys, family, family.params, folder, &hparams, number)?;
    keys.set("general.quantization_version", QUANTIZATION_VERSION);
    let vocab_options = VocabOptions {
        pre: options.pre.clone(),
        vocab_size: hparams.uint(&["vocab_size"])?.map(u64::from),
        token_types: hparams.uint(&["type_vocab_size"])?,
    };
    for (key, value) in vocab(folder, family.vocab, &vocab_options)? {
        keys.set(key, value);
    }

    let mut notes = mapper.notes;
    if !hparams.completed {
        notes.push(
            "config.json is taken as it is: transformers would not accept it, so no defaults are filled in"
                .to_owned(),
        );
    }
    // What a safetensors header says of itself is none of GGUF's keys.
    let own = model.metadata().keys().cloned();
    let mut edits: Vec<_> = own.map(|key| Edit::Remove { key }).collect();
    edits.extend(keys.into_edits());
    let plan = Plan {
        tensors,
        edits,
        notes,
        ..Plan::default()
    };
    lora::merge(plan, model, &options.loras)
}

/// Whether a family that leaves the kind of its vocabulary open has XLM-RoBERTa's.
pub(super) fn is_unigram(folder: &Folder, family: &Family) -> Result<bool> {
    if family.vocab != VocabStyle::UnigramOrBert {
        return Ok(false);
    }
    let tokenizer = folder.object("tokenizer.json")?.unwrap_or_default();
    let model = tokenizer.get("model").and_then(|model| model.get("type"));
    Ok(model.is_some_and(|kind| kind == "Unigram"))
}

/// The names in GGUF of tensors that a Hugging Face model has: none for a tensor without a place there,
/// several for one that is split. All experts of a block go to tensors of the same names. Only
/// config.json of the folder is read.
///
/// ```no_run
/// let folder = quantlib::format::hf::Folder::open("my-model")?;
/// let names = quantlib::arch::tensor_names(&folder, &["model.layers.3.mlp.up_proj.weight"])?;
/// assert_eq!(names[0], ["blk.3.ffn_up.weight"]);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// `unsupported` for an unknown architecture, `malformed` if config.json lacks what it needs.
pub fn tensor_names<S: AsRef<str>>(folder: &Folder, names: &[S]) -> Result<Vec<Vec<String>>> {
    let in_config = |e: Error| e.in_file(folder.path().join("config.json"));
    let class = folder.architecture()?;
    let family = Family::of(class, families::ALL).map_err(in_config)?;
    let hparams = Hparams::load(folder)?;
    let file_type = OutType::F32.decide(&[]);
    let mapper = Mapper::new(family, class, &hparams, file_type, &[], None).map_err(in_config)?;
    Ok(names
        .iter()
        .map(|name| mapper.names(name.as_ref()))
        .collect())
}

/// The version of ggml's block formats.
pub(super) const QUANTIZATION_VERSION: u32 = 2;

/// How the weights are quantized, if they are.
fn quant_method(folder: &Folder) -> Option<&str> {
    let config = folder.hparams().get("quantization_config")?;
    config.get("quant_method")?.as_str()
}

/// Refuses folders that the converter turns into something else than their class says.
pub(super) fn refuse_unconvertible(folder: &Folder, family: &Family) -> Result<()> {
    let quantized = |file: &str| {
        Error::unsupported(
            "the weights are quantized already; convert the model they were made from",
        )
        .in_file(folder.path().join(file))
    };
    if folder.has("hf_quant_config.json") {
        return Err(quantized("hf_quant_config.json"));
    }
    let config = folder.hparams().get("quantization_config");
    let known = |method| method == "fp8" || family.quantized.contains(&method);
    let empty = |config: &Value| match config {
        Value::Null => true,
        Value::Object(config) => config.is_empty(),
        _ => false,
    };
    if !config.is_none_or(empty) && !quant_method(folder).is_some_and(known) {
        return Err(quantized("config.json").in_key("quantization_config"));
    }
    let name = folder.path().file_name().unwrap_or_default();
    let named = folder.config().get("_name_or_path");
    let named = named.and_then(|name| name.as_str()).unwrap_or_default();
    let hints = format!("{}\n{named}", name.to_string_lossy()).to_lowercase();
    let readme = match family.rerankers {
        [] => None,
        _ => folder.text("README.md")?,
    };
    let readme = readme.unwrap_or_default().to_lowercase();
    let hinted = |kind: &&str| hints.contains(*kind) || readme.contains(&format!("# {kind}"));
    match family.rerankers.iter().any(hinted) {
        false => Ok(()),
        true => Err(Error::unsupported(
            "seems to be a reranker, which would become a classifier; only language models of this architecture can be converted",
        )
        .in_file(folder.path())),
    }
}

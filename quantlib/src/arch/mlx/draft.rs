//! A model's tensors in MLX's terms.

use super::describe::{Head, Mlx};
use super::{config, files, is_mlx, order};
use crate::arch::convert::refuse_unconvertible;
use crate::arch::families;
use crate::arch::family::{Family, Tensor};
use crate::arch::fp8::Fp8;
use crate::arch::hparams::Hparams;
use crate::arch::names::Names;
use crate::arch::rewrite::rewrite;
use crate::arch::stacks::{Place, Stacks, split_suffix};
use crate::arch::tensors;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::format::mlx::{Document, Draft, Layer, LayerQuantization, Mode, Weight};
use crate::model::{Expr, Model, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use std::collections::{HashMap, HashSet};

/// A Hugging Face folder that is to become an MLX folder.
#[derive(Clone, Copy, Debug)]
pub struct MlxSource<'s> {
    /// The folder.
    pub folder: &'s Folder,
    /// The folder opened as a model, with [`open`](crate::open): names, types and shapes are looked at.
    pub model: &'s Model,
    /// The type of floats; none is what mlx_lm takes: `torch_dtype` of config.json, or else the type of
    /// each tensor.
    pub dtype: Option<DType>,
    /// Leaves names and config.json as they are, whatever the architecture.
    pub as_is: bool,
    /// Each tensor keeps its type, whatever config.json says.
    pub exact: bool,
}

/// What a model is in MLX's terms: the tensors that mlx_lm's model of this type has, its config.json,
/// and the files that are carried over.
///
/// # Errors
/// `unsupported` for an architecture or a model type that mlx_lm lacks, `malformed` for configuration
/// or tensors that do not fit it; each names the file and key or the tensor.
pub fn draft(source: MlxSource<'_>) -> Result<Draft> {
    let mut draft = match source.as_is || is_mlx(source.model) {
        true => as_is(source)?,
        false => described(source)?,
    };
    draft.document.files = files::carried(source.folder.path())?;
    let weights = &mut draft.weights;
    weights.sort_by_cached_key(|weight| order::key(&weight.tensor.name));
    let mut names = HashSet::new();
    match weights.iter().find(|w| !names.insert(&w.tensor.name)) {
        None => Ok(draft),
        Some(twice) => Err(Error::malformed("two tensors of the model become this one")
            .in_tensor(&twice.tensor.name)
            .in_file(source.folder.path())),
    }
}

/// Every tensor under its own name; every matrix is a layer's, but for those of an MLX folder that are none
/// in its model type.
fn as_is(source: MlxSource<'_>) -> Result<Draft> {
    let MlxSource { folder, model, .. } = source;
    let stated = || config::wanted_dtype(folder).filter(|_| !source.exact);
    let wanted = source.dtype.or_else(stated);
    let described = |family| config::model_type(folder, family).ok();
    let family = folder.architecture().ok();
    let family = family.and_then(|class| Family::of(class, families::ALL).ok());
    let mlx = family.and_then(described).filter(|_| is_mlx(model));
    let weights = tensors::sources(model).into_iter().map(|info| {
        let wanted = wanted.or_else(|| scale_type(model, &info.name));
        let dtype = wanted.filter(|_| info.dtype.is_plain_float());
        let path = info.name.strip_suffix(".weight");
        let path = path.filter(|_| info.dtype.is_plain_float());
        Weight {
            layer: match (path, mlx) {
                (Some(path), Some(mlx)) if info.shape.len() >= 2 => mlx.layer(path),
                (Some(_), None) if info.shape.len() == 2 => Layer::Plain,
                _ => Layer::None,
            },
            tensor: output(&info.name, Expr::input(&info.name), info.clone(), dtype),
        }
    });
    let weights: Vec<_> = weights.collect();
    let elements = weights.iter().map(|weight| weight.tensor.elements());
    Ok(Draft {
        document: Document {
            config: config::config(folder),
            parameters: elements.sum::<Result<_>>()?,
            ..Document::default()
        },
        blocks: config::blocks(folder),
        notes: Vec::new(),
        weights,
    })
}

/// The type that mlx_lm decodes a quantized layer of an MLX folder to.
fn scale_type(model: &Model, name: &str) -> Option<DType> {
    let encoding = model.encoding(model.index_of(name)?)?;
    match encoding {
        Encoding::Affine(spec) if spec.scale.is_plain_float() => Some(spec.scale),
        _ => Some(DType::BF16),
    }
}

/// The tensors of a described architecture.
fn described(source: MlxSource<'_>) -> Result<Draft> {
    let MlxSource { folder, model, .. } = source;
    let in_config = |e: Error| e.in_file(folder.path().join("config.json"));
    let class = folder.architecture()?;
    let family = Family::of(class, families::ALL).map_err(in_config)?;
    let mlx = config::model_type(folder, family).map_err(in_config)?;
    refuse_unconvertible(folder, family)?;
    let hparams = Hparams::load(folder)?;
    let infos = tensors::sources(model);
    let names = Names::new(family, class, &hparams).map_err(in_config)?;
    let mut heads = infos.iter().map(|info| names.respell(&info.name));
    // Where config.json says nothing, the file tells.
    let tied = match hparams.has(config::TIED) {
        true => hparams.is_true(config::TIED),
        false => !heads.any(|name| is_head(&name)),
    };
    let mut mapper = Mapper {
        mlx,
        names,
        tied,
        hparams: &hparams,
        by_name: infos.iter().map(|i| (i.name.as_str(), *i)).collect(),
        dtype: match source.exact {
            true => None,
            false => source.dtype.or_else(|| config::wanted_dtype(folder)),
        },
        fp8: Fp8::load(folder.hparams()).map_err(in_config)?,
        parameters: 0,
        microscaled: false,
    };
    let weights = mapper.map(&infos).map_err(|e| e.in_file(folder.path()))?;
    let (mut config, notes) = config::completed(folder, mlx, tied);
    if mapper.microscaled {
        let kept = LayerQuantization::new(Mode::Mxfp4).to_json();
        config.insert("quantization".to_owned(), kept.into());
    }
    Ok(Draft {
        document: Document {
            config,
            parameters: mapper.parameters,
            ..Document::default()
        },
        blocks: mapper.names.blocks() as usize,
        notes,
        weights,
    })
}

/// Turns a model's tensors into those of mlx_lm's model.
struct Mapper<'m> {
    mlx: &'static Mlx,
    names: Names<'m>,
    /// Whether the embeddings are the output matrix too.
    tied: bool,
    hparams: &'m Hparams,
    by_name: HashMap<&'m str, &'m TensorInfo>,
    dtype: Option<DType>,
    fp8: Option<Fp8>,
    /// Weights that the index counts.
    parameters: u64,
    /// Whether tensors stay in MX's 4-bit floats.
    microscaled: bool,
}

/// 4-bit floats in a word.
const MICROSCALED_IN_WORD: u64 = 8;

impl<'m> Mapper<'m> {
    fn map(&mut self, sources: &[&'m TensorInfo]) -> Result<Vec<Weight>> {
        let mut stacks = Stacks::new(self.mlx.tensors, self.hparams);
        let mut weights = Vec::with_capacity(sources.len());
        for source in sources {
            let made = self.one(source, &mut stacks);
            weights.extend(made.map_err(|e| e.in_tensor(&source.name))?);
        }
        stacks.finish()?;
        self.check_head(&weights)?;
        Ok(weights)
    }

    /// What one source tensor becomes: none if it is left out or waits for others, several if it is
    /// split or the last of a stack.
    fn one(&mut self, source: &'m TensorInfo, stacks: &mut Stacks<'_>) -> Result<Vec<Weight>> {
        let respelled = self.names.respell(&source.name);
        let skipped = self.names.skips(&source.name, &respelled, self.fp8);
        if skipped || (is_head(&respelled) && !self.keeps_head()) {
            return Ok(Vec::new());
        }
        let place = self.names.need_place(&respelled)?;
        let all = self.mlx.tensors.iter().copied().flatten();
        let tensors: Vec<&'static Tensor> = all.filter(|t| t.hf == place.hf).collect();
        let input = self.input(source);
        if tensors.is_empty() {
            let name = self.names.respell_start(&source.name);
            return Ok(vec![self.weight(&name, input)?]);
        }
        let mut weights = Vec::new();
        for tensor in tensors {
            let expr = rewrite(tensor.rewrite, source, input.clone(), self.hparams)?;
            let Some(stack) = tensor.stack else {
                weights.push(self.described(tensor, &place, expr)?);
                continue;
            };
            let by_name = &self.by_name;
            let lookup = |name: &str| by_name.get(name).copied();
            for (tensor, whole) in stacks.add(stack, tensor, &place, expr, &lookup)? {
                weights.push(self.described(tensor, &place, whole)?);
            }
        }
        Ok(weights)
    }

    /// The values of a source tensor.
    fn input(&self, source: &TensorInfo) -> Expr {
        let lookup = |name: &str| self.by_name.get(name).copied();
        match self.fp8.map(|fp8| fp8.values(source, &lookup)) {
            // mlx_lm multiplies with the scales, and rounds to bf16 at once.
            Some(scaled @ Expr::Rescale { .. }) => scaled.cast(DType::BF16),
            _ => Expr::input(&source.name),
        }
    }

    fn described(&mut self, tensor: &Tensor, place: &Place, source: Expr) -> Result<Weight> {
        let name = place.output_name(tensor);
        match name.strip_suffix(".scales.weight") {
            None => self.weight(&name, source),
            Some(path) => self.weight(&format!("{path}.scales"), source),
        }
    }

    /// An output tensor under the name that it has but for what is in front of all.
    fn weight(&mut self, name: &str, source: Expr) -> Result<Weight> {
        let lookup = |name: &str| self.by_name.get(name).copied();
        let typed = source.infer(&lookup)?;
        let words = typed.dtype == DType::U32;
        let codes = words || (typed.dtype == DType::U8 && name.ends_with(".scales"));
        if !typed.dtype.is_plain_float() && !codes {
            return Err(Error::unsupported(format!(
                "is stored as {}; only f32, f16 and bf16 weights can be converted",
                typed.dtype
            )));
        }
        let info = TensorInfo {
            name: format!("{}{name}", self.mlx.prefix),
            dtype: typed.dtype,
            shape: typed.shape,
        };
        let ends = |ends: &[&str], name: &str| ends.iter().any(|end| name.ends_with(end));
        let dtype = self
            .dtype
            .filter(|_| !codes && !ends(self.mlx.exact, &info.name));
        let tensor = output(&info.name.clone(), source, info, dtype);
        self.parameters += match (codes, words) {
            (true, true) => MICROSCALED_IN_WORD * tensor.elements()?,
            (true, false) => 0,
            _ if ends(self.mlx.uncounted, &tensor.name) => 0,
            _ => tensor.elements()?,
        };
        self.microscaled |= words;
        let path = tensor.name.strip_suffix(".weight").filter(|_| !codes);
        let path = path.filter(|_| tensor.shape.len() >= 2);
        let layer = path.map_or(Layer::None, |path| self.mlx.layer(path));
        Ok(Weight { tensor, layer })
    }

    fn keeps_head(&self) -> bool {
        match self.mlx.head {
            Head::Tied(_) => !self.tied,
            Head::Never => false,
            Head::Always | Head::IfThere => true,
        }
    }

    /// Fails if the output matrix is missing that mlx_lm's model has.
    fn check_head(&self, weights: &[Weight]) -> Result<()> {
        let needed = self.mlx.head != Head::IfThere && self.keeps_head();
        let is_there = |weight: &Weight| weight.tensor.name.ends_with("lm_head.weight");
        if !needed || weights.iter().any(is_there) {
            return Ok(());
        }
        let error = match self.tied {
            true => Error::unsupported(
                "the embeddings take its place (\"tie_word_embeddings\": true), which they cannot in mlx_lm's model of this type",
            ),
            false => Error::malformed(
                "there is no output matrix, and config.json does not say that the embeddings take its place (\"tie_word_embeddings\": true); is a file of the model missing?",
            ),
        };
        Err(error.in_tensor("lm_head.weight"))
    }
}

/// Whether the output matrix, or its bias, is meant.
fn is_head(name: &str) -> bool {
    split_suffix(name).is_some_and(|(stem, _)| stem == "lm_head")
}

/// The output tensor of an expression, whose type and shape `info` has, as `dtype` if that is given.
fn output(name: &str, source: Expr, info: TensorInfo, dtype: Option<DType>) -> OutputTensor {
    let dtype = dtype.unwrap_or(info.dtype);
    OutputTensor {
        name: name.to_owned(),
        encoding: Encoding::Block(dtype),
        source: match dtype == info.dtype {
            true => source,
            false => source.cast(dtype),
        },
        shape: info.shape,
        importance: None,
    }
}

//! Tensors: which there are, what they are called, how they are stored.

use super::family::{Computed, Family, Spare, Spelling, Tensor, TypeClass};
use super::fp8::Fp8;
use super::hparams::Hparams;
use super::long_rope::LongRope;
use super::modalities;
use super::outtype::FileType;
use super::params::BLOCKS;
use super::rewrite::rewrite;
use super::rope_factors;
use super::stacks::{Place, Stacks, first_number, split_suffix};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Expr, Model, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use std::collections::{HashMap, HashSet};

/// The tensors of a model in the converter's order: file by file, in each by name.
pub(super) fn sources(model: &Model) -> Vec<&TensorInfo> {
    let files = model.files();
    let mut order: Vec<_> = model
        .own_tensors()
        .iter()
        .enumerate()
        .map(|(index, tensor)| {
            let file = model.location(index).and_then(|at| files.get(at.file));
            (file, &tensor.name, tensor)
        })
        .collect();
    order.sort_by_key(|(file, name, _)| (*file, *name));
    order.into_iter().map(|(_, _, tensor)| tensor).collect()
}

/// Ends of names that no conversion keeps.
const SKIPPED_ENDS: &[&str] = &[
    ".attention.masked_bias",
    ".attention.bias",
    ".rotary_emb.inv_freq",
];

/// An output tensor and its description.
type Made = (&'static Tensor, OutputTensor);

/// Turns a model's tensors into those of the GGUF file.
pub(super) struct Mapper<'m> {
    family: &'m Family,
    /// What the class's tensor names lack in front.
    prefix: &'static str,
    /// Whether the classes of a classifier have labels of their own.
    labelled: bool,
    by_name: HashMap<&'static str, Vec<&'static Tensor>>,
    blocks: u32,
    hparams: &'m Hparams,
    file_type: FileType,
    sources: &'m [&'m TensorInfo],
    by_source: HashMap<&'m str, &'m TensorInfo>,
    fp8: Option<Fp8>,
    /// Matrices that could not be stored in the wanted type.
    pub(super) notes: Vec<String>,
}

impl<'m> Mapper<'m> {
    pub(super) fn new(
        family: &'m Family,
        class: &str,
        hparams: &'m Hparams,
        file_type: FileType,
        sources: &'m [&'m TensorInfo],
        fp8: Option<Fp8>,
    ) -> Result<Self> {
        let bare = family.bare.iter().find(|(bare, _)| *bare == class);
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for tensor in family.tensors.iter().copied().flatten() {
            by_name.entry(tensor.hf).or_default().push(tensor);
        }
        let named = sources.iter().map(|source| (source.name.as_str(), *source));
        Ok(Self {
            family,
            prefix: bare.map_or("", |(_, prefix)| prefix),
            labelled: hparams.labels()?.is_some(),
            by_name,
            blocks: hparams.need_uint(BLOCKS)?,
            hparams,
            file_type,
            sources,
            by_source: named.collect(),
            fp8,
            notes: Vec::new(),
        })
    }

    /// The output tensors, calculated ones first.
    pub(super) fn map(&mut self) -> Result<Vec<OutputTensor>> {
        let mut outputs = Vec::with_capacity(self.sources.len() + self.family.computed.len());
        for computed in self.family.computed {
            outputs.extend(self.computed(*computed)?);
        }
        let mut stacks = Stacks::new(self.family, self.hparams);
        let mut others = Vec::new();
        for source in self.sources {
            let made = self.one(source, &mut stacks);
            for (tensor, output) in made.map_err(|e| e.in_tensor(&source.name))? {
                match tensor.ahead {
                    true => outputs.push(output),
                    false => others.push(output),
                }
            }
        }
        stacks.finish()?;
        outputs.append(&mut others);
        let mut names = HashSet::new();
        match outputs.iter().find(|output| !names.insert(&output.name)) {
            None => Ok(outputs),
            Some(twice) => {
                Err(Error::malformed("two tensors of the model become this one")
                    .in_tensor(&twice.name))
            }
        }
    }

    fn computed(&self, computed: Computed) -> Result<Vec<OutputTensor>> {
        let mut tensors = Vec::new();
        match computed {
            Computed::Llama3RopeFactors => {
                let factors = rope_factors::llama3(self.hparams)?;
                tensors.extend(factors.map(|factors| ("rope_freqs.weight", factors)));
            }
            Computed::WithoutLlama3Scaling => rope_factors::no_llama3(self.hparams)?,
            Computed::LongRopeFactors => {
                if let Some(rope) = LongRope::load(self.hparams)? {
                    tensors.push(("rope_factors_long.weight", rope.long));
                    tensors.push(("rope_factors_short.weight", rope.short));
                }
            }
        }
        let made = tensors.into_iter().map(|(name, data)| OutputTensor {
            name: name.to_owned(),
            shape: vec![data.len()],
            encoding: Encoding::Block(DType::F32),
            source: Expr::Values {
                shape: vec![data.len()],
                data,
            },
            importance: None,
        });
        Ok(made.collect())
    }

    /// What one source tensor becomes: none if it is left out or waits for others, several if it
    /// is split or the last of a stack.
    fn one(&mut self, source: &'m TensorInfo, stacks: &mut Stacks) -> Result<Vec<Made>> {
        let respelled = self.respell(&source.name);
        if self.skips(&source.name, &respelled) {
            return Ok(Vec::new());
        }
        let place = self.place(&respelled).ok_or_else(|| {
            Error::unsupported(format!(
                "has no place in the architecture '{}' with {} blocks",
                self.family.classes[0], self.blocks
            ))
        })?;
        let mut outputs = Vec::new();
        for tensor in &self.by_name[place.hf.as_str()].clone() {
            let input = self.input(source);
            let expr = rewrite(tensor.rewrite, source, input, self.hparams)?;
            let Some(stack) = tensor.stack else {
                outputs.push((*tensor, self.output(tensor, &place, expr)?));
                continue;
            };
            let lookup = |name: &str| self.by_source.get(name).copied();
            for (tensor, whole) in stacks.add(stack, tensor, &place, expr, &lookup)? {
                outputs.push((tensor, self.output(tensor, &place, whole)?));
            }
        }
        Ok(outputs)
    }

    /// The values of a source tensor.
    fn input(&self, source: &TensorInfo) -> Expr {
        match self.fp8 {
            None => Expr::input(&source.name),
            Some(fp8) => fp8.values(source, &|name| self.by_source.get(name).copied()),
        }
    }

    /// The names of the output tensors that a source tensor's values go to.
    pub(super) fn names(&self, source: &str) -> Vec<String> {
        let respelled = self.respell(source);
        let place = self.place(&respelled);
        let Some(place) = place.filter(|_| !self.skips(source, &respelled)) else {
            return Vec::new();
        };
        let tensors = self.by_name.get(place.hf.as_str()).into_iter().flatten();
        tensors.map(|tensor| place.output_name(tensor)).collect()
    }

    /// The output tensor of an expression.
    fn output(&mut self, tensor: &Tensor, place: &Place, source: Expr) -> Result<OutputTensor> {
        let typed = source.infer(&|name| self.by_source.get(name).copied())?;
        let name = place.output_name(tensor);
        let dtype = match typed.dtype {
            plain if plain.is_plain_float() => self.choose_type(tensor, &name, &typed.shape),
            blocks if blocks.is_quantized() => blocks,
            other => {
                return Err(Error::unsupported(format!(
                    "is stored as {other}; only f32, f16 and bf16 weights can be converted"
                )));
            }
        };
        Ok(OutputTensor {
            encoding: Encoding::Block(dtype),
            name,
            shape: typed.shape,
            source,
            importance: None,
        })
    }

    /// Whether a tensor is left out.
    fn skips(&self, name: &str, respelled: &str) -> bool {
        let mut ends = SKIPPED_ENDS.iter().chain(self.family.skip_ends);
        let mut starts = self.family.skip.iter();
        let mut spare = self.family.spare.iter();
        modalities::is_other(name)
            || ends.any(|end| name.ends_with(end))
            || self.fp8.is_some_and(|fp8| fp8.skips(name))
            || starts.any(|start| respelled.starts_with(start))
            || spare.any(|spare| self.spares(*spare, respelled))
    }

    fn spares(&self, spare: Spare, name: &str) -> bool {
        match spare {
            Spare::TiedHead => {
                name == "lm_head.weight" && self.hparams.is_true("tie_word_embeddings")
            }
            Spare::BlocksBehind => first_number(name).is_some_and(|block| block >= self.blocks),
        }
    }

    /// A source name in the spelling of the description.
    fn respell(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for spelling in self.family.spellings {
            let respelled = match spelling {
                Spelling::Part(part) => Some(name.replace(part, "")),
                Spelling::Prefix(start) => name.strip_prefix(start).map(str::to_owned),
                Spelling::Suffix(old, new) => {
                    name.strip_suffix(old).map(|stem| format!("{stem}{new}"))
                }
                Spelling::Labelled(stem, new) => match split_suffix(&name) {
                    Some((start, suffix)) if self.labelled && start == *stem => {
                        Some(format!("{new}{suffix}"))
                    }
                    _ => None,
                },
            };
            name = respelled.unwrap_or(name);
        }
        format!("{}{name}", self.prefix)
    }

    /// Where the descriptions have a tensor.
    fn place(&self, name: &str) -> Option<Place> {
        let known = |place: &Place| self.by_name.contains_key(place.hf.as_str());
        let mut places = (0..=2).filter_map(|numbers| Place::new(name, numbers));
        let place = places.find(known)?;
        place
            .block
            .is_none_or(|block| block < self.blocks)
            .then_some(place)
    }

    /// How a tensor is stored, by the converter's rules.
    fn choose_type(&mut self, tensor: &Tensor, name: &str, shape: &[usize]) -> DType {
        let exact = shape.len() <= 1
            || tensor.class == TypeClass::Exact
            || name.ends_with("_norm.weight")
            || !name.ends_with(".weight");
        if exact {
            return DType::F32;
        }
        let wanted = self.file_type.dtype;
        if tensor.class == TypeClass::Embedding && matches!(wanted, DType::Tq1_0 | DType::Tq2_0) {
            return DType::F16;
        }
        let cols = shape.last().copied().unwrap_or(1);
        if cols.is_multiple_of(wanted.block_len()) {
            return wanted;
        }
        self.notes.push(format!(
            "{name}: f16 instead of {wanted}, which needs rows of a multiple of {} elements, not {cols}",
            wanted.block_len()
        ));
        DType::F16
    }
}

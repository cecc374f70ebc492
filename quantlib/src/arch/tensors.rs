//! Tensors: which there are, what they are called, how they are stored.

use super::family::{Computed, Family, Tensor, TypeClass};
use super::fp8::Fp8;
use super::hparams::Hparams;
use super::long_rope::LongRope;
use super::names::Names;
use super::outtype::FileType;
use super::rewrite::rewrite;
use super::rope_factors;
use super::stacks::{Place, Stacks};
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

/// An output tensor and its description.
type Made = (&'static Tensor, OutputTensor);

/// Turns a model's tensors into those of the GGUF file.
pub(super) struct Mapper<'m> {
    family: &'m Family,
    names: Names<'m>,
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
        let named = sources.iter().map(|source| (source.name.as_str(), *source));
        Ok(Self {
            family,
            names: Names::new(family, class, hparams)?,
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
        let mut stacks = Stacks::new(self.family.tensors, self.hparams);
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
        let respelled = self.names.respell(&source.name);
        if self.names.skips(&source.name, &respelled, self.fp8) {
            return Ok(Vec::new());
        }
        let place = self.names.need_place(&respelled)?;
        let mut outputs = Vec::new();
        for tensor in self.names.described(&place).to_vec() {
            let input = self.input(source);
            let expr = rewrite(tensor.rewrite, source, input, self.hparams)?;
            let Some(stack) = tensor.stack else {
                outputs.push((tensor, self.output(tensor, &place, expr)?));
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
        let respelled = self.names.respell(source);
        let place = self.names.place(&respelled);
        let skipped = self.names.skips(source, &respelled, self.fp8);
        let Some(place) = place.filter(|_| !skipped) else {
            return Vec::new();
        };
        let tensors = self.names.described(&place).iter();
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

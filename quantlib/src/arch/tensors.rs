//! Tensors: which there are, what they are called, how they are stored.

use super::family::{Computed, Family, Heads, Rewrite, Spelling, Tensor, TypeClass};
use super::hparams::Hparams;
use super::long_rope::LongRope;
use super::outtype::FileType;
use super::params::BLOCKS;
use super::rope_factors;
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

/// Turns a model's tensors into those of the GGUF file.
pub(super) struct Mapper<'m> {
    family: &'m Family,
    /// What the class's tensor names lack in front.
    prefix: &'static str,
    by_name: HashMap<&'static str, &'static Tensor>,
    blocks: u32,
    hparams: &'m Hparams,
    file_type: FileType,
    /// Matrices that could not be stored in the wanted type.
    pub(super) notes: Vec<String>,
}

impl<'m> Mapper<'m> {
    pub(super) fn new(
        family: &'m Family,
        class: &str,
        hparams: &'m Hparams,
        file_type: FileType,
    ) -> Result<Self> {
        let bare = family.bare.iter().find(|(bare, _)| *bare == class);
        let tensors = family.tensors.iter().copied().flatten();
        Ok(Self {
            family,
            prefix: bare.map_or("", |(_, prefix)| prefix),
            by_name: tensors.map(|tensor| (tensor.hf, tensor)).collect(),
            blocks: hparams.need_uint(BLOCKS)?,
            hparams,
            file_type,
            notes: Vec::new(),
        })
    }

    /// The output tensors, calculated ones first.
    pub(super) fn map(&mut self, sources: &[&TensorInfo]) -> Result<Vec<OutputTensor>> {
        let mut outputs = Vec::with_capacity(sources.len() + self.family.computed.len());
        for computed in self.family.computed {
            outputs.extend(self.computed(*computed)?);
        }
        for source in sources {
            outputs.extend(self.one(source).map_err(|e| e.in_tensor(&source.name))?);
        }
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
        tensors
            .into_iter()
            .map(|(name, data)| {
                let shape = vec![data.len()];
                let source = Expr::Values { shape, data };
                output(name.to_owned(), source, DType::F32, &|_| None)
            })
            .collect()
    }

    /// The output tensor of one source tensor; `None` if it is left out.
    fn one(&mut self, source: &TensorInfo) -> Result<Option<OutputTensor>> {
        let respelled = self.respell(&source.name);
        let mut skipped_ends = SKIPPED_ENDS.iter().chain(self.family.skip_ends);
        let skipped = skipped_ends.any(|end| source.name.ends_with(end))
            || self
                .family
                .skip
                .iter()
                .any(|start| respelled.starts_with(start));
        if skipped {
            return Ok(None);
        }
        let (tensor, name) = self.place(&respelled).ok_or_else(|| {
            Error::unsupported(format!(
                "has no place in the architecture '{}' with {} blocks",
                self.family.classes[0], self.blocks
            ))
        })?;
        if !source.dtype.is_plain_float() {
            return Err(Error::unsupported(format!(
                "is stored as {}; only f32, f16 and bf16 weights can be converted",
                source.dtype
            )));
        }
        let expr = rewrite(tensor.rewrite, source, self.hparams)?;
        let shape = expr.infer(&|_| Some(source))?.shape;
        let dtype = self.choose_type(tensor, &name, &shape);
        output(name, expr, dtype, &|_| Some(source)).map(Some)
    }

    /// A source name in the spelling of the description.
    fn respell(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for spelling in self.family.spellings {
            let respelled = match spelling {
                Spelling::Prefix(start) => name.strip_prefix(start).map(str::to_owned),
                Spelling::Suffix(old, new) => {
                    name.strip_suffix(old).map(|stem| format!("{stem}{new}"))
                }
            };
            name = respelled.unwrap_or(name);
        }
        format!("{}{name}", self.prefix)
    }

    /// The description of a tensor, and its name in the output.
    fn place(&self, name: &str) -> Option<(&'static Tensor, String)> {
        let (stem, suffix) = [".weight", ".bias"]
            .into_iter()
            .find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix)))?;
        let (pattern, block) = number(stem);
        if block.is_some_and(|block| block.parse().map_or(true, |n: u32| n >= self.blocks)) {
            return None;
        }
        let tensor = *self.by_name.get(pattern.as_str())?;
        let stem = tensor.gguf.replace("{}", block.unwrap_or_default());
        Some((tensor, format!("{stem}{suffix}")))
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

/// A name with its block's number taken out: the first part of it that is a number.
fn number(stem: &str) -> (String, Option<&str>) {
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let block = stem.split('.').find(is_number);
    let mut taken = false;
    let parts = stem.split('.').map(|part| {
        let take = !taken && is_number(&part);
        taken |= take;
        if take { "{}" } else { part }
    });
    (parts.collect::<Vec<_>>().join("."), block)
}

fn rewrite(rewrite: Rewrite, source: &TensorInfo, hparams: &Hparams) -> Result<Expr> {
    let input = Expr::input(&source.name);
    match rewrite {
        Rewrite::Keep => Ok(input),
        Rewrite::PairHalves(heads) => pair_halves(input, &source.shape, count(heads, hparams)?),
        Rewrite::Transpose => Ok(transpose(input, &source.shape)),
        Rewrite::UngroupHeads => ungroup_heads(input, &source.shape, hparams),
        Rewrite::AddOne => Ok(add_one(input, source.dtype)),
        Rewrite::TokenRows => Ok(token_rows(input, &source.shape, hparams.tokens)),
    }
}

/// Values with one added. The converter adds to f16 in f16, to others in f32.
fn add_one(input: Expr, dtype: DType) -> Expr {
    let of = Box::new(input);
    let sum = Expr::Add { of, value: 1.0 };
    match dtype {
        DType::F16 => sum.cast(DType::F16),
        _ => sum,
    }
}

/// The rows that belong to tokens, where there are more.
fn token_rows(input: Expr, shape: &[usize], tokens: Option<usize>) -> Expr {
    match (shape.first(), tokens) {
        (Some(&rows), Some(len)) if len < rows => Expr::Slice {
            of: Box::new(input),
            start: 0,
            len,
        },
        _ => input,
    }
}

/// The number of heads.
fn count(heads: Heads, hparams: &Hparams) -> Result<usize> {
    let query = hparams.need_uint(&["n_heads", "num_attention_heads"])?;
    let key = hparams.uint(&["n_kv_heads", "num_key_value_heads"])?;
    Ok(match heads {
        Heads::Query => query,
        Heads::Key => key.unwrap_or(query),
    } as usize)
}

/// Turns the two halves of each head's rows into pairs of neighbours.
fn pair_halves(input: Expr, shape: &[usize], heads: usize) -> Result<Expr> {
    let rows = shape.first().copied().unwrap_or(0);
    let half = rows / heads.max(1) / 2;
    if heads.checked_mul(2).and_then(|n| n.checked_mul(half)) != Some(rows) {
        return Err(Error::malformed(format!(
            "its {rows} rows are no {heads} heads of two halves"
        )));
    }
    let view = [heads, 2, half];
    let swap = |of: Expr| Expr::SwapRows {
        of: Box::new(of),
        view,
    };
    Ok(match shape {
        // A bias has one element a row.
        [_] => swap(input.reshape([rows, 1])).reshape([rows]),
        _ => swap(input),
    })
}

/// Swaps rows and columns of a matrix.
fn transpose(input: Expr, shape: &[usize]) -> Expr {
    match shape {
        [_, _] => Expr::Transpose {
            of: Box::new(input),
            axes: vec![1, 0],
        },
        _ => input,
    }
}

/// Takes a joined projection apart, whose rows are groups of query heads, a key and a value head.
fn ungroup_heads(input: Expr, shape: &[usize], hparams: &Hparams) -> Result<Expr> {
    let heads = hparams.need_uint(&["num_attention_heads", "n_head"])? as usize;
    let groups = hparams.uint(&["num_kv_heads", "n_head_kv"])?;
    let groups = groups.filter(|&n| n > 0).unwrap_or(1) as usize;
    let width = hparams.need_uint(&["hidden_size"])? as usize;
    let (queries, dim) = (heads / groups, width / heads.max(1));
    let rows = (queries + 2)
        .checked_mul(dim)
        .and_then(|n| n.checked_mul(groups));
    let fits = match shape {
        [outer, inner] => Some(*outer) == rows && heads.checked_mul(dim) == Some(*inner),
        _ => false,
    };
    if !fits || queries * groups != heads || groups > MAX_GROUPS {
        return Err(Error::malformed(format!(
            "its shape {shape:?} is not that of {groups} groups of {queries} query heads, a key and a value head of \
             {dim} rows; correct the numbers of heads in config.json"
        )));
    }
    let part = |start: usize, count: usize| {
        let input = &input;
        (0..groups).map(move |group| Expr::Slice {
            of: Box::new(input.clone()),
            start: (group * (queries + 2) + start) * dim,
            len: count * dim,
        })
    };
    let parts = part(0, queries)
        .chain(part(queries, 1))
        .chain(part(queries + 1, 1));
    Ok(Expr::Concat(parts.collect()))
}

/// More groups of heads than any model has.
const MAX_GROUPS: usize = 1 << 12;

fn output<'m>(
    name: String,
    source: Expr,
    dtype: DType,
    lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
) -> Result<OutputTensor> {
    let shape = source.infer(lookup)?.shape;
    Ok(OutputTensor {
        name,
        shape,
        encoding: Encoding::Block(dtype),
        source,
        importance: None,
    })
}

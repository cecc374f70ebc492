//! Stacks: many source tensors of a block that become one output tensor.

use super::family::{Family, Stack, Tensor};
use super::hparams::Hparams;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Expr, TensorInfo};
use std::collections::{BTreeMap, HashMap};

/// A source name taken apart.
#[derive(Debug)]
pub(super) struct Place {
    /// The name as descriptions have it: without its end, numbers as `{}`.
    pub(super) hf: String,
    /// The first number.
    pub(super) block: Option<u32>,
    /// The second number.
    pub(super) part: Option<u32>,
    /// The end: `.weight` or `.bias`.
    suffix: &'static str,
}

impl Place {
    /// `None` for a name with another end or with fewer numbers than are to be taken out.
    pub(super) fn new(name: &str, numbers: usize) -> Option<Self> {
        let (stem, suffix) = split_suffix(name)?;
        let mut found = Vec::with_capacity(numbers);
        let parts: Vec<_> = stem
            .split('.')
            .map(|part| match number(part) {
                Some(number) if found.len() < numbers => {
                    found.push(number);
                    "{}"
                }
                _ => part,
            })
            .collect();
        let mut found_numbers = found.iter().copied();
        (found.len() == numbers).then(|| Self {
            hf: parts.join("."),
            block: found_numbers.next(),
            part: found_numbers.next(),
            suffix,
        })
    }

    /// The name of an output tensor.
    pub(super) fn output_name(&self, tensor: &Tensor) -> String {
        let block = self.block.map(|block| block.to_string());
        let stem = tensor.gguf.replace("{}", &block.unwrap_or_default());
        format!("{stem}{}", self.suffix)
    }
}

/// The first part of a name that is a number.
pub(super) fn first_number(name: &str) -> Option<u32> {
    name.split('.').find_map(number)
}

/// A name without its end, and the end.
pub(super) fn split_suffix(name: &str) -> Option<(&str, &'static str)> {
    let mut suffixes = [".weight", ".bias"].into_iter();
    suffixes.find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix)))
}

fn number(part: &str) -> Option<u32> {
    let digits = part.bytes().all(|b| b.is_ascii_digit());
    part.parse().ok().filter(|_| digits)
}

/// Source tensors that wait for the others of their stack.
pub(super) struct Stacks<'f> {
    family: &'f Family,
    hparams: &'f Hparams,
    waiting: BTreeMap<u32, HashMap<&'static Stack, Waiting>>,
}

/// By output tensor, then by their numbers.
type Waiting = HashMap<&'static str, BTreeMap<u32, Expr>>;

/// A description and the expression of its output tensor.
type Stacked = (&'static Tensor, Expr);

impl<'f> Stacks<'f> {
    pub(super) fn new(family: &'f Family, hparams: &'f Hparams) -> Self {
        Self {
            family,
            hparams,
            waiting: BTreeMap::new(),
        }
    }

    /// Adds one tensor of a stack. With the last of its block, all of the block's are returned.
    pub(super) fn add<'m>(
        &mut self,
        stack: &'static Stack,
        tensor: &'static Tensor,
        place: &Place,
        expr: Expr,
        lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
    ) -> Result<Vec<Stacked>> {
        let count = self.hparams.need_uint(stack.count)?;
        let (block, part) = (place.block.unwrap_or(0), place.part.unwrap_or(0));
        if part >= count {
            return Err(Error::malformed(format!(
                "config.json says that there are {count} {}",
                stack.of
            )));
        }
        let waiting = self
            .waiting
            .entry(block)
            .or_default()
            .entry(stack)
            .or_default();
        waiting.entry(tensor.gguf).or_default().insert(part, expr);
        let family = self.family.tensors.iter().copied().flatten();
        let tensors: Vec<_> = family.filter(|t| t.stack == Some(stack)).collect();
        let whole = |tensor: &&Tensor| {
            let parts = waiting.get(tensor.gguf).map_or(0, BTreeMap::len);
            parts == count as usize
        };
        if !tensors.iter().all(whole) {
            return Ok(Vec::new());
        }
        let mut parts = std::mem::take(waiting);
        let stacked = tensors.into_iter().map(|tensor| {
            let parts = parts.remove(tensor.gguf).unwrap_or_default();
            Ok((tensor, join(parts.into_values(), lookup)?))
        });
        stacked.collect()
    }

    /// Checks that no tensor waits any more.
    pub(super) fn finish(self) -> Result<()> {
        for (block, stacks) in self.waiting {
            for (stack, waiting) in stacks {
                let found: usize = waiting.values().map(BTreeMap::len).sum();
                if found > 0 {
                    let what = stack.of;
                    return Err(Error::malformed(format!(
                        "block {block} lacks tensors of its {what}: only {found} are there; is a file of the model missing?"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Tensors of one shape behind each other along a new first dimension.
fn join<'m>(
    parts: impl ExactSizeIterator<Item = Expr>,
    lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
) -> Result<Expr> {
    let mut one_type = None;
    let mut joined = Vec::with_capacity(parts.len());
    for part in parts {
        let typed = part.infer(lookup)?;
        one_type = match one_type {
            None => Some(typed.dtype),
            Some(dtype) if dtype == typed.dtype => one_type,
            Some(_) => Some(DType::F32),
        };
        let shape: Vec<_> = std::iter::once(1).chain(typed.shape).collect();
        joined.push((typed.dtype, part.reshape(shape)));
    }
    let common = one_type.unwrap_or(DType::F32);
    let cast = |(dtype, part): (DType, Expr)| match dtype == common {
        true => part,
        false => part.cast(common),
    };
    Ok(Expr::Concat(joined.into_iter().map(cast).collect()))
}

//! Stacks: many source tensors of a block that become one output tensor.

use super::family::{Stack, Tensor};
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

    /// What the name ends in.
    pub(super) fn suffix(&self) -> &'static str {
        self.suffix
    }

    /// The name of an output tensor.
    pub(super) fn output_name(&self, tensor: &Tensor) -> String {
        let block = self.block.map(|block| block.to_string());
        let stem = tensor.output.replace("{}", &block.unwrap_or_default());
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
    tensors: &'static [&'static [Tensor]],
    hparams: &'f Hparams,
    waiting: BTreeMap<u32, HashMap<&'static Stack, Waiting>>,
}

/// By output tensor, then by their numbers.
type Waiting = HashMap<&'static str, BTreeMap<u32, Expr>>;

/// A description and the expression of its output tensor.
type Stacked = (&'static Tensor, Expr);

impl<'f> Stacks<'f> {
    pub(super) fn new(tensors: &'static [&'static [Tensor]], hparams: &'f Hparams) -> Self {
        Self {
            tensors,
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
        waiting.entry(tensor.output).or_default().insert(part, expr);
        let all = self.tensors.iter().copied().flatten();
        let tensors: Vec<_> = all.filter(|t| t.stack == Some(stack)).collect();
        let whole = |tensor: &&Tensor| {
            let parts = waiting.get(tensor.output).map_or(0, BTreeMap::len);
            parts == count as usize
        };
        if !tensors.iter().all(whole) {
            return Ok(Vec::new());
        }
        let mut parts = std::mem::take(waiting);
        let stacked = tensors.into_iter().map(|tensor| {
            let parts = parts.remove(tensor.output).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use serde_json::json;

    const EXPERTS: Stack = Stack {
        of: "experts",
        count: &["num_experts"],
    };
    const TENSORS: &[&[Tensor]] = &[&[
        Tensor::new("layers.{}.experts.{}.down", "blk.{}.down").stack(&EXPERTS),
        Tensor::new("layers.{}.experts.{}.up", "blk.{}.up").stack(&EXPERTS),
    ]];

    /// What becomes of tensors with these names and types of a model with two experts.
    fn stack(sources: &[(&str, DType)]) -> Result<Vec<(String, Expr)>> {
        let config = json!({"num_experts": 2});
        let hparams = Hparams::new(config.as_object().unwrap())?;
        let infos = sources.iter().map(|(name, dtype)| TensorInfo {
            name: (*name).to_owned(),
            dtype: *dtype,
            shape: vec![3, 4],
        });
        let infos: Vec<_> = infos.collect();
        let lookup = |name: &str| infos.iter().find(|info| info.name == name);
        let mut stacks = Stacks::new(TENSORS, &hparams);
        let mut made = Vec::new();
        for info in &infos {
            let place = Place::new(&info.name, 2).unwrap();
            let tensor = TENSORS[0].iter().find(|t| t.hf == place.hf).unwrap();
            let expr = Expr::input(&info.name);
            for (tensor, expr) in stacks.add(&EXPERTS, tensor, &place, expr, &lookup)? {
                assert_eq!(expr.infer(&lookup)?.shape, [2, 3, 4]);
                made.push((place.output_name(tensor), expr));
            }
        }
        stacks.finish().map(|()| made)
    }

    #[test]
    fn the_last_tensor_of_a_block_completes_its_stacks() {
        let all = [
            ("layers.0.experts.1.up.weight", DType::F16),
            ("layers.0.experts.0.down.weight", DType::F32),
            ("layers.0.experts.0.up.weight", DType::F16),
            ("layers.0.experts.1.down.weight", DType::BF16),
        ];
        let made = stack(&all).unwrap();
        let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["blk.0.down.weight", "blk.0.up.weight"]);
        let up = [0, 1].map(|i| format!("layers.0.experts.{i}.up.weight"));
        assert_eq!(made[1].1.inputs(), up);
    }

    #[test]
    fn numbers_and_gaps_must_fit_the_configuration() {
        for (name, words) in [
            ("layers.0.experts.2.up.weight", "there are 2 experts"),
            ("layers.7.experts.1.up.weight", "block 7 lacks tensors"),
        ] {
            let error = stack(&[(name, DType::F32)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn names_are_taken_apart() {
        let place = Place::new("a.12.b.3.c.weight", 2).unwrap();
        assert_eq!(
            (place.hf.as_str(), place.block, place.part),
            ("a.{}.b.{}.c", Some(12), Some(3))
        );
        assert_eq!(Place::new("a.12.b.3.c.bias", 1).unwrap().hf, "a.{}.b.3.c");
        assert!(Place::new("a.12.b.weight", 2).is_none());
        assert!(Place::new("a.12.b.scale", 1).is_none());
        assert_eq!(
            (first_number("a.7.b.3"), first_number("a.b")),
            (Some(7), None)
        );
    }
}

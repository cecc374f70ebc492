//! The order in which llama-quantize writes tensors, and how it leaves layers out.

use crate::error::{Error, Result};
use crate::model::TensorInfo;
use std::collections::{HashMap, HashSet};

/// A tensor that stays, under the name that it gets.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    /// Its place in the input.
    pub(super) index: usize,
    pub(super) tensor: &'a TensorInfo,
    pub(super) name: String,
}

/// The layer that a name begins with ("blk.N"), or -1: what C's `sscanf(name, "blk.%d.")` finds.
pub(super) fn leading_layer(name: &str) -> i32 {
    let Some(rest) = name.strip_prefix("blk.") else {
        return -1;
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (negative, digits) = match rest.as_bytes().first() {
        Some(b'-') => (true, &rest[1..]),
        Some(b'+') => (false, &rest[1..]),
        _ => (false, rest),
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    if end == 0 {
        return -1;
    }
    // Too large for 64 bits: C's strtol stops at the largest, and %d keeps the low half.
    let magnitude = digits[..end].parse().unwrap_or(i64::MAX);
    let number: i64 = if negative { -magnitude } else { magnitude };
    number as i32
}

/// The tensors that stay, in output order, and the number of layers left if some are to go.
///
/// Tensors outside layers come first, then layer by layer, and names in byte order within each.
///
/// # Errors
/// `malformed` if two tensors end up with one name.
pub(super) fn output_order<'a>(
    tensors: &'a [TensorInfo],
    prune: &[u32],
) -> Result<(Vec<Kept<'a>>, Option<u32>)> {
    let mut sorted: Vec<_> = tensors.iter().enumerate().collect();
    sorted.sort_by_cached_key(|(_, tensor)| (leading_layer(&tensor.name), tensor.name.as_str()));
    let mut pruner = Pruner::new(prune);
    let mut kept = Vec::with_capacity(sorted.len());
    for (index, tensor) in sorted {
        if let Some(name) = pruner.rename(&tensor.name)? {
            kept.push(Kept {
                index,
                tensor,
                name,
            });
        }
    }
    let mut names = HashSet::new();
    match kept.iter().find(|kept| !names.insert(kept.name.as_str())) {
        Some(twice) => {
            Err(Error::malformed("there are two tensors of this name").in_tensor(&twice.name))
        }
        None => Ok((kept, pruner.layers_left())),
    }
}

/// Renumbers layers as they come, leaving some out.
struct Pruner<'p> {
    prune: &'p [u32],
    first: u32,
    new_numbers: HashMap<u32, Option<u32>>,
    next: u32,
}

impl<'p> Pruner<'p> {
    fn new(prune: &'p [u32]) -> Self {
        Self {
            prune,
            first: prune.iter().copied().min().unwrap_or(0),
            new_numbers: HashMap::new(),
            next: 0,
        }
    }

    /// The name with its layer renumbered; `None` if the tensor goes.
    fn rename(&mut self, name: &str) -> Result<Option<String>> {
        if self.prune.is_empty() {
            return Ok(Some(name.to_owned()));
        }
        let Some(digits) = layer_digits(name) else {
            return Ok(Some(name.to_owned()));
        };
        let layer: u32 = name[digits.clone()]
            .parse()
            .map_err(|_| Error::malformed("the layer's number is too large").in_tensor(name))?;
        let number = match self.new_numbers.get(&layer) {
            Some(number) => *number,
            None => self.number(layer),
        };
        Ok(number.map(|n| format!("{}{n}{}", &name[..digits.start], &name[digits.end..])))
    }

    /// Decides on a layer that is met for the first time.
    fn number(&mut self, layer: u32) -> Option<u32> {
        let number = if self.prune.contains(&layer) {
            None
        } else if layer < self.first {
            self.next = layer + 1;
            Some(layer)
        } else {
            self.next += 1;
            Some(self.next - 1)
        };
        self.new_numbers.insert(layer, number);
        number
    }

    fn layers_left(&self) -> Option<u32> {
        (!self.prune.is_empty()).then_some(self.next)
    }
}

/// Where the layer's number is in a name: the first `blk.N.` anywhere in it.
fn layer_digits(name: &str) -> Option<std::ops::Range<usize>> {
    name.match_indices("blk.").find_map(|(at, found)| {
        let start = at + found.len();
        let rest = &name[start..];
        let len = rest.find(|c: char| !c.is_ascii_digit())?;
        (len > 0 && rest[len..].starts_with('.')).then(|| start..start + len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn tensors(names: &[&str]) -> Vec<TensorInfo> {
        names
            .iter()
            .map(|name| TensorInfo {
                name: (*name).into(),
                dtype: DType::F32,
                shape: vec![1],
            })
            .collect()
    }

    fn order(names: &[&str], prune: &[u32]) -> (Vec<String>, Option<u32>) {
        let tensors = tensors(names);
        let (kept, left) = output_order(&tensors, prune).unwrap();
        (kept.into_iter().map(|k| k.name).collect(), left)
    }

    #[test]
    fn layers_are_numbers() {
        let (names, left) = order(
            &["blk.10.a", "blk.9.b", "output", "blk.9.a", "blk.x", "a"],
            &[],
        );
        assert_eq!(
            names,
            ["a", "blk.x", "output", "blk.9.a", "blk.9.b", "blk.10.a"]
        );
        assert_eq!(left, None);
        for (name, layer) in [
            ("blk. 7.a", 7),
            ("blk.-2.", -2),
            ("blk.+3", 3),
            ("blk..", -1),
            ("a.blk.1.", -1),
            ("blk.4294967297.a", 1),
            ("blk.99999999999999999999.a", -1),
        ] {
            assert_eq!(leading_layer(name), layer, "{name}");
        }
    }

    #[test]
    fn pruned_layers_close_the_gap() {
        let (names, left) = order(
            &["blk.0.a", "blk.1.a", "blk.2.a", "blk.3.a", "out"],
            &[2, 1],
        );
        assert_eq!(names, ["out", "blk.0.a", "blk.1.a"]);
        assert_eq!(left, Some(2));
        let (names, left) = order(&["enc.blk.0.a", "enc.blk.1.a", "blk.blk.2.a"], &[0]);
        assert_eq!(names, ["blk.blk.0.a", "enc.blk.1.a"]);
        assert_eq!(left, Some(2));
    }

    #[test]
    fn impossible_names_are_errors() {
        let clash = tensors(&[
            "d.blk.0.a",
            "d.blk.10.a",
            "d.blk.11.a",
            "d.blk.2.a",
            "d.blk.5.a",
        ]);
        assert!(output_order(&clash, &[3]).is_err());
        let huge = tensors(&["d.blk.99999999999.a"]);
        assert!(output_order(&huge, &[3]).is_err());
    }
}

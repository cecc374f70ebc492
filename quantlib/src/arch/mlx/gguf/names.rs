//! Names and rows of GGUF's tensors, back to those of MLX.

use super::config::Keys;
use crate::arch::family::{Family, Heads, Rewrite, Tensor};
use crate::arch::mlx::Mlx;
use crate::error::{Error, Result};
use crate::model::{Expr, TensorInfo};

/// What the tensors of one model are called.
pub(super) struct Names<'k> {
    family: &'static Family,
    mlx: &'static Mlx,
    keys: &'k Keys<'k>,
}

/// Whether a tensor was calculated from the configuration, which has what it was calculated from.
pub(super) fn is_computed(name: &str) -> bool {
    name == "rope_freqs.weight"
}

pub(super) fn ends_with(ends: &[&str], name: &str) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

impl<'k> Names<'k> {
    pub(super) fn new(family: &'static Family, mlx: &'static Mlx, keys: &'k Keys<'k>) -> Self {
        Self { family, mlx, keys }
    }

    /// MLX's name of a tensor, and its values as MLX has them.
    ///
    /// # Errors
    /// `unsupported` if the architecture has no such tensor, or none whose values could be got back.
    pub(super) fn back(&self, info: &TensorInfo) -> Result<(String, Expr)> {
        let (stem, suffix) = split(&info.name);
        let (pattern, block) = pattern(stem);
        let tensors = self.family.tensors.iter().copied().flatten();
        let described = tensors.filter(|tensor| tensor.output == pattern);
        for tensor in described {
            if let Some((name, rewrite)) = self.in_mlx(tensor) {
                let name = name.replacen("{}", block, 1);
                let source = self.undo(rewrite, info)?;
                let bare = ends_with(self.mlx.uncounted, &name);
                let suffix = if bare { "" } else { suffix };
                return Ok((format!("{}{name}{suffix}", self.mlx.prefix), source));
            }
        }
        Err(Error::unsupported(
            "has no place in MLX's model of this architecture, or its values cannot be got back; convert the Hugging Face folder",
        ))
    }

    /// The name of a tensor in MLX, with `{}` for the block, and what of GGUF's values is to be undone.
    fn in_mlx(&self, tensor: &Tensor) -> Option<(&'static str, Rewrite)> {
        let mut others = self.mlx.tensors.iter().copied().flatten();
        let mut same = others.clone().filter(|other| other.hf == tensor.hf);
        let alike = |other: &&Tensor| match (tensor.rewrite, other.rewrite) {
            (Rewrite::Microscaled(a), Rewrite::MicroscaledWords(b)) => a == b,
            (a, b) => a == b && tensor.stack == other.stack,
        };
        if let Some(other) = same.find(alike) {
            return Some((other.output, Rewrite::Keep));
        }
        let renamed = others.any(|other| other.hf == tensor.hf);
        (!renamed && tensor.stack.is_none()).then_some((tensor.hf, tensor.rewrite))
    }

    /// The values before they were rewritten.
    fn undo(&self, rewrite: Rewrite, info: &TensorInfo) -> Result<Expr> {
        let input = Expr::input(&info.name);
        match rewrite {
            Rewrite::Keep => Ok(input),
            Rewrite::PairHalves(heads) => self.unpair(input, info, heads),
            _ => Err(Error::unsupported(
                "its values were calculated from others, and there is no exact way back; convert the Hugging Face folder",
            )),
        }
    }

    /// Pairs of neighbours become the two halves of each head's rows again.
    fn unpair(&self, input: Expr, info: &TensorInfo, heads: Heads) -> Result<Expr> {
        let query = self.keys.need_uint("attention.head_count")?;
        let heads = match heads {
            Heads::Query => query,
            Heads::Key => self.keys.uint("attention.head_count_kv")?.unwrap_or(query),
        } as usize;
        let rows = info.shape.first().copied().unwrap_or(0);
        let half = rows / heads.max(1) / 2;
        if heads.checked_mul(2).and_then(|n| n.checked_mul(half)) != Some(rows) {
            return Err(Error::malformed(format!(
                "its {rows} rows are no {heads} heads of two halves"
            )));
        }
        let swap = |of: Expr| Expr::SwapRows {
            of: Box::new(of),
            view: [heads, half, 2],
        };
        Ok(match info.shape.len() {
            // The elements of a bias are rows of one.
            1 => swap(input.reshape([rows, 1])).reshape([rows]),
            _ => swap(input),
        })
    }
}

/// The name without its kind, and the kind with its dot.
fn split(name: &str) -> (&str, &str) {
    let ends = [".weight", ".bias"];
    let end = ends.into_iter().find(|end| name.ends_with(end));
    name.split_at(name.len() - end.map_or(0, str::len))
}

/// `blk.{}.attn_q` and `7` of `blk.7.attn_q`.
fn pattern(stem: &str) -> (String, &str) {
    let in_block = stem
        .strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'));
    match in_block {
        Some((block, rest)) if block.parse::<u32>().is_ok() => (format!("blk.{{}}.{rest}"), block),
        _ => (stem.to_owned(), ""),
    }
}

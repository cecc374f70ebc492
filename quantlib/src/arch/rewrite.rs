//! What becomes of the values of a source tensor, as expressions.

use super::family::{Half, Heads, Rewrite};
use super::hparams::Hparams;
use super::params::EXPERTS;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Expr, TensorInfo};

/// The values of one output tensor of a source tensor.
///
/// `input` are the values of the source tensor.
pub(super) fn rewrite(
    rewrite: Rewrite,
    source: &TensorInfo,
    input: Expr,
    hparams: &Hparams,
) -> Result<Expr> {
    match rewrite {
        Rewrite::Keep => Ok(input),
        Rewrite::PairHalves(heads) => pair_halves(input, &source.shape, count(heads, hparams)?),
        Rewrite::Transpose => Ok(transpose(input, &source.shape)),
        Rewrite::UngroupHeads => ungroup_heads(input, &source.shape, hparams),
        Rewrite::AddOne => Ok(add_one(input, source.dtype)),
        Rewrite::TokenRows => Ok(token_rows(input, &source.shape, hparams.tokens)),
        Rewrite::HalfOfRows(half) => half_of_rows(input, &source.shape, half),
        Rewrite::TransposeEach => Ok(transpose_each(input, &source.shape)),
        Rewrite::Alternate(half) => {
            let picked = alternate(
                input,
                &source.shape,
                source.shape.len().wrapping_sub(1),
                half,
            )?;
            Ok(transpose_each(picked, &source.shape))
        }
        Rewrite::Microscaled(half) => microscaled(source, half),
        Rewrite::MicroscaledWords(half) => microscaled_words(source, half),
        Rewrite::AlternateRows(half) => alternate(input, &source.shape, 1, half),
        Rewrite::LatentKeys => {
            let [heads, keys, values] = latent_heads(hparams)?;
            let joined = latent(input, &source.shape, heads, keys + values)?;
            Ok(joined.slice(1, 0, keys).transpose([0, 2, 1]))
        }
        Rewrite::LatentValues => {
            let [heads, keys, values] = latent_heads(hparams)?;
            let joined = latent(input, &source.shape, heads, keys + values)?;
            Ok(joined.slice(1, keys, values))
        }
        Rewrite::AfterPadding => after_padding(input, &source.shape, hparams),
        Rewrite::PartExperts => part_experts(input, hparams),
        Rewrite::PartExpertsTransposed => Ok(part_experts(input, hparams)?.transpose([0, 2, 1])),
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
        (Some(&rows), Some(len)) if len < rows => input.slice(0, 0, len),
        _ => input,
    }
}

/// The rows after that of padding.
fn after_padding(input: Expr, shape: &[usize], hparams: &Hparams) -> Result<Expr> {
    let rows = shape.first().copied().unwrap_or(0);
    Ok(match hparams.padding_positions()? {
        None => input,
        Some(after) => {
            let after = rows.min(after as usize);
            input.slice(0, after, rows - after)
        }
    })
}

/// A matrix for each expert of what has the rows of all.
fn part_experts(input: Expr, hparams: &Hparams) -> Result<Expr> {
    let experts = hparams.need_uint(EXPERTS)?;
    let (rows, cols) = (
        hparams.need_uint(&["n_inner"])?,
        hparams.need_uint(&["n_embd"])?,
    );
    Ok(input.reshape([experts, rows, cols].map(|n| n as usize)))
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

/// One half of the rows of each matrix.
fn half_of_rows(input: Expr, shape: &[usize], half: Half) -> Result<Expr> {
    // A bias has one element a row.
    let axis = shape.len().saturating_sub(2);
    let rows = shape.get(axis).copied().unwrap_or(1);
    if !rows.is_multiple_of(2) {
        return Err(Error::malformed(format!(
            "its {rows} rows are no two halves"
        )));
    }
    let start = match half {
        Half::First => 0,
        Half::Second => rows / 2,
    };
    Ok(input.slice(axis, start, rows / 2))
}

/// Swaps rows and columns of a matrix.
fn transpose(input: Expr, shape: &[usize]) -> Expr {
    match shape {
        [_, _] => input.transpose([1, 0]),
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
        (0..groups).map(move |group| {
            let first = (group * (queries + 2) + start) * dim;
            input.clone().slice(0, first, count * dim)
        })
    };
    let parts = part(0, queries)
        .chain(part(queries, 1))
        .chain(part(queries + 1, 1));
    Ok(Expr::Concat(parts.collect()))
}

/// More groups of heads than any model has.
const MAX_GROUPS: usize = 1 << 12;

/// Swaps rows and columns of each matrix of a stack.
fn transpose_each(input: Expr, shape: &[usize]) -> Expr {
    match shape {
        [_, _, _] => input.transpose([0, 2, 1]),
        _ => input,
    }
}

/// Every second index of a dimension.
fn alternate(input: Expr, shape: &[usize], axis: usize, half: Half) -> Result<Expr> {
    let len = shape.get(axis).copied().unwrap_or(0);
    if !len.is_multiple_of(2) {
        return Err(Error::malformed(format!(
            "its shape {shape:?} holds no two projections that alternate"
        )));
    }
    let start = match half {
        Half::First => 0,
        Half::Second => 1,
    };
    Ok(Expr::Slice {
        of: Box::new(input),
        axis,
        start,
        step: 2,
        len: len / 2,
    })
}

/// GGUF's blocks of the codes beside these scales.
fn microscaled(scales: &TensorInfo, half: Option<Half>) -> Result<Expr> {
    let stem = scales.name.strip_suffix("_scales").unwrap_or(&scales.name);
    let codes = Expr::input(format!("{stem}_blocks"));
    let part = |input: Expr| match half {
        None => Ok(input),
        Some(half) => alternate(input, &scales.shape, 1, half),
    };
    Ok(Expr::Mxfp4 {
        codes: Box::new(part(codes)?),
        scales: Box::new(part(Expr::input(&scales.name))?),
    })
}

/// The codes beside these scales, as rows of 32-bit words: `[experts, rows, words]`.
fn microscaled_words(scales: &TensorInfo, half: Option<Half>) -> Result<Expr> {
    /// Words of the 32 codes that share a scale.
    const WORDS: usize = 4;
    let [experts, rows, blocks] = scales.shape[..] else {
        return Err(Error::malformed(format!(
            "its shape {:?} is not that of a matrix for each expert",
            scales.shape
        )));
    };
    let stem = scales.name.strip_suffix("_scales").unwrap_or(&scales.name);
    let bytes = blocks
        .checked_mul(WORDS * 4)
        .ok_or_else(|| Error::malformed(format!("its shape {:?} is impossible", scales.shape)))?;
    let codes = Expr::input(format!("{stem}_blocks")).reshape([experts, rows, bytes]);
    let words = Expr::Words(Box::new(codes));
    match half {
        None => Ok(words),
        Some(half) => alternate(words, &scales.shape, 1, half),
    }
}

/// Heads, and a head's rows for keys and for values.
fn latent_heads(hparams: &Hparams) -> Result<[usize; 3]> {
    Ok([
        hparams.need_uint(&["num_key_value_heads"])? as usize,
        hparams.need_uint(&["qk_nope_head_dim"])? as usize,
        hparams.need_uint(&["v_head_dim"])? as usize,
    ])
}

/// A joined up-projection, as a matrix for each head.
fn latent(input: Expr, shape: &[usize], heads: usize, rows: usize) -> Result<Expr> {
    match *shape {
        [all, cols] if heads.checked_mul(rows) == Some(all) => {
            Ok(input.reshape([heads, rows, cols]))
        }
        _ => Err(Error::malformed(format!(
            "its shape {shape:?} is not that of {heads} heads of {rows} rows"
        ))),
    }
}

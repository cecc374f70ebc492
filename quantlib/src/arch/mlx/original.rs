//! From MLX's terms back to Hugging Face's: what mlx_lm's `sanitize` made of a model, undone.

use super::describe::Mlx;
use crate::arch::family::{Family, Half, Rewrite, Spelling, Tensor};
use crate::arch::stacks::Place;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Expr, TensorInfo};
use std::collections::BTreeMap;

/// A tensor in MLX's terms: name, type and shape there, and where its values come from.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) info: TensorInfo,
    pub(super) source: Expr,
}

/// What a tensor is called in Hugging Face's files, and its values there.
pub(super) type Original = (String, Expr);

/// Tensors of one block that come from the same one: its name, block, and what the name ends in.
type Key = (&'static str, Option<u32>, String);

/// A tensor in MLX's terms, and how it was made.
type Made = (&'static Tensor, Given);

/// The tensors of a Hugging Face model that mlx_lm makes these of. Stacks are taken apart, projections
/// that it took apart are joined, and 4-bit floats are codes and scales as gpt-oss's files have them.
///
/// # Errors
/// `malformed` if one of several tensors is missing, `unsupported` if there is no way back.
pub(super) fn originals(
    given: Vec<Given>,
    family: &'static Family,
    mlx: &'static Mlx,
) -> Result<Vec<Original>> {
    let mut originals = Vec::with_capacity(given.len());
    let mut joined: BTreeMap<Key, Vec<Made>> = BTreeMap::new();
    for tensor in given {
        let name = tensor.info.name.as_str();
        let name = name.strip_prefix(mlx.prefix).unwrap_or(name).to_owned();
        match described(&name, &tensor.info, mlx) {
            None => originals.push((name, tensor.source)),
            Some((description, place)) => {
                let suffix = place.suffix().to_owned();
                let key = (description.hf, place.block, suffix);
                joined.entry(key).or_default().push((description, tensor));
            }
        }
    }
    for (key, parts) in joined {
        let first = parts.first().map(|(_, given)| given.info.name.clone());
        let made = undo(&key, &parts, family);
        originals.extend(made.map_err(|e| e.in_tensor(first.unwrap_or_default()))?);
    }
    Ok(originals)
}

/// How a tensor was made, if its description says more than its name.
fn described(name: &str, info: &TensorInfo, mlx: &Mlx) -> Option<(&'static Tensor, Place)> {
    let place = [1, 0].into_iter().find_map(|numbers| {
        let place = Place::new(name, numbers)?;
        let known = mlx.tensors.iter().copied().flatten();
        known
            .clone()
            .any(|tensor| tensor.output == place.hf)
            .then_some(place)
    })?;
    let microscaled = info.dtype == DType::Mxfp4;
    let mut tensors = mlx.tensors.iter().copied().flatten();
    let found = tensors.find(|tensor| {
        let words = matches!(tensor.rewrite, Rewrite::MicroscaledWords(_));
        tensor.output == place.hf && words == microscaled
    });
    // Other models than gpt-oss have no description of their own for 4-bit floats.
    let mut tensors = mlx.tensors.iter().copied().flatten();
    let found = found.or_else(|| tensors.find(|tensor| tensor.output == place.hf));
    found.map(|tensor| (tensor, place))
}

/// The tensors that these were made of.
fn undo(key: &Key, parts: &[Made], family: &Family) -> Result<Vec<Original>> {
    let (hf, block, suffix) = key;
    let block = block.map(|block| block.to_string()).unwrap_or_default();
    let name = |end: &str| respelled(&format!("{}{end}", hf.replacen("{}", &block, 1)), family);
    let whole = |expr: Expr| Ok(vec![(name(suffix), expr)]);
    let Some((tensor, given)) = parts.first() else {
        return Ok(Vec::new());
    };
    if tensor.stack.is_some() {
        let experts = unstack(given, tensor.rewrite)?.into_iter().enumerate();
        let name = |expert: usize| name(suffix).replacen("{}", &expert.to_string(), 1);
        return Ok(experts.map(|(i, expr)| (name(i), expr)).collect());
    }
    let (source, shape) = (given.source.clone(), &given.info.shape);
    match tensor.rewrite {
        Rewrite::Keep => whole(source),
        Rewrite::Transpose if shape.len() == 2 => whole(source.transpose([1, 0])),
        Rewrite::TransposeEach if shape.len() == 3 => whole(source.transpose([0, 2, 1])),
        Rewrite::Transpose | Rewrite::TransposeEach => whole(source),
        Rewrite::Alternate(_) => {
            let [first, second] = halves(parts)?;
            let joined = alternate(first, second)?;
            whole(match shape.len() {
                3 => joined.transpose([0, 2, 1]),
                _ => joined,
            })
        }
        Rewrite::HalfOfRows(_) => {
            let [first, second] = halves(parts)?;
            whole(behind_each_other(first, second)?)
        }
        Rewrite::MicroscaledWords(half) => {
            let blocks = match half {
                None => source,
                Some(_) => {
                    let [first, second] = halves(parts)?;
                    alternate(first, second)?
                }
            };
            let scales = name("");
            let stem = scales.strip_suffix("_scales").unwrap_or(&scales).to_owned();
            let codes = Expr::Mxfp4Codes(Box::new(blocks.clone()));
            let scales = (scales, Expr::Mxfp4Scales(Box::new(blocks)));
            Ok(vec![(format!("{stem}_blocks"), codes), scales])
        }
        Rewrite::LatentKeys | Rewrite::LatentValues => whole(latent(parts)?),
        _ => Err(Error::unsupported(
            "its values were calculated from others, and there is no way back; convert the Hugging Face folder",
        )),
    }
}

/// The matrix, or bias, of each expert.
fn unstack(given: &Given, rewrite: Rewrite) -> Result<Vec<Expr>> {
    let Some((&experts, shape)) = given.info.shape.split_first() else {
        return Err(Error::malformed("is no stack of experts"));
    };
    if rewrite != Rewrite::Keep || shape.is_empty() || experts > MAX_EXPERTS {
        return Err(Error::malformed(format!(
            "its shape {:?} is not that of a matrix for each expert",
            given.info.shape
        )));
    }
    let expert = |i: usize| given.source.clone().slice(0, i, 1).reshape(shape);
    Ok((0..experts).map(expert).collect())
}

/// More experts than any model has.
const MAX_EXPERTS: usize = 1 << 12;

/// The two halves of a joined projection, the first one first.
fn halves(parts: &[Made]) -> Result<[&Given; 2]> {
    let of = |wanted: Half| {
        let found = parts.iter().find(|(tensor, _)| {
            matches!(
                tensor.rewrite,
                Rewrite::Alternate(half)
                    | Rewrite::HalfOfRows(half)
                    | Rewrite::MicroscaledWords(Some(half)) if half == wanted
            )
        });
        let missing = || Error::malformed("the other half of the projection is missing");
        found.map(|(_, given)| given).ok_or_else(missing)
    };
    Ok([of(Half::First)?, of(Half::Second)?])
}

/// Experts, rows of each, and what a row is; a bias has one element a row.
fn rows([first, second]: [&Given; 2]) -> Result<(usize, usize, Option<usize>)> {
    match (&first.info.shape[..], &second.info.shape[..]) {
        ([experts, rows, cols], same) if same == first.info.shape => {
            Ok((*experts, *rows, Some(*cols)))
        }
        ([experts, rows], same) if same == first.info.shape => Ok((*experts, *rows, None)),
        (one, other) => Err(Error::malformed(format!(
            "{one:?} and {other:?} are no two halves of a projection"
        ))),
    }
}

/// All rows of all experts, one half after the other.
fn all_rows(parts: [&Given; 2], count: usize, cols: Option<usize>) -> Expr {
    let flat = |given: &Given| given.source.clone().reshape([count, cols.unwrap_or(1)]);
    Expr::Concat(parts.map(flat).into())
}

/// Rows (or elements of biases) of two tensors in turn.
fn alternate(first: &Given, second: &Given) -> Result<Expr> {
    let (experts, rows, cols) = rows([first, second])?;
    let count = product(experts, rows)?;
    let swapped = Expr::SwapRows {
        of: Box::new(all_rows([first, second], count, cols)),
        view: [1, 2, count],
    };
    let both = product(2, rows)?;
    Ok(match cols {
        Some(cols) => swapped.reshape([experts, both, cols]),
        None => swapped.reshape([experts, both]),
    })
}

/// The rows of one matrix behind those of the other, expert by expert.
fn behind_each_other(first: &Given, second: &Given) -> Result<Expr> {
    let (experts, rows, cols) = rows([first, second])?;
    let count = product(experts, rows)?;
    // From (half, expert, row) by way of (expert, row, half) to (expert, half, row).
    let swap = |of: Expr, view: [usize; 3]| Expr::SwapRows {
        of: Box::new(of),
        view,
    };
    let alternate = swap(all_rows([first, second], count, cols), [1, 2, count]);
    let joined = swap(alternate, [experts, rows, 2]);
    let both = product(2, rows)?;
    Ok(match cols {
        Some(cols) => joined.reshape([experts, both, cols]),
        None => joined.reshape([experts, both]),
    })
}

/// The joined up-projection of latent keys and values: for each head the rows of both.
fn latent(parts: &[Made]) -> Result<Expr> {
    let of = |wanted: Rewrite| {
        let found = parts.iter().find(|(tensor, _)| tensor.rewrite == wanted);
        let missing = || Error::malformed("the projection of keys or of values is missing");
        found.map(|(_, given)| given).ok_or_else(missing)
    };
    let (keys, values) = (of(Rewrite::LatentKeys)?, of(Rewrite::LatentValues)?);
    let (&[heads, cols, key], &[same, value, inner]) =
        (&keys.info.shape[..], &values.info.shape[..])
    else {
        return Err(Error::malformed(
            "its shape is not that of a matrix for each head",
        ));
    };
    if heads != same || cols != inner || heads > MAX_EXPERTS {
        return Err(Error::malformed(format!(
            "{:?} and {:?} are no keys and values of the same heads",
            keys.info.shape, values.info.shape
        )));
    }
    let keys_of = keys.source.clone().transpose([0, 2, 1]);
    let part =
        |of: &Expr, head: usize, rows: usize| of.clone().slice(0, head, 1).reshape([rows, cols]);
    let both = |head: usize| [part(&keys_of, head, key), part(&values.source, head, value)];
    Ok(Expr::Concat((0..heads).flat_map(both).collect()))
}

fn product(a: usize, b: usize) -> Result<usize> {
    a.checked_mul(b)
        .ok_or_else(|| Error::malformed("its shape is impossible"))
}

/// The name in the files, of that in the description.
fn respelled(name: &str, family: &Family) -> String {
    let ends = family
        .spellings
        .iter()
        .filter_map(|spelling| match spelling {
            Spelling::Suffix(old, new) => Some((*old, *new)),
            _ => None,
        });
    let mut ends = ends.filter_map(|(old, new)| Some((name.strip_suffix(new)?, old)));
    ends.next()
        .map_or_else(|| name.to_owned(), |(stem, old)| format!("{stem}{old}"))
}

//! Types and shapes of expressions.

use super::{Expr, Product, Typed};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::reader::TensorInfo;

impl Expr {
    /// Type and shape of the values. `lookup` knows the inputs.
    ///
    /// # Errors
    /// `malformed` for a missing input or shapes that do not fit: the model is not what its
    /// architecture says.
    pub fn infer<'m>(&self, lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>) -> Result<Typed> {
        match self {
            Self::Input(name) => {
                let info = lookup(name).ok_or_else(|| {
                    Error::malformed("the model lacks this tensor").in_tensor(name)
                })?;
                Ok(Typed {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                })
            }
            Self::Cast { of, dtype } => {
                let from = of.infer(lookup)?;
                if !from.dtype.is_quantized() {
                    plain(&from)?;
                }
                Ok(Typed {
                    dtype: *dtype,
                    ..from
                })
            }
            Self::Narrow(of) => {
                let from = of.infer(lookup)?;
                plain(&from)?;
                Ok(Typed {
                    dtype: DType::F16,
                    ..from
                })
            }
            Self::Reshape { of, shape } => {
                let from = of.infer(lookup)?;
                let same_row = from.shape.last() == shape.last();
                if product(&from.shape) != product(shape)
                    || (from.dtype.is_quantized() && !same_row)
                {
                    return Err(misfit(format!("{:?} cannot become {shape:?}", from.shape)));
                }
                Ok(Typed {
                    shape: shape.clone(),
                    ..from
                })
            }
            Self::Concat(parts) => infer_concat(parts, lookup),
            Self::Slice {
                of,
                axis,
                start,
                step,
                len,
            } => infer_slice(of.infer(lookup)?, *axis, [*start, *step, *len]),
            Self::SwapRows { of, view } => {
                let from = of.infer(lookup)?;
                let rows = from.shape.split_last().map(|(_, outer)| product(outer));
                if rows != Some(product(view)) {
                    return Err(misfit(format!(
                        "{view:?} are not the rows of {:?}",
                        from.shape
                    )));
                }
                Ok(from)
            }
            Self::Transpose { of, axes } => {
                let from = of.infer(lookup)?;
                plain_or_integer(&from)?;
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted.iter().copied().ne(0..from.shape.len()) {
                    return Err(misfit(format!(
                        "{axes:?} are not the axes of {:?}",
                        from.shape
                    )));
                }
                Ok(Typed {
                    shape: axes.iter().map(|&a| from.shape[a]).collect(),
                    ..from
                })
            }
            Self::Add { of, .. } => {
                let from = of.infer(lookup)?;
                plain(&from)?;
                Ok(Typed {
                    dtype: DType::F32,
                    ..from
                })
            }
            Self::AddProducts { of, products } => infer_products(of, products, lookup),
            Self::Words(of) => infer_words(of.infer(lookup)?),
            Self::Mxfp4Codes(of) => {
                let mut scales = infer_mxfp4_scales(of.infer(lookup)?)?;
                scales.shape.push(MXFP4_BYTES);
                Ok(scales)
            }
            Self::Mxfp4Scales(of) => infer_mxfp4_scales(of.infer(lookup)?),
            Self::Mxfp4 { codes, scales } => {
                infer_mxfp4(codes.infer(lookup)?, scales.infer(lookup)?)
            }
            Self::Rescale { of, scales, tile } => {
                infer_rescale(of.infer(lookup)?, &scales.infer(lookup)?, *tile)
            }
            Self::Values { shape, data } => {
                if product(shape) != Some(data.len()) {
                    return Err(misfit(format!("{} values for {shape:?}", data.len())));
                }
                Ok(Typed {
                    dtype: DType::F32,
                    shape: shape.clone(),
                })
            }
        }
    }
}

fn infer_products<'m>(
    of: &Expr,
    products: &[Product],
    lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
) -> Result<Typed> {
    let sum = of.infer(lookup)?;
    plain(&sum)?;
    let (cols, outer) = (sum.shape.last(), sum.shape.split_last());
    let rows = outer.and_then(|(_, outer)| product(outer));
    for Product { left, right, .. } in products {
        let (left, right) = (left.infer(lookup)?, right.infer(lookup)?);
        plain(&left)?;
        plain(&right)?;
        let fits = match (&left.shape[..], &right.shape[..]) {
            ([i, k], [l, j]) => rows == Some(*i) && k == l && cols == Some(j),
            _ => false,
        };
        if !fits {
            return Err(misfit(format!(
                "the product of {:?} and {:?} cannot be added to {:?}",
                left.shape, right.shape, sum.shape
            )));
        }
    }
    Ok(Typed {
        dtype: DType::F32,
        ..sum
    })
}

fn infer_slice(mut from: Typed, axis: usize, [start, step, len]: [usize; 3]) -> Result<Typed> {
    let last = len.checked_sub(1).and_then(|n| n.checked_mul(step));
    let last = last.and_then(|n| n.checked_add(start));
    let whole_blocks = axis + 1 < from.shape.len() || !from.dtype.is_quantized();
    match from.shape.get_mut(axis) {
        Some(dim) if step > 0 && last.is_some_and(|last| last < *dim) && whole_blocks => {
            *dim = len;
            Ok(from)
        }
        _ => Err(misfit(format!(
            "{len} indices from {start} on, {step} apart, lie outside dimension {axis} of {:?}",
            from.shape
        ))),
    }
}

fn infer_rescale(of: Typed, scales: &Typed, tile: [usize; 2]) -> Result<Typed> {
    if !matches!(of.dtype, DType::F8E4M3 | DType::F8E5M2) {
        plain(&of)?;
    }
    plain(scales)?;
    let fits = match (&of.shape[..], &scales.shape[..]) {
        ([outer @ .., rows, cols], [same @ .., down, across]) => {
            let tiles = |len: &usize, tile: usize| (tile > 0).then(|| len.div_ceil(tile));
            outer == same
                && tiles(rows, tile[0]) == Some(*down)
                && tiles(cols, tile[1]) == Some(*across)
        }
        _ => false,
    };
    match fits {
        true => Ok(Typed {
            dtype: DType::F32,
            ..of
        }),
        false => Err(misfit(format!(
            "{:?} are not the scales of {:?} in tiles of {tile:?}",
            scales.shape, of.shape
        ))),
    }
}

fn infer_mxfp4(codes: Typed, mut scales: Typed) -> Result<Typed> {
    let bytes = codes.dtype == DType::U8 && scales.dtype == DType::U8;
    let fits = codes.shape.split_last() == Some((&MXFP4_BYTES, &scales.shape[..]));
    let last = scales.shape.last_mut().filter(|_| bytes && fits);
    let elements = last.and_then(|blocks| {
        *blocks = blocks.checked_mul(DType::Mxfp4.block_len())?;
        Some(())
    });
    elements.ok_or_else(|| {
        misfit(format!(
            "{} {:?} are no codes in blocks of 32 for the scales {} {:?}",
            codes.dtype, codes.shape, scales.dtype, scales.shape
        ))
    })?;
    Ok(Typed {
        dtype: DType::Mxfp4,
        ..scales
    })
}

fn infer_mxfp4_scales(mut of: Typed) -> Result<Typed> {
    let cols = of.shape.last_mut().filter(|_| of.dtype == DType::Mxfp4);
    let Some(cols) = cols else {
        return Err(misfit(format!("{} are no blocks of mxfp4", of.dtype)));
    };
    *cols /= DType::Mxfp4.block_len();
    Ok(Typed {
        dtype: DType::U8,
        ..of
    })
}

fn infer_words(mut of: Typed) -> Result<Typed> {
    let is_bytes = of.dtype == DType::U8;
    let cols = of.shape.last_mut().filter(|cols| cols.is_multiple_of(4));
    let Some(cols) = cols.filter(|_| is_bytes) else {
        return Err(misfit("rows of u8 that are no whole 32-bit words".into()));
    };
    *cols /= 4;
    Ok(Typed {
        dtype: DType::U32,
        ..of
    })
}

/// Bytes of the codes of a block.
const MXFP4_BYTES: usize = 16;

fn infer_concat<'m>(
    parts: &[Expr],
    lookup: &dyn Fn(&str) -> Option<&'m TensorInfo>,
) -> Result<Typed> {
    let (first, rest) = parts
        .split_first()
        .ok_or_else(|| misfit("nothing to join".into()))?;
    let mut joined = first.infer(lookup)?;
    for part in rest {
        let next = part.infer(lookup)?;
        let fits = joined.dtype == next.dtype
            && !joined.shape.is_empty()
            && !next.shape.is_empty()
            && joined.shape[1..] == next.shape[1..]
            && (joined.shape.len() > 1 || !joined.dtype.is_quantized());
        let sum = if fits {
            joined.shape[0].checked_add(next.shape[0])
        } else {
            None
        };
        joined.shape[0] = sum.ok_or_else(|| {
            misfit(format!(
                "{} {:?} cannot be joined to {} {:?}",
                next.dtype, next.shape, joined.dtype, joined.shape
            ))
        })?;
    }
    Ok(joined)
}

fn product(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

fn plain(typed: &Typed) -> Result<()> {
    if typed.dtype.is_plain_float() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "cannot calculate with {} values",
        typed.dtype
    )))
}

fn plain_or_integer(typed: &Typed) -> Result<()> {
    if !typed.dtype.is_quantized() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "cannot transpose {} blocks",
        typed.dtype
    )))
}

fn misfit(what: String) -> Error {
    Error::malformed(format!(
        "the tensor's shape is not what its architecture says: {what}"
    ))
}

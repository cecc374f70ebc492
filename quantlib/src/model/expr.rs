//! Source expressions: where the values of an output tensor come from, as plain data.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::reader::TensorInfo;
use serde::{Deserialize, Serialize};

/// The values of a tensor, in terms of input tensors.
///
/// "Rows" are all dimensions but the last, flattened. Expressions that only move elements keep the
/// stored type; those that calculate do so in f32 and yield f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expr {
    /// An input tensor as it is stored.
    Input(String),
    /// The values rounded to another plain float type (nearest, ties to even).
    Cast {
        /// The values.
        of: Box<Expr>,
        /// The type to round to.
        dtype: DType,
    },
    /// The same elements in the same order under another shape.
    Reshape {
        /// The values.
        of: Box<Expr>,
        /// The shape, of the same number of elements.
        shape: Vec<usize>,
    },
    /// Tensors joined along their first dimension.
    Concat(Vec<Expr>),
    /// Part of a tensor along one dimension: `len` indices from `start` on, `step` apart.
    Slice {
        /// The values.
        of: Box<Expr>,
        /// The dimension.
        axis: usize,
        /// First index kept.
        start: usize,
        /// From an index kept to the next, at least 1.
        step: usize,
        /// Number of indices kept.
        len: usize,
    },
    /// Rows seen as a grid of `view` (whose product is the number of rows), with the last two
    /// dimensions of the grid swapped: how rotary heads change between layouts.
    SwapRows {
        /// The values.
        of: Box<Expr>,
        /// The grid.
        view: [usize; 3],
    },
    /// Every dimension reordered: output dimension `i` is input dimension `axes[i]`.
    Transpose {
        /// The values.
        of: Box<Expr>,
        /// The order of dimensions.
        axes: Vec<usize>,
    },
    /// A constant added to every element, in f32.
    Add {
        /// The values.
        of: Box<Expr>,
        /// What is added.
        value: f32,
    },
    /// Products of two matrices, each scaled, added to the values: how a low-rank adapter (LoRA) is
    /// merged. All of it in f32, and every sum in the order of its indices; see [`Product`].
    AddProducts {
        /// The values.
        of: Box<Expr>,
        /// What is added to each, in this order.
        products: Vec<Product>,
    },
    /// 4-bit floats of the OCP microscaling format whose codes and scales are apart, as `mxfp4`
    /// blocks of 32 elements: the same values, in other places.
    Mxfp4 {
        /// Bytes of two codes each, the first in the lower half: `[..., blocks, 16]` of `u8`.
        codes: Box<Expr>,
        /// Biased exponents: `[..., blocks]` of `u8`.
        scales: Box<Expr>,
    },
    /// Values, 8-bit floats among them, times scales that tiles of each matrix share, in f32.
    Rescale {
        /// The values: `[..., rows, columns]`.
        of: Box<Expr>,
        /// One for each tile, begun ones included: `[..., rows of tiles, columns of tiles]`.
        scales: Box<Expr>,
        /// Rows and columns of a tile.
        tile: [usize; 2],
    },
    /// Values computed when the plan was made, such as rope factors; f32, row-major.
    Values {
        /// The shape.
        shape: Vec<usize>,
        /// The elements.
        data: Vec<f32>,
    },
}

/// `scale · (left · right)`: the inner products are summed from 0 on in the order of the inner
/// dimension, then scaled, all in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The matrix with as many rows as what it is added to: `[rows, rank]`.
    pub left: Expr,
    /// The matrix with as many columns as what it is added to: `[rank, columns]`.
    pub right: Expr,
    /// The factor.
    pub scale: f32,
}

/// Type and shape of an expression's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// How the elements are stored.
    pub dtype: DType,
    /// Row-major.
    pub shape: Vec<usize>,
}

impl Expr {
    /// An input tensor as it is stored.
    pub fn input(name: impl Into<String>) -> Self {
        Self::Input(name.into())
    }

    /// The values rounded to `dtype`.
    pub fn cast(self, dtype: DType) -> Self {
        Self::Cast {
            of: Box::new(self),
            dtype,
        }
    }

    /// The same elements under another shape.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Self {
        Self::Reshape {
            of: Box::new(self),
            shape: shape.into(),
        }
    }

    /// Indices `start` to `start + len` of a dimension.
    pub fn slice(self, axis: usize, start: usize, len: usize) -> Self {
        Self::Slice {
            of: Box::new(self),
            axis,
            start,
            step: 1,
            len,
        }
    }

    /// The dimensions in another order.
    pub fn transpose(self, axes: impl Into<Vec<usize>>) -> Self {
        Self::Transpose {
            of: Box::new(self),
            axes: axes.into(),
        }
    }

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
                plain(&from)?;
                Ok(Typed {
                    dtype: *dtype,
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

    /// The names of the input tensors, in order of first use.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit_inputs(&mut |name| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        names
    }

    fn visit_inputs<'s>(&'s self, visit: &mut dyn FnMut(&'s str)) {
        match self {
            Self::Input(name) => visit(name),
            Self::Concat(parts) => parts.iter().for_each(|part| part.visit_inputs(visit)),
            Self::Cast { of, .. }
            | Self::Reshape { of, .. }
            | Self::Slice { of, .. }
            | Self::SwapRows { of, .. }
            | Self::Transpose { of, .. }
            | Self::Add { of, .. } => of.visit_inputs(visit),
            Self::AddProducts { of, products } => {
                of.visit_inputs(visit);
                for product in products {
                    product.left.visit_inputs(visit);
                    product.right.visit_inputs(visit);
                }
            }
            Self::Mxfp4 { codes: of, scales } | Self::Rescale { of, scales, .. } => {
                of.visit_inputs(visit);
                scales.visit_inputs(visit);
            }
            Self::Values { .. } => {}
        }
    }

    /// The expression with every input replaced: how two plans become one.
    pub fn substitute(&self, replace: &dyn Fn(&str) -> Expr) -> Expr {
        let inner = |of: &Expr| Box::new(of.substitute(replace));
        match self {
            Self::Input(name) => replace(name),
            Self::Cast { of, dtype } => Self::Cast {
                of: inner(of),
                dtype: *dtype,
            },
            Self::Reshape { of, shape } => Self::Reshape {
                of: inner(of),
                shape: shape.clone(),
            },
            Self::Concat(parts) => {
                Self::Concat(parts.iter().map(|part| part.substitute(replace)).collect())
            }
            Self::Slice {
                of,
                axis,
                start,
                step,
                len,
            } => Self::Slice {
                of: inner(of),
                axis: *axis,
                start: *start,
                step: *step,
                len: *len,
            },
            Self::SwapRows { of, view } => Self::SwapRows {
                of: inner(of),
                view: *view,
            },
            Self::Transpose { of, axes } => Self::Transpose {
                of: inner(of),
                axes: axes.clone(),
            },
            Self::Add { of, value } => Self::Add {
                of: inner(of),
                value: *value,
            },
            Self::AddProducts { of, products } => {
                let replaced = products.iter().map(|product| Product {
                    left: product.left.substitute(replace),
                    right: product.right.substitute(replace),
                    scale: product.scale,
                });
                Self::AddProducts {
                    of: inner(of),
                    products: replaced.collect(),
                }
            }
            Self::Rescale { of, scales, tile } => Self::Rescale {
                of: inner(of),
                scales: inner(scales),
                tile: *tile,
            },
            Self::Mxfp4 { codes, scales } => Self::Mxfp4 {
                codes: inner(codes),
                scales: inner(scales),
            },
            Self::Values { .. } => self.clone(),
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

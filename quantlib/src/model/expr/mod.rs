//! Source expressions: where the values of an output tensor come from, as plain data.

mod infer;

use crate::dtype::DType;
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
    /// The values, decoded if they are blocks, rounded to another plain float type (nearest, ties to
    /// even).
    Cast {
        /// The values.
        of: Box<Expr>,
        /// The type to round to.
        dtype: DType,
    },
    /// The values as f16 (nearest, ties to even), of which finite ones beyond f16's range become ±65504
    /// and those but zero that are nearer to it than 5.96e-8 the least numbers of f16: as onnxruntime's
    /// converter has it.
    Narrow(Box<Expr>),
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
    /// The codes of `mxfp4` blocks, as [`Mxfp4`](Self::Mxfp4) takes them: `[..., columns]` become
    /// `[..., blocks, 16]` of `u8`.
    Mxfp4Codes(Box<Expr>),
    /// The scales of `mxfp4` blocks, as [`Mxfp4`](Self::Mxfp4) takes them: `[..., columns]` become
    /// `[..., blocks]` of `u8`.
    Mxfp4Scales(Box<Expr>),
    /// Bytes seen as 32-bit words, little-endian: `[..., columns]` of `u8` become a quarter as many
    /// columns of `u32`.
    Words(Box<Expr>),
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

    /// [`Narrow`](Self::Narrow).
    pub fn narrow(self) -> Self {
        Self::Narrow(Box::new(self))
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
            | Self::Narrow(of)
            | Self::Reshape { of, .. }
            | Self::Slice { of, .. }
            | Self::SwapRows { of, .. }
            | Self::Transpose { of, .. }
            | Self::Words(of)
            | Self::Mxfp4Codes(of)
            | Self::Mxfp4Scales(of)
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
            Self::Narrow(of) => Self::Narrow(inner(of)),
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
            Self::Words(of) => Self::Words(inner(of)),
            Self::Mxfp4Codes(of) => Self::Mxfp4Codes(inner(of)),
            Self::Mxfp4Scales(of) => Self::Mxfp4Scales(inner(of)),
            Self::Mxfp4 { codes, scales } => Self::Mxfp4 {
                codes: inner(codes),
                scales: inner(scales),
            },
            Self::Values { .. } => self.clone(),
        }
    }
}

/// What [`Expr::Narrow`] rounds to f16.
pub(crate) fn within_f16(x: f32) -> f32 {
    /// Less than half of f16's least number would become zero.
    const LEAST: f32 = 5.96e-8;
    const MOST: f32 = 65504.0;
    match x.abs() {
        small if small > 0.0 && small < LEAST => LEAST.copysign(x),
        large if large > MOST && large.is_finite() => MOST.copysign(x),
        _ => x,
    }
}

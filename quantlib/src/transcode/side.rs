//! A tensor seen as rows of codes in groups, whatever it is stored as.

use super::{EncodedView, name};
use crate::affine::{AffineLayout, AffinePlanes};
use crate::dtype::{DType, rows_and_cols};
use crate::error::{Error, Result};
use crate::parts::{self, Form, Parts};
use crate::simd::Isa;
use crate::tensor::Encoding;
use std::ops::Range;

/// What both ends of a transcoding are to it: rows with groups along them.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// For messages.
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Whether rows are the columns of what is stored.
    pub(super) transposed: bool,
}

impl Side {
    pub(super) fn block(dtype: DType, shape: &[usize]) -> Result<Self> {
        let form = parts::block_form(dtype).ok_or_else(|| {
            Error::unsupported(format!(
                "{dtype} is no grid of integers or 4-bit floats that another encoding could hold; decode it and quantize again, which loses something"
            ))
        })?;
        let (rows, cols) = rows_and_cols(shape)?;
        Ok(Self {
            name: dtype.name().to_owned(),
            form,
            rows,
            cols,
            transposed: false,
        })
    }

    pub(super) fn affine(layout: &AffineLayout, shape: &[usize]) -> Result<Self> {
        let spec = layout.spec();
        let name = name(&Encoding::Affine(spec.clone()));
        let form = parts::affine_form(layout).ok_or_else(|| {
            Error::unsupported(format!(
                "{name} is not made of groups with codes of at most 8 bits, which transcoding is for"
            ))
        })?;
        let last = shape.len() as isize - 1;
        let (rows, cols) = rows_and_cols(shape)?;
        let (rows, cols, transposed) = match (shape, spec.axis) {
            (_, axis) if axis == -1 || axis == last => (rows, cols, false),
            ([cols, rows], 0 | -2) => (*rows, *cols, true),
            _ => {
                return Err(Error::unsupported(format!(
                    "{name} has groups along axis {} of {shape:?}; transcoding knows the last axis, and the first of two",
                    spec.axis
                )));
            }
        };
        Ok(Self {
            name,
            form,
            rows,
            cols,
            transposed,
        })
    }

    /// Groups of a row.
    pub(super) fn groups(&self) -> usize {
        self.cols.div_ceil(self.form.group.max(1))
    }
}

/// The tensor that is read.
pub(super) struct Source<'a> {
    view: EncodedView<'a>,
    side: Side,
    isa: Isa,
}

impl<'a> Source<'a> {
    pub(super) fn new(view: EncodedView<'a>, isa: Isa) -> Result<Self> {
        let side = match view {
            EncodedView::Block(tensor) => Side::block(tensor.dtype(), tensor.shape())?,
            EncodedView::Affine {
                layout,
                shape,
                planes,
            } => {
                check_lengths(layout, planes)?;
                Side::affine(layout, shape)?
            }
        };
        Ok(Self { view, side, isa })
    }

    pub(super) fn side(&self) -> &Side {
        &self.side
    }

    /// The row-major shape as stored.
    pub(super) fn shape(&self) -> &[usize] {
        self.view.shape()
    }

    /// The parts of rows; of all, if they are transposed.
    pub(super) fn take_apart(&self, rows: Range<usize>) -> Parts {
        let mut parts = Parts::default();
        match self.view {
            EncodedView::Block(tensor) => {
                let (dtype, data) = (tensor.dtype(), tensor.data());
                let row = data.len() / self.side.rows.max(1);
                let blocks = &data[rows.start * row..rows.end * row];
                parts::take_block_apart(dtype, blocks, &mut parts);
            }
            EncodedView::Affine { layout, planes, .. } => {
                let units = units(layout, &self.side, rows);
                let place = layout.at(&units);
                let planes = AffinePlanes {
                    codes: &planes.codes[place.codes],
                    scales: &planes.scales[place.scales],
                    zeros: &planes.zeros[place.zeros],
                };
                parts::take_affine_apart(layout, self.isa, units, planes, &mut parts);
                if self.side.transposed {
                    let Side { rows, cols, .. } = self.side;
                    parts.codes = transpose(&parts.codes, cols, rows);
                    parts.scales = transpose(&parts.scales, self.side.groups(), rows);
                    parts.zeros = transpose(&parts.zeros, self.side.groups(), rows);
                }
            }
        }
        parts
    }
}

/// Planes come from callers, who may have got their lengths wrong.
fn check_lengths(layout: &AffineLayout, planes: AffinePlanes<'_>) -> Result<()> {
    let zeros = layout.zeros().map_or(0, |plane| plane.bytes);
    let planes = [
        ("codes", planes.codes.len(), layout.codes().bytes),
        ("scales", planes.scales.len(), layout.scales().bytes),
        ("zeros", planes.zeros.len(), zeros),
    ];
    match planes.into_iter().find(|(_, have, need)| have != need) {
        None => Ok(()),
        Some((what, have, need)) => Err(Error::misuse(format!(
            "{what}: the length is {have}, but must be {need}"
        ))),
    }
}

/// The units that rows are made of.
pub(super) fn units(layout: &AffineLayout, side: &Side, rows: Range<usize>) -> Range<usize> {
    if side.transposed {
        return 0..layout.units();
    }
    let per_row = layout.units() / side.rows.max(1);
    rows.start * per_row..rows.end * per_row
}

/// The side of the squares that are transposed one after the other, so that both ends stay in cache.
const SQUARE: usize = 64;

/// The transpose of a matrix of so many rows and columns.
pub(super) fn transpose<T: Copy + Default>(from: &[T], rows: usize, cols: usize) -> Vec<T> {
    let mut to = vec![T::default(); from.len()];
    for row in (0..rows).step_by(SQUARE) {
        for col in (0..cols).step_by(SQUARE) {
            for r in row..(row + SQUARE).min(rows) {
                for c in col..(col + SQUARE).min(cols) {
                    to[c * rows + r] = from[r * cols + c];
                }
            }
        }
    }
    to
}

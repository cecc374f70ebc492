//! Evaluates source expressions for any range of elements, in bounded memory.
//!
//! A range is asked for by its place in the row-major order of the expression's elements. Moves
//! (slices, joins, swapped rows, transposes) turn it into ranges of the inputs; calculations pass
//! over it in chunks.

mod gather;
mod microscaled;
mod picks;
mod rescale;

use crate::block;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::job::products::{Memo, Products};
use crate::model::{Expr, Model, within_f16};
use crate::numeric::f8;
use crate::simd::Isa;
use picks::Picks;

/// Elements that calculations take at a time.
pub(super) const CHUNK: usize = 4096;

/// An expression over the tensors of one model, checked and ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Source<'m> {
    op: Op<'m>,
    dtype: DType,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Op<'m> {
    Input {
        model: &'m Model,
        index: usize,
    },
    Cast(Box<Source<'m>>),
    Narrow(Box<Source<'m>>),
    /// The elements of another expression from `first` on.
    From {
        of: Box<Source<'m>>,
        first: usize,
    },
    Slice {
        of: Box<Source<'m>>,
        picks: Picks,
    },
    Concat(Vec<Source<'m>>),
    SwapRows {
        of: Box<Source<'m>>,
        view: [usize; 3],
    },
    Transpose {
        of: Box<Source<'m>>,
        axes: &'m [usize],
    },
    Add {
        of: Box<Source<'m>>,
        value: f32,
    },
    AddProducts(Products<'m>),
    Mxfp4 {
        codes: Box<Source<'m>>,
        scales: Box<Source<'m>>,
    },
    /// The codes of blocks; or, with `scales`, their scales.
    Mxfp4Part {
        of: Box<Source<'m>>,
        scales: bool,
    },
    Words(Box<Source<'m>>),
    Rescale {
        of: Box<Source<'m>>,
        scales: Box<Source<'m>>,
        tile: [usize; 2],
    },
    Values(&'m [f32]),
}

impl<'m> Source<'m> {
    /// Resolves the expression's inputs and checks its shapes; see [`Expr::infer`] for the errors.
    pub(crate) fn new(expr: &'m Expr, model: &'m Model) -> Result<Self> {
        let typed = expr.infer(&|name| model.tensor(name))?;
        let inner = |of: &'m Expr| Self::new(of, model).map(Box::new);
        let op = match expr {
            Expr::Input(name) => Op::Input {
                model,
                index: model.index_of(name).ok_or_else(|| {
                    Error::malformed("the model lacks this tensor").in_tensor(name)
                })?,
            },
            Expr::Cast { of, .. } => Op::Cast(inner(of)?),
            Expr::Narrow(of) => Op::Narrow(inner(of)?),
            Expr::Reshape { of, .. } => Op::From {
                of: inner(of)?,
                first: 0,
            },
            Expr::Slice {
                of,
                axis,
                start,
                step,
                ..
            } => {
                let of = inner(of)?;
                let inner = of.shape[axis + 1..].iter().product::<usize>();
                match (axis, step) {
                    (0, 1) => Op::From {
                        first: start * inner,
                        of,
                    },
                    _ => Op::Slice {
                        picks: Picks {
                            dim: of.shape[*axis],
                            len: typed.shape[*axis],
                            start: *start,
                            step: *step,
                            inner,
                        },
                        of,
                    },
                }
            }
            Expr::Concat(parts) => Op::Concat(
                parts
                    .iter()
                    .map(|part| Self::new(part, model))
                    .collect::<Result<_>>()?,
            ),
            Expr::SwapRows { of, view } => Op::SwapRows {
                of: inner(of)?,
                view: *view,
            },
            Expr::Transpose { of, axes } => Op::Transpose {
                of: inner(of)?,
                axes,
            },
            Expr::Add { of, value } => Op::Add {
                of: inner(of)?,
                value: *value,
            },
            Expr::AddProducts { of, products } => {
                Op::AddProducts(Products::new(inner(of)?, products, model)?)
            }
            Expr::Rescale { of, scales, tile } => Op::Rescale {
                of: inner(of)?,
                scales: inner(scales)?,
                tile: *tile,
            },
            Expr::Words(of) => Op::Words(inner(of)?),
            Expr::Mxfp4Codes(of) | Expr::Mxfp4Scales(of) => Op::Mxfp4Part {
                of: inner(of)?,
                scales: matches!(expr, Expr::Mxfp4Scales(_)),
            },
            Expr::Mxfp4 { codes, scales } => Op::Mxfp4 {
                codes: inner(codes)?,
                scales: inner(scales)?,
            },
            Expr::Values { data, .. } => Op::Values(data),
        };
        Ok(Self {
            op,
            dtype: typed.dtype,
            shape: typed.shape,
        })
    }

    /// How the elements are stored.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Row-major.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How the first input is stored, before any calculation.
    pub(crate) fn stored_dtype(&self) -> DType {
        match &self.op {
            // Blocks are what the bytes are stored as, though in two places.
            Op::Input { .. } | Op::Values(_) | Op::Mxfp4 { .. } | Op::Mxfp4Part { .. } => {
                self.dtype
            }
            Op::Concat(parts) => parts.first().map_or(self.dtype, Self::stored_dtype),
            Op::Cast(of)
            | Op::Narrow(of)
            | Op::From { of, .. }
            | Op::Slice { of, .. }
            | Op::SwapRows { of, .. }
            | Op::Transpose { of, .. }
            | Op::Add { of, .. }
            | Op::Words(of)
            | Op::Rescale { of, .. } => of.stored_dtype(),
            Op::AddProducts(products) => products.of().stored_dtype(),
        }
    }

    /// Whether the elements are calculated or gathered, not read run by run.
    pub(super) fn is_calculated(&self) -> bool {
        match &self.op {
            Op::Input { .. } | Op::Values(_) => false,
            Op::From { of, .. } | Op::SwapRows { of, .. } | Op::Words(of) => of.is_calculated(),
            Op::Concat(parts) => parts.iter().any(Self::is_calculated),
            _ => true,
        }
    }

    /// Bytes of memory that an evaluation needs besides its output.
    pub(crate) fn scratch_bytes(&self) -> usize {
        let own = CHUNK * size_of::<f32>();
        match &self.op {
            Op::Input { .. } | Op::Values(_) => 0,
            Op::From { of, .. } | Op::SwapRows { of, .. } | Op::Words(of) => of.scratch_bytes(),
            // A chunk as it is read, of at most 8 bytes an element, or also one of f32.
            Op::Slice { of, .. } | Op::Cast(of) | Op::Narrow(of) | Op::Add { of, .. } => {
                2 * own + of.scratch_bytes()
            }
            Op::Transpose { of, .. } => gather::SCRATCH + of.scratch_bytes(),
            Op::Concat(parts) => parts.iter().map(Self::scratch_bytes).max().unwrap_or(0),
            Op::AddProducts(products) => products.scratch_bytes(),
            Op::Rescale { of, scales, .. } => {
                4 * own + of.scratch_bytes().max(scales.scratch_bytes())
            }
            Op::Mxfp4Part { of, .. } => own + of.scratch_bytes(),
            Op::Mxfp4 { codes, scales } => own + codes.scratch_bytes().max(scales.scratch_bytes()),
        }
    }

    /// Fills `out` with whole blocks of elements, the first of them at `start`. Whoever reads one
    /// expression piece by piece keeps the memo meanwhile.
    pub(crate) fn read(&self, start: usize, out: &mut [u8], memo: &mut Memo) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        match &self.op {
            Op::Input { model, index } => {
                let offset = start / self.dtype.block_len() * self.dtype.block_bytes();
                model.read_at(*index, offset as u64, out)
            }
            Op::From { of, first } => of.read(first + start, out, memo),
            Op::Words(of) => of.read(start * size_of::<u32>(), out, memo),
            Op::Slice { of, picks } => picks.read(of, start, out, memo),
            Op::Concat(parts) => read_parts(parts, start, out, memo),
            Op::SwapRows { of, view } => self.read_swapped(of, *view, start, out, memo),
            Op::Transpose { of, axes } => gather::read(of, axes, &self.shape, start, out, memo),
            Op::Cast(of) => self.calculate(of, start, out, memo, |x| x),
            Op::Narrow(of) => self.calculate(of, start, out, memo, within_f16),
            Op::Add { of, value } => self.calculate(of, start, out, memo, |x| x + value),
            Op::AddProducts(products) => products.read(start, out, memo),
            Op::Mxfp4 { codes, scales } => microscaled::read(codes, scales, start, out, memo),
            Op::Mxfp4Part { of, scales: true } => microscaled::read_scales(of, start, out, memo),
            Op::Mxfp4Part { of, .. } => microscaled::read_codes(of, start, out, memo),
            Op::Rescale { of, scales, tile } => rescale::read(of, scales, *tile, start, out, memo),
            Op::Values(values) => {
                let values = &values[start..][..out.len() / size_of::<f32>()];
                for (bytes, value) in out.chunks_exact_mut(size_of::<f32>()).zip(values) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                Ok(())
            }
        }
    }

    /// [`read`](Self::read) for values to calculate with: plain floats or whole blocks, widened.
    pub(super) fn read_values(&self, start: usize, out: &mut [f32], memo: &mut Memo) -> Result<()> {
        if !start.is_multiple_of(self.dtype.block_len()) {
            return Err(Error::unsupported(format!(
                "cannot calculate with parts of {} blocks",
                self.dtype
            )));
        }
        let mut bytes = vec![0; self.dtype.row_bytes(out.len().min(CHUNK))?];
        for (i, values) in out.chunks_mut(CHUNK).enumerate() {
            let bytes = &mut bytes[..self.dtype.row_bytes(values.len())?];
            self.read(start + i * CHUNK, bytes, memo)?;
            widen(self.dtype, bytes, values)?;
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn elements_in(&self, bytes: usize) -> usize {
        bytes / self.dtype.block_bytes() * self.dtype.block_len()
    }

    /// Applies a function to every element, in f32, and stores it in this expression's type.
    fn calculate(
        &self,
        of: &Source<'_>,
        start: usize,
        out: &mut [u8],
        memo: &mut Memo,
        function: impl Fn(f32) -> f32,
    ) -> Result<()> {
        let isa = Isa::preferred()?;
        let to = block::codec(self.dtype)?;
        let mut values = vec![0.0; CHUNK.min(self.elements_in(out.len()))];
        let chunks = out.chunks_mut(CHUNK * self.dtype.block_bytes());
        for (i, out) in chunks.enumerate() {
            let len = self.elements_in(out.len());
            let values = &mut values[..len];
            of.read_values(start + i * CHUNK, values, memo)?;
            values.iter_mut().for_each(|x| *x = function(*x));
            to.encode(isa, values, len, None, out);
        }
        Ok(())
    }

    /// Rows `(i, j, k)` of the output's grid are rows `(i, k, j)` of the input's.
    fn read_swapped(
        &self,
        of: &Source<'_>,
        [_, b, c]: [usize; 3],
        start: usize,
        mut out: &mut [u8],
        memo: &mut Memo,
    ) -> Result<()> {
        let cols = self.shape.last().copied().unwrap_or(1);
        let (mut row, mut col) = (start / cols, start % cols);
        while !out.is_empty() {
            let len = (cols - col).min(self.elements_in(out.len()));
            let (piece, rest) = out.split_at_mut(self.dtype.row_bytes(len)?);
            let (i, j, k) = (row / (b * c), row / b % c, row % b);
            of.read((i * b * c + k * c + j) * cols + col, piece, memo)?;
            out = rest;
            row += 1;
            col = 0;
        }
        Ok(())
    }
}

/// Plain floats, 8-bit ones among them, as f32.
fn widen(dtype: DType, bytes: &[u8], values: &mut [f32]) -> Result<()> {
    let widen8 = |decode: fn(u8) -> f32, values: &mut [f32]| {
        let pairs = values.iter_mut().zip(bytes);
        pairs.for_each(|(value, code)| *value = decode(*code));
    };
    match dtype {
        DType::F8E4M3 => widen8(f8::e4m3, values),
        DType::F8E5M2 => widen8(f8::e5m2, values),
        _ => block::codec(dtype)?.decode(Isa::preferred()?, bytes, values),
    }
    Ok(())
}

fn read_parts(
    parts: &[Source<'_>],
    mut start: usize,
    mut out: &mut [u8],
    memo: &mut Memo,
) -> Result<()> {
    for part in parts {
        let elements = part.elements();
        if start >= elements {
            start -= elements;
            continue;
        }
        let len = (elements - start).min(part.elements_in(out.len()));
        let (piece, rest) = out.split_at_mut(part.dtype.row_bytes(len)?);
        part.read(start, piece, memo)?;
        out = rest;
        start = 0;
    }
    Ok(())
}

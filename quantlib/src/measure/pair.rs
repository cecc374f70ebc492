//! Two tensors of one shape, compared piece by piece.

use crate::block::{self, Codec};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::job::evaluate::Source;
use crate::job::products::Memo;
use crate::measure::sums::Sums;
use crate::simd::Isa;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements that are read and compared at a time: a multiple of every block's length.
const PIECE: usize = 1 << 15;

/// The values of both models.
pub(super) struct Pair<'m> {
    a: Side<'m>,
    b: Side<'m>,
    elements: usize,
}

struct Side<'m> {
    source: Source<'m>,
    /// None for types that are no numbers of one kind or another, which can only be the same.
    codec: Option<&'static Codec>,
}

/// The memory of one thread.
#[derive(Default)]
struct Buffers {
    bytes: [Vec<u8>; 2],
    values: [Vec<f32>; 2],
    memos: [Memo; 2],
}

/// What was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) sums: Sums,
    /// The same type, and the same bytes.
    pub(super) identical: bool,
}

impl<'m> Pair<'m> {
    pub(super) fn new(a: Source<'m>, b: Source<'m>) -> Self {
        let side = |source: Source<'m>| Side {
            codec: block::codec(source.dtype()).ok(),
            source,
        };
        Self {
            elements: a.shape().iter().product(),
            a: side(a),
            b: side(b),
        }
    }

    /// Whether the values are numbers, which have errors.
    pub(super) fn has_errors(&self) -> bool {
        self.a.codec.is_some() && self.b.codec.is_some()
    }

    /// Bytes of memory that a thread takes.
    pub(super) fn cost(&self) -> usize {
        let side = |side: &Side<'_>| {
            let piece = self.elements.min(PIECE);
            piece * (size_of::<f32>() + side.source.dtype().block_bytes())
                / side.source.dtype().block_len()
                + piece * size_of::<f32>()
                + side.source.scratch_bytes()
        };
        side(&self.a) + side(&self.b)
    }

    /// Compares all elements.
    pub(super) fn compare(&self, pool: &ThreadPool, cancel: Option<&AtomicBool>) -> Result<Found> {
        let piece = |buffers: &mut Buffers, i: usize| {
            if cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Err(Error::cancelled());
            }
            let start = i * PIECE;
            self.piece(start, (self.elements - start).min(PIECE), buffers)
        };
        let pieces = 0..self.elements.div_ceil(PIECE);
        let found: Vec<Result<Found>> = pool.install(|| {
            pieces
                .into_par_iter()
                .map_init(Buffers::default, piece)
                .collect()
        });
        let none = Found {
            sums: Sums::default(),
            identical: self.a.source.dtype() == self.b.source.dtype(),
        };
        found.into_iter().try_fold(none, |all, next| {
            let next = next?;
            Ok(Found {
                sums: all.sums.then(&next.sums),
                identical: all.identical && next.identical,
            })
        })
    }

    fn piece(&self, start: usize, len: usize, buffers: &mut Buffers) -> Result<Found> {
        let Buffers {
            bytes: [a_bytes, b_bytes],
            values: [a_values, b_values],
            memos: [a_memo, b_memo],
        } = buffers;
        self.a.read(start, len, a_bytes, a_memo)?;
        self.b.read(start, len, b_bytes, b_memo)?;
        let identical = self.a.source.dtype() == self.b.source.dtype() && a_bytes == b_bytes;
        let sums = match (self.a.codec, self.b.codec) {
            (Some(a_codec), Some(b_codec)) => {
                a_values.resize(len, 0.0);
                b_values.resize(len, 0.0);
                let isa = Isa::preferred()?;
                a_codec.decode(isa, a_bytes, a_values);
                b_codec.decode(isa, b_bytes, b_values);
                Sums::of(a_values, b_values)
            }
            _ => Sums::default(),
        };
        Ok(Found { sums, identical })
    }
}

impl Side<'_> {
    fn read(&self, start: usize, len: usize, bytes: &mut Vec<u8>, memo: &mut Memo) -> Result<()> {
        let dtype: DType = self.source.dtype();
        bytes.resize(len / dtype.block_len() * dtype.block_bytes(), 0);
        self.source.read(start, bytes, memo)
    }
}

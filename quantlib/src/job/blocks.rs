//! Tensors of one plane: how a range of elements becomes bytes of the output, and at what cost.

use crate::block::{self, Codec};
use crate::codec::{NonFinite, RowEncoder};
use crate::dtype::{DType, rows_and_cols};
use crate::error::{Error, Result};
use crate::job::evaluate::Source;
use crate::job::products::Memo;
use crate::job::task::Piece;
use crate::job::turns::Turns;
use crate::model::{ImportanceSource, OutputTensor};
use crate::simd::Isa;
use crate::tensor::Floats;
use std::borrow::Cow;

/// Elements that are widened and encoded at a time: little enough for L2, and for a quick cancel.
const CHUNK: usize = 1 << 15;

/// Elements that are moved or converted at least, where they do not come in rows.
const UNIT: usize = 1 << 12;

/// Bytes of a tile, read and written together: more would not make reading faster, but would not
/// stay in the caches until they are encoded.
const TILE: usize = 1 << 20;

/// Bytes of a tile whose source is calculated or gathered: what each tile begins with (factors read
/// whole, runs cut short) is paid less often.
const CALCULATED_TILE: usize = 8 << 20;

/// An output tensor of one plane, with its resolved source.
#[derive(Debug)]
pub(super) struct Blocks<'m> {
    output: &'m OutputTensor,
    source: Source<'m>,
    dtype: DType,
    rows: usize,
    cols: usize,
}

/// What is done to the elements.
pub(super) enum Encoder {
    /// The bytes stay as they are.
    Copy,
    /// Plain floats: every element for itself.
    Round {
        from: &'static Codec,
        to: &'static Codec,
    },
    /// Blocks: whole rows.
    Quantize {
        from: &'static Codec,
        to: RowEncoder<'static>,
    },
}

/// The memory of one worker, kept from tile to tile where it suffices.
#[derive(Default)]
pub(super) struct Buffers {
    data: Vec<u8>,
    values: Vec<f32>,
    scratch: Vec<f32>,
}

impl Buffers {
    /// Never holds more than the most that one call asked for: the parts are renewed together.
    fn ensure(&mut self, data: usize, values: usize) {
        if self.data.len() < data || self.values.len() < values {
            *self = Self::default();
            self.data = vec![0; data];
            self.values = vec![0.0; values];
        }
    }
}

impl<'m> Blocks<'m> {
    pub(super) fn new(output: &'m OutputTensor, source: Source<'m>, dtype: DType) -> Result<Self> {
        let (rows, cols) = rows_and_cols(&output.shape)?;
        dtype.tensor_bytes(&output.shape)?;
        let blocks = Self {
            output,
            source,
            dtype,
            rows,
            cols,
        };
        if !blocks.is_copy() {
            block::codec(blocks.source.dtype())?;
            block::codec(dtype)?;
        }
        Ok(blocks)
    }

    pub(super) fn source(&self) -> &Source<'m> {
        &self.source
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn elements(&self) -> usize {
        self.rows * self.cols
    }

    /// Bytes that the elements take in the output.
    pub(super) fn bytes_out(&self) -> u64 {
        bytes(self.dtype, self.elements()) as u64
    }

    fn is_copy(&self) -> bool {
        self.source.dtype() == self.dtype
    }

    /// Elements that are not divided: a row where elements share scales.
    pub(super) fn unit(&self) -> usize {
        if self.is_copy() || !self.dtype.is_quantized() {
            UNIT
        } else {
            self.cols.max(1)
        }
    }

    /// Elements that are converted at a time, of a tile that has as many.
    fn chunk(&self) -> usize {
        (CHUNK / self.unit()).max(1) * self.unit()
    }

    /// Bytes of memory that a tile of this many elements takes.
    pub(super) fn cost(&self, elements: usize) -> usize {
        self.data_cost(elements)
            .saturating_add(self.values_cost(elements))
            .saturating_add(self.fixed_cost())
    }

    /// Bytes that every tile takes, whatever its length: scratch, and the importance weights, which
    /// threads at work on one tensor share, but each may be at work on another.
    fn fixed_cost(&self) -> usize {
        let weights = match (&self.output.importance, &self.output.shape[..]) {
            (None, _) => 0,
            (Some(_), [.., experts, _, cols]) => experts.saturating_mul(*cols),
            (Some(_), _) => self.cols,
        };
        weights
            .saturating_mul(size_of::<f32>())
            .saturating_add(self.source.scratch_bytes())
    }

    fn data_cost(&self, elements: usize) -> usize {
        let source = bytes(self.source.dtype(), elements);
        if self.is_copy() {
            return source;
        }
        source.saturating_add(bytes(self.dtype, elements))
    }

    /// Widened values, and as much again for what an encoder may make of them.
    fn values_cost(&self, elements: usize) -> usize {
        if self.is_copy() {
            return 0;
        }
        elements
            .min(self.chunk())
            .saturating_mul(2 * size_of::<f32>())
    }

    /// Elements of a tile that takes at most `share` bytes, which is known to be enough for one
    /// unit.
    pub(super) fn tile(&self, share: usize) -> usize {
        let unit = self.unit();
        let most = if self.source.is_calculated() {
            CALCULATED_TILE
        } else {
            TILE
        };
        let room = share.saturating_sub(self.fixed_cost()).min(most);
        let data = self.data_cost(unit).max(1);
        let units = if room < self.data_cost(self.chunk()) + self.values_cost(self.chunk()) {
            room / data.saturating_add(self.values_cost(unit))
        } else {
            (room - self.values_cost(self.chunk())) / data
        };
        units.max(1).saturating_mul(unit)
    }

    /// What is to be done to the elements, with the importance that the plan names.
    pub(super) fn encoder(
        &self,
        importance: Option<&dyn ImportanceSource>,
        non_finite: NonFinite,
    ) -> Result<Encoder> {
        if self.is_copy() {
            return Ok(Encoder::Copy);
        }
        let (from, to) = (
            block::codec(self.source.dtype())?,
            block::codec(self.dtype)?,
        );
        if !self.dtype.is_quantized() {
            return Ok(Encoder::Round { from, to });
        }
        let weights = self.weights(importance)?.map(Cow::Owned);
        let to = RowEncoder::new(self.rows, self.cols, self.dtype, weights, non_finite)?;
        Ok(Encoder::Quantize { from, to })
    }

    fn weights(&self, importance: Option<&dyn ImportanceSource>) -> Result<Option<Vec<f32>>> {
        let Some(entry) = &self.output.importance else {
            return Ok(None);
        };
        let weights = importance.map(|source| source.weights(entry)).transpose()?;
        match weights.flatten() {
            Some(weights) => Ok(Some(weights)),
            None => Err(Error::misuse(format!(
                "the plan asks for the importance '{entry}', which was not given"
            ))),
        }
    }

    /// Makes the output's bytes of the elements from `start` up to `end`: whole units, or the rest.
    /// `proceed` is asked between chunks.
    pub(super) fn make<'b>(
        &self,
        encoder: &Encoder,
        (start, end): (usize, usize),
        buffers: &'b mut Buffers,
        turns: &Turns,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Piece<'b>> {
        let offset = bytes(self.dtype, start) as u64;
        let elements = end - start;
        buffers.ensure(self.data_cost(elements), self.chunk().min(elements));
        let (source, out) = buffers
            .data
            .split_at_mut(bytes(self.source.dtype(), elements));
        let early = self.source.is_calculated().then(|| turns.take());
        self.source.read(start, source, &mut Memo::default())?;
        if self.is_copy() {
            return Ok((offset, source));
        }
        let _turn = early.unwrap_or_else(|| turns.take());
        let out = &mut out[..bytes(self.dtype, elements)];
        let (values, scratch) = (&mut buffers.values, &mut buffers.scratch);
        self.encode(encoder, start, source, out, (values, scratch), proceed)?;
        Ok((offset, out))
    }

    /// Encodes elements that were read, the first of them at `start`, through the widened values of
    /// a chunk at a time.
    fn encode(
        &self,
        encoder: &Encoder,
        start: usize,
        source: &[u8],
        out: &mut [u8],
        (values, scratch): (&mut [f32], &mut Vec<f32>),
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let (chunk, isa) = (self.chunk(), Isa::preferred()?);
        let pieces = source
            .chunks(bytes(self.source.dtype(), chunk))
            .zip(out.chunks_mut(bytes(self.dtype, chunk)));
        let mut first = start;
        for (source, out) in pieces {
            proceed()?;
            let values = &mut values[..elements(self.source.dtype(), source.len())];
            match encoder {
                Encoder::Copy => {}
                Encoder::Round { from, to } => {
                    from.decode(isa, source, values);
                    to.encode(isa, values, values.len(), None, out);
                }
                Encoder::Quantize { from, to } => {
                    from.decode(isa, source, values);
                    to.encode(first / self.cols, Floats::F32(values), out, scratch)?;
                }
            }
            first += values.len();
        }
        Ok(())
    }
}

/// Bytes of a whole number of blocks.
pub(super) fn bytes(dtype: DType, elements: usize) -> usize {
    elements / dtype.block_len() * dtype.block_bytes()
}

/// Elements of a whole number of blocks.
fn elements(dtype: DType, bytes: usize) -> usize {
    bytes / dtype.block_bytes() * dtype.block_len()
}

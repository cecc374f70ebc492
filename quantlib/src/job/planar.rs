//! Tensors of several planes: how units of their layout become bytes of each plane.

use crate::affine::{AffineLayout, AffineSpec};
use crate::block::{self, Codec};
use crate::codec::{CodecOptions, NonFinite};
use crate::dtype::rows_and_cols;
use crate::error::{Error, Result};
use crate::job::blocks::bytes;
use crate::job::evaluate::Source;
use crate::job::products::Memo;
use crate::job::task::Piece;
use crate::job::turns::Turns;
use crate::model::OutputTensor;
use crate::planar::{AffineEncoder, AffinePlanesMut, AffineScratch, AffineStatistics};
use crate::simd::Isa;
use crate::tensor::Floats;
use crate::transcode::RowTranscoder;
use std::ops::Range;

/// Elements that are widened and encoded at a time, as far as units allow it.
const CHUNK: usize = 1 << 15;

/// Bytes of a tile: see the tiles of tensors of one plane.
const TILE: usize = 1 << 20;
const CALCULATED_TILE: usize = 8 << 20;

/// An output tensor of several planes, with its resolved source.
#[derive(Debug)]
pub(super) struct Planar<'m> {
    source: Source<'m>,
    layout: AffineLayout,
    /// What repacks blocks, if the source is such.
    transcoder: Option<RowTranscoder>,
    /// Tiles begin and end at multiples of so many units.
    align: usize,
}

/// What is done to the elements.
pub(super) enum Encoder<'t> {
    Quantize {
        from: &'static Codec,
        to: Box<AffineEncoder<'t>>,
    },
    /// Blocks are repacked.
    Transcode(&'t RowTranscoder),
}

/// The memory of one worker, kept from tile to tile where it suffices.
#[derive(Default)]
pub(super) struct Buffers {
    source: Vec<u8>,
    values: Vec<f32>,
    planes: [Vec<u8>; 3],
    scratch: AffineScratch,
}

impl<'m> Planar<'m> {
    pub(super) fn new(
        output: &'m OutputTensor,
        source: Source<'m>,
        spec: &AffineSpec,
    ) -> Result<Self> {
        let layout = AffineLayout::new(spec, &output.shape)?;
        let dtype = source.dtype();
        let transcoder = match dtype.is_quantized() {
            true => Some(RowTranscoder::new(dtype, &layout, &output.shape)?),
            false => None,
        };
        if transcoder.is_none() && !dtype.is_plain_float() {
            return Err(Error::unsupported(format!(
                "is stored as {dtype}; only f32, f16 and bf16 can be quantized"
            )));
        }
        // Blocks are read whole, which rows are.
        let align = match source.stored_dtype().is_quantized() {
            true => whole_rows(&layout, &output.shape)?,
            false => layout.align(),
        };
        Ok(Self {
            source,
            layout,
            transcoder,
            align,
        })
    }

    pub(super) fn source(&self) -> &Source<'m> {
        &self.source
    }

    pub(super) fn bytes_out(&self) -> u64 {
        let zeros = self.layout.zeros().map_or(0, |plane| plane.bytes);
        (self.layout.codes().bytes + self.layout.scales().bytes + zeros) as u64
    }

    pub(super) fn units(&self) -> usize {
        self.layout.units()
    }

    /// Units of the smallest tile.
    pub(super) fn least(&self) -> usize {
        self.align.min(self.layout.units())
    }

    /// The most elements of so many units.
    fn elements(&self, units: usize) -> usize {
        let place = self.layout.at(&(0..units.min(self.layout.units())));
        place.elements.len()
    }

    /// Units that are encoded at a time.
    fn chunk(&self) -> usize {
        let align = self.align;
        (CHUNK / self.elements(align).max(1)).max(1) * align
    }

    /// Bytes of memory that a tile of this many units takes. Widened values, codes of a byte or two
    /// and what is known of each group are there for a chunk at a time.
    pub(super) fn cost(&self, units: usize) -> usize {
        /// Widened values, their codes, and room for values that are repaired.
        const EACH: usize = 2 * size_of::<f32>() + 2;
        let place = self.layout.at(&(0..units.min(self.layout.units())));
        let planes = place.codes.len() + place.scales.len() + place.zeros.len();
        let chunk = self.elements(units.min(self.chunk()));
        bytes(self.source.dtype(), place.elements.len())
            .saturating_add(planes)
            .saturating_add(chunk.saturating_mul(EACH))
            .saturating_add(self.source.scratch_bytes())
    }

    /// Units of a tile that takes at most `share` bytes.
    pub(super) fn tile(&self, share: usize) -> usize {
        let most = match self.source.is_calculated() {
            true => CALCULATED_TILE,
            false => TILE,
        };
        let align = self.align;
        let each = bytes(self.source.dtype(), self.elements(align)).max(1);
        let mut tiles = (most / each).max(1);
        while tiles > 1 && self.cost(tiles * align) > share {
            tiles /= 2;
        }
        tiles * align
    }

    /// Whether there is an encoder; reads nothing.
    pub(super) fn check(&self) -> Result<()> {
        if self.transcoder.is_some() {
            return Ok(());
        }
        let mut statistics = AffineStatistics::new(&self.layout, self.source.dtype());
        while statistics.wants_pass() {
            statistics.end_pass()?;
        }
        AffineEncoder::new(&self.layout, &CodecOptions::default(), statistics).map(drop)
    }

    /// The encoder. Where scales are not for groups, that takes a pass over the whole source, in
    /// tiles of at most `share` bytes, to see the ranges; `proceed` is asked before each.
    pub(super) fn encoder(
        &self,
        non_finite: NonFinite,
        share: usize,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Encoder<'_>> {
        if let Some(transcoder) = &self.transcoder {
            return Ok(Encoder::Transcode(transcoder));
        }
        let mut options = CodecOptions::default();
        options.non_finite = non_finite;
        let dtype = self.source.dtype();
        let mut statistics = AffineStatistics::new(&self.layout, dtype);
        let (from, isa) = (block::codec(dtype)?, Isa::preferred()?);
        let (mut source, mut values) = (Vec::new(), Vec::new());
        while statistics.wants_pass() {
            for start in (0..self.units()).step_by(self.tile(share)) {
                proceed()?;
                let units = start..self.units().min(start + self.tile(share));
                let elements = self.layout.place(units)?.elements;
                source.resize(bytes(dtype, elements.len()), 0);
                self.source
                    .read(elements.start, &mut source, &mut Memo::default())?;
                for first in elements.clone().step_by(CHUNK) {
                    let len = CHUNK.min(elements.end - first);
                    let within = first - elements.start;
                    values.resize(len, 0.0);
                    let part = bytes(dtype, within)..bytes(dtype, within + len);
                    from.decode(isa, &source[part], &mut values);
                    statistics.observe(first, Floats::F32(&values), &options)?;
                }
            }
            statistics.end_pass()?;
        }
        Ok(Encoder::Quantize {
            from,
            to: Box::new(AffineEncoder::new(&self.layout, &options, statistics)?),
        })
    }

    /// Scales and zeros that belong to no unit: they are part of the first tile.
    fn store_shared(&self, encoder: &AffineEncoder<'_>, scales: &mut Vec<u8>, zeros: &mut Vec<u8>) {
        scales.resize(self.layout.scales().bytes, 0);
        zeros.resize(self.layout.zeros().map_or(0, |plane| plane.bytes), 0);
        encoder.store_shared(&mut AffinePlanesMut {
            codes: &mut [],
            scales,
            zeros,
        });
    }

    /// Makes the bytes of units in each plane.
    pub(super) fn make<'b>(
        &self,
        encoder: &Encoder<'_>,
        units: Range<usize>,
        buffers: &'b mut Buffers,
        turns: &Turns,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<Piece<'b>>> {
        let place = self.layout.place(units.clone())?;
        let Buffers {
            source,
            values,
            planes,
            scratch,
        } = buffers;
        let dtype = self.source.dtype();
        source.resize(bytes(dtype, place.elements.len()), 0);
        let ranges = [&place.codes, &place.scales, &place.zeros];
        for (plane, range) in planes.iter_mut().zip(ranges) {
            plane.resize(range.len(), 0);
        }
        let early = self.source.is_calculated().then(|| turns.take());
        let first = place.elements.start;
        self.source.read(first, source, &mut Memo::default())?;
        let _turn = early.unwrap_or_else(|| turns.take());
        for start in units.clone().step_by(self.chunk()) {
            proceed()?;
            let units = start..units.end.min(start + self.chunk());
            let part = self.layout.place(units.clone())?;
            let elements = part.elements.start - first..part.elements.end - first;
            let source = &source[bytes(dtype, elements.start)..bytes(dtype, elements.end)];
            let [codes, scales, zeros] = &mut *planes;
            let within = |range: &Range<usize>, whole: &Range<usize>| {
                range.start - whole.start..range.end - whole.start
            };
            let planes = AffinePlanesMut {
                codes: &mut codes[within(&part.codes, &place.codes)],
                scales: &mut scales[within(&part.scales, &place.scales)],
                zeros: &mut zeros[within(&part.zeros, &place.zeros)],
            };
            match encoder {
                Encoder::Quantize { from, to } => {
                    values.resize(elements.len(), 0.0);
                    from.decode(Isa::preferred()?, source, values);
                    to.encode(units, Floats::F32(values), planes, scratch)?;
                }
                Encoder::Transcode(transcoder) => {
                    let planes = [planes.codes, planes.scales, planes.zeros];
                    transcoder.convert(&self.layout, units, source, planes)?;
                }
            }
        }
        if let Encoder::Quantize { to, .. } = encoder
            && !self.layout.is_grouped()
            && units.start == 0
        {
            let [_, scales, zeros] = &mut *planes;
            self.store_shared(to, scales, zeros);
        }
        let pieces = planes.iter().zip(ranges);
        let pieces = pieces.map(|(plane, range)| (range.start as u64, &plane[..]));
        Ok(pieces.collect())
    }
}

/// The least number of units that are whole rows and begin whole bytes in every plane.
fn whole_rows(layout: &AffineLayout, shape: &[usize]) -> Result<usize> {
    let (rows, _) = rows_and_cols(shape)?;
    let per_row = (layout.units() / rows.max(1)).max(1);
    let align = layout.align();
    let rows = [1, 2, 4, 8].into_iter();
    let fitting = rows.map(|n| n * per_row).find(|n| n.is_multiple_of(align));
    Ok(fitting.unwrap_or(per_row * align))
}

//! Tensors of planar formats in memory: checked, parallel encoding and decoding.

use crate::affine::{
    AffineLayout, AffinePlanes, AffineSpec, DecodeScratch, Decoder, Encoder, Place, PlanesMut,
    Scratch, Statistics,
};
use crate::codec::{CodecOptions, NonFinite, repair};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parallel;
use crate::simd::Isa;
use crate::tensor::Floats;
use rayon::prelude::*;
use std::ops::Range;

/// A planar tensor that owns its planes.
#[derive(Clone, Debug)]
pub struct AffineTensor {
    layout: AffineLayout,
    shape: Vec<usize>,
    codes: Vec<u8>,
    scales: Vec<u8>,
    zeros: Vec<u8>,
}

impl AffineTensor {
    /// Takes planes that are encoded already.
    ///
    /// # Errors
    /// Those of [`AffineLayout::new`], and `misuse` if a plane has not the length that belongs to the
    /// shape; `zeros` is empty if the spec has none.
    pub fn new(
        spec: &AffineSpec,
        shape: Vec<usize>,
        codes: Vec<u8>,
        scales: Vec<u8>,
        zeros: Vec<u8>,
    ) -> Result<Self> {
        let layout = AffineLayout::new(spec, &shape)?;
        check_planes(&layout, codes.len(), scales.len(), zeros.len())?;
        Ok(Self {
            layout,
            shape,
            codes,
            scales,
            zeros,
        })
    }

    /// Types, shapes and sizes of the planes.
    pub fn layout(&self) -> &AffineLayout {
        &self.layout
    }

    /// How the tensor is quantized.
    pub fn spec(&self) -> &AffineSpec {
        self.layout.spec()
    }

    /// The row-major shape in elements.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The packed codes; [`AffineLayout::codes`] tells their type and shape.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The scales, little-endian.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The zero points or biases, whichever the spec has; empty if none.
    pub fn zeros(&self) -> &[u8] {
        &self.zeros
    }

    /// The planes: codes, scales, zero points or biases.
    pub fn into_planes(self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        (self.codes, self.scales, self.zeros)
    }

    /// The planes, borrowed.
    pub fn planes(&self) -> AffinePlanes<'_> {
        AffinePlanes {
            codes: &self.codes,
            scales: &self.scales,
            zeros: &self.zeros,
        }
    }

    /// Decodes to f32; see [`dequantize_affine`].
    pub fn dequantize(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.layout.elements()];
        let options = CodecOptions::default();
        dequantize_affine_into(&self.layout, self.planes(), &options, &mut out)?;
        Ok(out)
    }
}

/// Encodes a tensor as a spec says, bit for bit as the tool that its formula is named after.
///
/// # Errors
/// Those of [`AffineLayout::new`]; `misuse` if `src` has not as many elements as the shape, or an
/// element is NaN or infinite; `unsupported` if the formula does not compute what the other fields
/// ask for.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{AffineSpec, DType};
/// let weights: Vec<f32> = (0..256).map(|i| (i as f32).sin()).collect();
/// let spec = AffineSpec::mlx(4, 64, DType::F32);
/// let q = quantlib::quantize_affine(weights[..].into(), &[2, 128], &spec)?;
/// assert_eq!((q.codes().len(), q.scales().len(), q.zeros().len()), (128, 16, 16));
/// let error = |(x, y): (&f32, f32)| (x - y).abs();
/// // Within a step of the range, which MLX moves so that zero is exact.
/// assert!(weights.iter().zip(q.dequantize()?).map(error).all(|e| e < 2.0 / 15.0));
/// # Ok::<(), quantlib::Error>(())
/// ```
pub fn quantize_affine(
    src: Floats<'_>,
    shape: &[usize],
    spec: &AffineSpec,
) -> Result<AffineTensor> {
    let layout = AffineLayout::new(spec, shape)?;
    let mut codes = vec![0; layout.codes().bytes];
    let mut scales = vec![0; layout.scales().bytes];
    let mut zeros = vec![0; layout.zeros().map_or(0, |plane| plane.bytes)];
    quantize_affine_into(
        src,
        &layout,
        &CodecOptions::default(),
        AffinePlanesMut {
            codes: &mut codes,
            scales: &mut scales,
            zeros: &mut zeros,
        },
    )?;
    Ok(AffineTensor {
        layout,
        shape: shape.to_vec(),
        codes,
        scales,
        zeros,
    })
}

/// The planes of a tensor, or of a tile of it, to be written.
#[derive(Debug)]
pub struct AffinePlanesMut<'a> {
    /// The packed codes.
    pub codes: &'a mut [u8],
    /// The scales, little-endian in their own type.
    pub scales: &'a mut [u8],
    /// Zero points or biases; empty if the spec has none.
    pub zeros: &'a mut [u8],
}

/// [`quantize_affine`] into buffers of the caller's.
///
/// # Errors
/// Those of [`quantize_affine`], and `misuse` if a plane has not exactly its length.
pub fn quantize_affine_into(
    src: Floats<'_>,
    layout: &AffineLayout,
    options: &CodecOptions,
    mut planes: AffinePlanesMut<'_>,
) -> Result<()> {
    check_length("source", src.len(), layout.elements())?;
    check_planes(
        layout,
        planes.codes.len(),
        planes.scales.len(),
        planes.zeros.len(),
    )?;
    let mut statistics = AffineStatistics::new(layout, src.dtype());
    while statistics.wants_pass() {
        statistics.observe(0, src, options)?;
        statistics.end_pass()?;
    }
    let encoder = AffineEncoder::new(layout, options, statistics)?;
    encoder.store_shared(&mut planes);
    let tiles = Tiles {
        layout,
        units: Units::new(layout),
        planes,
    };
    let encode = |scratch: &mut AffineScratch, (units, elements, planes): Tile<'_>| {
        options.check_cancelled()?;
        encoder.encode(
            units,
            src.slice(elements.start, elements.end),
            planes,
            scratch,
        )
    };
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || src.len() <= TILE {
        let mut scratch = AffineScratch::default();
        return tiles
            .into_iter()
            .try_for_each(|tile| encode(&mut scratch, tile));
    }
    parallel::pool(threads)?.install(|| {
        tiles
            .par_bridge()
            .try_for_each_init(AffineScratch::default, encode)
    })
}

/// Elements that a thread takes at a time: enough to amortize the hand-over, little enough for L2.
const TILE: usize = 1 << 15;

/// The units of a tensor in pieces of about a tile.
struct Units {
    next: usize,
    end: usize,
    step: usize,
}

impl Units {
    fn new(layout: &AffineLayout) -> Self {
        let end = layout.units();
        let per_unit = layout.elements().div_ceil(end.max(1)).max(1);
        let step = (TILE / per_unit).max(1).next_multiple_of(layout.align());
        Self { next: 0, end, step }
    }
}

impl Iterator for Units {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let first = self.next;
        self.next = (first + self.step).min(self.end);
        (first < self.end).then_some(first..self.next)
    }
}

/// A tile to encode: its units, its elements, its planes.
type Tile<'a> = (Range<usize>, Range<usize>, AffinePlanesMut<'a>);

/// The tiles of a tensor with their parts of its planes.
struct Tiles<'a> {
    layout: &'a AffineLayout,
    units: Units,
    planes: AffinePlanesMut<'a>,
}

impl<'a> Iterator for Tiles<'a> {
    type Item = Tile<'a>;

    fn next(&mut self) -> Option<Tile<'a>> {
        let units = self.units.next()?;
        let place = self.layout.at(&units);
        let AffinePlanesMut {
            codes,
            scales,
            zeros,
        } = &mut self.planes;
        let planes = AffinePlanesMut {
            codes: codes.split_off_mut(..place.codes.len())?,
            scales: scales.split_off_mut(..place.scales.len())?,
            zeros: zeros.split_off_mut(..place.zeros.len())?,
        };
        Some((units, place.elements, planes))
    }
}

/// Encodes a tensor tile by tile, for whoever does not have it in memory.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::planar::{AffineEncoder, AffinePlanesMut, AffineScratch, AffineStatistics};
/// use quantlib::{AffineLayout, AffineSpec, CodecOptions, DType};
/// let layout = AffineLayout::new(&AffineSpec::mlx(8, 32, DType::F32), &[1000, 64])?;
/// let options = CodecOptions::default();
/// let statistics = AffineStatistics::new(&layout, DType::F32);
/// assert!(!statistics.wants_pass()); // every group has a scale of its own
/// let encoder = AffineEncoder::new(&layout, &options, statistics)?;
/// let units = 100..200; // rows 50 to 99
/// let place = layout.place(units.clone())?;
/// let rows = vec![1.5f32; place.elements.len()];
/// let mut codes = vec![0; place.codes.len()];
/// let mut scales = vec![0; place.scales.len()];
/// let mut zeros = vec![0; place.zeros.len()];
/// let planes = AffinePlanesMut { codes: &mut codes, scales: &mut scales, zeros: &mut zeros };
/// encoder.encode(units, rows[..].into(), planes, &mut AffineScratch::default())?;
/// # Ok::<(), quantlib::Error>(())
/// ```
pub struct AffineEncoder<'l> {
    layout: &'l AffineLayout,
    encoder: Encoder<'l>,
    non_finite: NonFinite,
    isa: Isa,
}

/// Buffers of an encoder, for one tile after the other.
#[derive(Default)]
pub struct AffineScratch {
    wide: Vec<f32>,
    scratch: Scratch,
}

impl<'l> AffineEncoder<'l> {
    /// An encoder of elements of the type that the statistics are of.
    ///
    /// # Errors
    /// `unsupported` if the formula does not compute what the spec's other fields ask for; `misuse` if
    /// `statistics` still want a pass over the tensor.
    pub fn new(
        layout: &'l AffineLayout,
        options: &CodecOptions,
        statistics: AffineStatistics<'l>,
    ) -> Result<Self> {
        let isa = options.isa()?;
        let source = statistics.source;
        let ranges = statistics.statistics.map(Statistics::finish).transpose()?;
        Ok(Self {
            layout,
            encoder: Encoder::new(layout, source, isa, ranges.as_ref())?,
            non_finite: options.non_finite,
            isa,
        })
    }

    /// Writes the scales and zeros that belong to no unit and takes these planes out of `planes`;
    /// nothing where every unit has its own. Their lengths must be those of the whole planes.
    ///
    /// # Panics
    /// If they are not.
    pub fn store_shared(&self, planes: &mut AffinePlanesMut<'_>) {
        if !self.layout.is_grouped() {
            self.encoder.store_shared(planes.scales, planes.zeros);
            (planes.scales, planes.zeros) = (&mut [], &mut []);
        }
    }

    /// Encodes units, whose elements are `src`, into their parts of the planes.
    ///
    /// # Errors
    /// `misuse` if lengths are not those of the units' [`place`](AffineLayout::place), or an element is
    /// NaN or infinite.
    pub fn encode(
        &self,
        units: Range<usize>,
        src: Floats<'_>,
        planes: AffinePlanesMut<'_>,
        scratch: &mut AffineScratch,
    ) -> Result<()> {
        let place = self.layout.place(units.clone())?;
        check_length("source", src.len(), place.elements.len())?;
        check_length("codes", planes.codes.len(), place.codes.len())?;
        check_length("scales", planes.scales.len(), place.scales.len())?;
        check_length("zeros", planes.zeros.len(), place.zeros.len())?;
        let AffineScratch { wide, scratch } = scratch;
        let mut zeroed = Vec::new();
        let x = src.widen(self.isa, wide);
        let x = repair(x, self.non_finite, &mut zeroed, |at| {
            not_finite(x[at], place.elements.start + at)
        })?;
        let planes = PlanesMut {
            codes: planes.codes,
            scales: planes.scales,
            zeros: planes.zeros,
        };
        self.encoder.encode(units, x, planes, scratch)
    }
}

/// What must be known of a whole tensor before it is encoded: nothing where every group has a scale
/// of its own, else the ranges of the elements that share one.
pub struct AffineStatistics<'l> {
    layout: &'l AffineLayout,
    source: DType,
    statistics: Option<Statistics>,
}

impl<'l> AffineStatistics<'l> {
    /// Nothing observed yet of a tensor whose elements are of type `source`: f32, f16 or bf16.
    pub fn new(layout: &'l AffineLayout, source: DType) -> Self {
        let statistics = (!layout.is_grouped()).then(|| Statistics::new(layout.groups()));
        Self {
            layout,
            source,
            statistics,
        }
    }

    /// Whether a pass over all elements is needed (another one, after the first).
    pub fn wants_pass(&self) -> bool {
        self.statistics.as_ref().is_some_and(Statistics::wants_pass)
    }

    /// Ends a pass, in which every element was observed.
    ///
    /// # Errors
    /// `unsupported` if the formula does not compute what the spec's other fields ask for.
    pub fn end_pass(&mut self) -> Result<()> {
        match &mut self.statistics {
            Some(statistics) => statistics.end_pass(self.layout, self.source),
            None => Ok(()),
        }
    }

    /// Observes elements, the first of which has this number in the tensor.
    ///
    /// # Errors
    /// `misuse` if an element is NaN or infinite and `options` do not ask for zeros.
    pub fn observe(&mut self, first: usize, src: Floats<'_>, options: &CodecOptions) -> Result<()> {
        let Some(statistics) = &mut self.statistics else {
            return Ok(());
        };
        let isa = options.isa()?;
        let (mut wide, mut zeroed) = (Vec::new(), Vec::new());
        for start in (0..src.len()).step_by(TILE) {
            options.check_cancelled()?;
            let tile = src.slice(start, (start + TILE).min(src.len()));
            let x = tile.widen(isa, &mut wide);
            zeroed.clear();
            let x = repair(x, options.non_finite, &mut zeroed, |at| {
                not_finite(x[at], first + start + at)
            })?;
            statistics.observe(isa, self.layout, self.source, first + start, x)?;
        }
        Ok(())
    }
}

/// Decodes planes to f32: (code - zero point) · scale, or code · scale + bias, each operation in single
/// precision.
///
/// # Errors
/// Those of [`AffineLayout::new`], and `misuse` if a plane has not the length that belongs to the shape.
pub fn dequantize_affine(
    planes: AffinePlanes<'_>,
    shape: &[usize],
    spec: &AffineSpec,
) -> Result<Vec<f32>> {
    let layout = AffineLayout::new(spec, shape)?;
    let AffinePlanes {
        codes,
        scales,
        zeros,
    } = planes;
    check_planes(&layout, codes.len(), scales.len(), zeros.len())?;
    let mut out = vec![0.0; layout.elements()];
    dequantize_affine_into(&layout, planes, &CodecOptions::default(), &mut out)?;
    Ok(out)
}

/// [`dequantize_affine`] into a buffer of the caller's.
///
/// # Errors
/// `misuse` if a plane or `out` has not exactly its length.
pub fn dequantize_affine_into(
    layout: &AffineLayout,
    planes: AffinePlanes<'_>,
    options: &CodecOptions,
    out: &mut [f32],
) -> Result<()> {
    check_length("output", out.len(), layout.elements())?;
    let AffinePlanes {
        codes,
        scales,
        zeros,
    } = planes;
    check_planes(layout, codes.len(), scales.len(), zeros.len())?;
    let decoder = Decoder::new(layout, options.isa()?, scales, zeros);
    let elements = out.len();
    let mut rest = out;
    let tiles = Units::new(layout).filter_map(|units| {
        let place = layout.at(&units);
        let out = rest.split_off_mut(..place.elements.len())?;
        Some((units, place, out))
    });
    let decode = |scratch: &mut DecodeScratch, (units, place, out): (_, Place, &mut [f32])| {
        options.check_cancelled()?;
        let planes = AffinePlanes {
            codes: &codes[place.codes],
            scales: &scales[place.scales],
            zeros: &zeros[place.zeros],
        };
        decoder.decode(units, planes, out, scratch);
        Ok(())
    };
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || elements <= TILE {
        let mut scratch = DecodeScratch::default();
        return tiles
            .into_iter()
            .try_for_each(|tile| decode(&mut scratch, tile));
    }
    parallel::pool(threads)?.install(|| {
        tiles
            .par_bridge()
            .try_for_each_init(DecodeScratch::default, decode)
    })
}

fn check_planes(layout: &AffineLayout, codes: usize, scales: usize, zeros: usize) -> Result<()> {
    check_length("codes", codes, layout.codes().bytes)?;
    check_length("scales", scales, layout.scales().bytes)?;
    check_length(
        "zeros",
        zeros,
        layout.zeros().map_or(0, |plane| plane.bytes),
    )
}

fn check_length(what: &str, have: usize, need: usize) -> Result<()> {
    if have == need {
        return Ok(());
    }
    Err(Error::misuse(format!(
        "{what}: the length is {have}, but must be {need}"
    )))
}

fn not_finite(value: f32, at: usize) -> Error {
    Error::misuse(format!(
        "element {at} is {value}, which no code can hold; repair the weights, or ask for zeros in place of such values"
    ))
}

//! Encoded tensors to other encodings without loss.
//!
//! An encoding is taken apart into codes, scales and zeros; the target is made of the same ones if it
//! can hold them, and refused otherwise, naming the first group that does not fit. Nothing is rounded:
//! what is decoded in f32 afterwards equals what was decoded before (a zero may change its sign).
//! Which pairs that allows is in `docs/transcoding.md`.

mod fit;
mod output;
mod rows;
mod side;
mod target;

use crate::affine::{AffineLayout, AffinePlanes, Packing};
use crate::codec::CodecOptions;
use crate::error::{Error, Result};
use crate::parallel;
use crate::planar::AffineTensor;
use crate::simd::Isa;
use crate::tensor::{Encoding, QuantizedTensor, TensorView};
use fit::Fit;
use output::{Output, Tile};
use rayon::prelude::*;
pub(crate) use rows::{RowTranscoder, rows_to_blocks};
use side::Source;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
pub use target::{TargetWish, block_target, target};

/// A borrowed encoded tensor: what [`transcode`] reads.
#[derive(Clone, Copy, Debug)]
pub enum EncodedView<'a> {
    /// One plane of ggml's blocks.
    Block(TensorView<'a>),
    /// Codes, scales and zeros in planes of their own.
    Affine {
        /// What the planes are.
        layout: &'a AffineLayout,
        /// The shape in elements.
        shape: &'a [usize],
        /// The planes.
        planes: AffinePlanes<'a>,
    },
}

impl EncodedView<'_> {
    /// The row-major shape in elements.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Block(tensor) => tensor.shape(),
            Self::Affine { shape, .. } => shape,
        }
    }
}

impl<'a> From<TensorView<'a>> for EncodedView<'a> {
    fn from(tensor: TensorView<'a>) -> Self {
        Self::Block(tensor)
    }
}

impl<'a> From<&'a QuantizedTensor> for EncodedView<'a> {
    fn from(tensor: &'a QuantizedTensor) -> Self {
        Self::Block(tensor.view())
    }
}

impl<'a> From<&'a AffineTensor> for EncodedView<'a> {
    fn from(tensor: &'a AffineTensor) -> Self {
        Self::Affine {
            layout: tensor.layout(),
            shape: tensor.shape(),
            planes: tensor.planes(),
        }
    }
}

/// An encoded tensor of either kind: what [`transcode`] makes.
#[derive(Clone, Debug)]
pub enum Encoded {
    /// One plane of ggml's blocks.
    Block(QuantizedTensor),
    /// Codes, scales and zeros in planes of their own.
    Affine(Box<AffineTensor>),
}

impl Encoded {
    /// The tensor of blocks, if it is one.
    pub fn into_block(self) -> Option<QuantizedTensor> {
        match self {
            Self::Block(tensor) => Some(tensor),
            Self::Affine(_) => None,
        }
    }

    /// The tensor of planes, if it is one.
    pub fn into_affine(self) -> Option<AffineTensor> {
        match self {
            Self::Affine(tensor) => Some(*tensor),
            Self::Block(_) => None,
        }
    }

    /// Decodes to f32.
    pub fn dequantize(&self) -> Result<Vec<f32>> {
        match self {
            Self::Block(tensor) => tensor.dequantize(),
            Self::Affine(tensor) => tensor.dequantize(),
        }
    }
}

impl<'a> From<&'a Encoded> for EncodedView<'a> {
    fn from(tensor: &'a Encoded) -> Self {
        match tensor {
            Encoded::Block(tensor) => tensor.into(),
            Encoded::Affine(tensor) => (&**tensor).into(),
        }
    }
}

/// Elements that a thread takes at a time: enough to amortize the hand-over, little enough for L2.
const TILE: usize = 1 << 16;

/// Repacks an encoded tensor so that it decodes to the same numbers in f32.
///
/// Groups stay on the weight's own axis. A target whose groups run along the first of two axes, which is
/// how ONNX's MatMul wants them, is therefore the transpose: (K, N) of (N, K).
///
/// # Errors
/// `unsupported` if the target cannot hold the codes, scales or zeros as they are: the message names
/// the first group that does not fit and says what would work. `misuse` if the target does not fit the
/// shape.
///
/// ```
/// use quantlib::{AffineSpec, DType, Encoding};
/// let weights: Vec<f32> = (0..128).map(|i| (i as f32).sin()).collect();
/// let q4_0 = quantlib::quantize(&weights, 64, DType::Q4_0, None)?;
/// let mlx = Encoding::Affine(AffineSpec::mlx(4, 32, DType::F16));
/// let planes = quantlib::transcode(&q4_0, &mlx)?;
/// assert_eq!(planes.dequantize()?, q4_0.dequantize()?);
/// let back = quantlib::transcode(&planes, &Encoding::Block(DType::Q4_0));
/// assert_eq!(back?.into_block(), Some(q4_0));
/// # Ok::<(), quantlib::Error>(())
/// ```
pub fn transcode<'a>(source: impl Into<EncodedView<'a>>, to: &Encoding) -> Result<Encoded> {
    transcode_with(source, to, &CodecOptions::default())
}

/// [`transcode`] with options: threads, instruction set, a flag to cancel.
///
/// # Errors
/// Those of [`transcode`], and `cancelled`.
pub fn transcode_with<'a>(
    source: impl Into<EncodedView<'a>>,
    to: &Encoding,
    options: &CodecOptions,
) -> Result<Encoded> {
    let isa = match options.isa {
        Some(isa) if isa.is_available() => isa,
        Some(isa) => return Err(Error::unsupported(format!("this CPU cannot run {isa}"))),
        None => Isa::preferred()?,
    };
    let source = Source::new(source.into(), isa)?;
    let mut output = Output::new(to, &source, isa)?;
    let target = output.side.clone();
    let fit = Fit::new(source.side(), &target)?;
    let step = match source.side().transposed || target.transposed {
        true => target.rows.max(1),
        // Multiples of eight rows are whole bytes in every plane.
        false => (TILE / target.cols.max(1)).max(1).next_multiple_of(8),
    };
    let convert = |(rows, tile): (Range<usize>, Tile<'_>)| {
        let cancelled = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        if options.cancel.as_ref().is_some_and(cancelled) {
            return Err(Error::cancelled());
        }
        let parts = source.take_apart(rows.clone());
        tile.put_together(fit.apply(parts, rows.start, isa)?);
        Ok(())
    };
    let tiles = output.tiles(step);
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || tiles.len() == 1 {
        tiles.into_iter().try_for_each(convert)?;
    } else {
        // Of several tiles that do not fit the first is told, whichever thread meets it.
        let refused = parallel::pool(threads)?.install(|| {
            let results = tiles.into_par_iter().map(convert);
            results.find_first(Result::is_err)
        });
        refused.transpose()?;
    }
    output.finish()
}

/// How an encoding is called in messages.
fn name(encoding: &Encoding) -> String {
    let Encoding::Affine(spec) = encoding else {
        return encoding.to_string();
    };
    let layout = match spec.packing {
        Packing::Mlx => "MLX",
        Packing::MatMulNBits => "MatMulNBits",
        Packing::Onnx => "DequantizeLinear",
        Packing::OpenVino => "OpenVINO",
        Packing::Bnb4 => "MatMulBnb4",
    };
    format!("{layout} ({encoding}, scales of {})", spec.scale)
}

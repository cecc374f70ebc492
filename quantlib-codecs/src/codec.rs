//! Tensors in memory: checked, parallel encoding and decoding over the block codecs.

use crate::block;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parallel;
use crate::simd::{self, Isa};
use crate::tensor::{Floats, QuantizedTensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to do with NaN and infinite elements, for which ggml's encoders define nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// Refuse, naming the row and the column.
    #[default]
    Refuse,
    /// Encode them as zeros.
    Zero,
}

/// How to encode or decode; the default is right for most.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CodecOptions {
    /// Number of threads; 0 means all.
    pub threads: usize,
    /// What to do with NaN and infinite elements when encoding to a quantized type.
    pub non_finite: NonFinite,
    /// The instruction set to compute with; `None` means [`Isa::preferred`]. The bytes are the same.
    pub isa: Option<Isa>,
    /// Set it from another thread to stop early with a `cancelled` error.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl CodecOptions {
    pub(crate) fn isa(&self) -> Result<Isa> {
        self.isa.map_or_else(Isa::preferred, Isa::checked)
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        match &self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::cancelled()),
            _ => Ok(()),
        }
    }
}

/// Elements that one thread takes at a time: enough to amortize the hand-over, little enough for L2.
const CHUNK: usize = 1 << 15;

/// Bytes of a decoded tensor that no cache holds: from there on it is written past them.
const PAST_CACHES: usize = 64 << 20;

/// Whether tensors of this type can be encoded and decoded, not only copied.
pub fn has_codec(dtype: DType) -> bool {
    block::codec(dtype).is_ok()
}

/// Encodes rows of `cols` elements, as ggml's reference quantizer does, bit for bit.
///
/// `importance` holds one positive weight a column (shape `(cols,)`), or one for every column of
/// every expert (shape `(experts, cols)`, where the rows divide evenly among the experts).
///
/// # Errors
/// `misuse` if `src` is no whole number of rows, a row is no whole number of blocks, or the
/// importance has another length or is missing for a type that needs it; `unsupported` if the type
/// has no encoder.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::DType;
/// let weights: Vec<f32> = (0..512).map(|i| (i as f32).sin()).collect();
/// let q = quantlib::quantize(&weights, 256, DType::BF16, None)?;
/// assert_eq!((q.shape(), q.nbytes()), (&[2, 256][..], 1024));
/// # Ok::<(), quantlib::Error>(())
/// ```
pub fn quantize(
    src: &[f32],
    cols: usize,
    dtype: DType,
    importance: Option<&[f32]>,
) -> Result<QuantizedTensor> {
    let rows = whole_rows(src.len(), cols)?;
    let mut data = vec![0; rows * dtype.row_bytes(cols)?];
    quantize_into(
        src.into(),
        cols,
        dtype,
        importance,
        &CodecOptions::default(),
        &mut data,
    )?;
    QuantizedTensor::new(dtype, vec![rows, cols], data)
}

/// [`quantize`] into a buffer of the caller's, from f32, f16 or bf16.
///
/// # Errors
/// Those of [`quantize`], and `misuse` if `dst` has not exactly the encoded length.
pub fn quantize_into(
    src: Floats<'_>,
    cols: usize,
    dtype: DType,
    importance: Option<&[f32]>,
    options: &CodecOptions,
    dst: &mut [u8],
) -> Result<()> {
    let rows = whole_rows(src.len(), cols)?;
    let row_bytes = dtype.row_bytes(cols)?;
    if dst.len() != rows * row_bytes {
        return Err(Error::misuse(format!(
            "the output of {rows} rows takes {} bytes, but the buffer has {}",
            rows * row_bytes,
            dst.len()
        )));
    }
    let isa = options.isa()?;
    let importance = importance.map(Cow::Borrowed);
    let encoder = RowEncoder::new(rows, cols, dtype, importance, options.non_finite)?.with(isa);
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let chunk_rows = (CHUNK / cols).max(1);
    let encode = |i: usize, out: &mut [u8], scratch: &mut Vec<f32>| {
        options.check_cancelled()?;
        let first = i * chunk_rows;
        let last = (first + chunk_rows).min(rows);
        encoder.encode(first, src.slice(first * cols, last * cols), out, scratch)
    };
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || rows <= chunk_rows {
        let mut scratch = Vec::new();
        return dst
            .chunks_mut(chunk_rows * row_bytes)
            .enumerate()
            .try_for_each(|(i, out)| encode(i, out, &mut scratch));
    }
    parallel::pool(threads)?.install(|| {
        dst.par_chunks_mut(chunk_rows * row_bytes)
            .enumerate()
            .try_for_each_init(Vec::new, |scratch, (i, out)| encode(i, out, scratch))
    })
}

/// Encodes a tensor piece by piece, each of its rows with its expert's importance.
pub struct RowEncoder<'w> {
    codec: &'static block::Codec,
    dtype: DType,
    cols: usize,
    row_bytes: usize,
    rows_per_expert: usize,
    importance: Option<Cow<'w, [f32]>>,
    non_finite: NonFinite,
    isa: Isa,
}

impl<'w> RowEncoder<'w> {
    /// Checks all but the values, for a tensor of `rows` rows; the errors are those of
    /// [`quantize`].
    pub fn new(
        rows: usize,
        cols: usize,
        dtype: DType,
        importance: Option<Cow<'w, [f32]>>,
        non_finite: NonFinite,
    ) -> Result<Self> {
        let codec = block::codec(dtype)?;
        if codec.needs_importance() && importance.is_none() {
            return Err(Error::misuse(format!(
                "{dtype} cannot be encoded without importance weights; give an importance matrix, or choose another type"
            )));
        }
        let experts = experts(rows, cols, dtype, importance.as_deref())?;
        Ok(Self {
            codec,
            dtype,
            cols,
            row_bytes: dtype.row_bytes(cols)?,
            rows_per_expert: (rows / experts).max(1),
            importance,
            non_finite,
            isa: Isa::preferred()?,
        })
    }

    /// The same with another instruction set, which must be available.
    fn with(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Encodes whole rows, `first` being the number in the tensor of the first. Panics if `out` has
    /// not exactly their encoded length.
    pub fn encode(
        &self,
        first: usize,
        src: Floats<'_>,
        out: &mut [u8],
        scratch: &mut Vec<f32>,
    ) -> Result<()> {
        let end = first + src.len() / self.cols;
        let mut row = first;
        while row < end {
            let expert = row / self.rows_per_expert;
            let stop = end.min((expert + 1) * self.rows_per_expert);
            let stop = stop.min(row + self.rows_at_a_time());
            let piece = src.slice((row - first) * self.cols, (stop - first) * self.cols);
            let bytes = (row - first) * self.row_bytes..(stop - first) * self.row_bytes;
            let mut zeroed = Vec::new();
            let x = self.finite(row, piece.widen(self.isa, scratch), &mut zeroed)?;
            self.codec.encode(
                self.isa,
                x,
                self.cols,
                self.weights(expert),
                &mut out[bytes],
            );
            row = stop;
        }
        Ok(())
    }

    /// What is widened and checked is encoded while it is still in the nearest cache; but where there is
    /// more to calculate than to read, for super-blocks and with importance, tiles must be full, and
    /// rows have company whose sums are calculated beside theirs.
    fn rows_at_a_time(&self) -> usize {
        let elements = if self.dtype.block_len() < 256 && self.importance.is_none() {
            8192
        } else {
            65536
        };
        (elements / self.cols).max(1)
    }

    fn weights(&self, expert: usize) -> Option<&[f32]> {
        self.importance.as_ref().map(|weights| {
            if weights.len() == self.cols {
                weights
            } else {
                &weights[expert * self.cols..][..self.cols]
            }
        })
    }

    /// `x`, whose first row is `row`, with what is to be done about its NaNs and infinities done.
    fn finite<'x>(&self, row: usize, x: &'x [f32], zeroed: &'x mut Vec<f32>) -> Result<&'x [f32]> {
        if !self.dtype.is_quantized() {
            return Ok(x);
        }
        repair(x, self.non_finite, zeroed, |at| {
            not_finite(x[at], row + at / self.cols, at % self.cols)
        })
    }
}

/// `x` itself if all of it is finite; else what the caller wants in place of NaNs and infinities, or
/// the error that `refuse` makes of the first one's index.
pub(crate) fn repair<'x>(
    x: &'x [f32],
    non_finite: NonFinite,
    zeroed: &'x mut Vec<f32>,
    refuse: impl FnOnce(usize) -> Error,
) -> Result<&'x [f32]> {
    // Where the first one is only matters in the rare case.
    if simd::all_finite(x) {
        return Ok(x);
    }
    let Some(at) = x.iter().position(|v| !v.is_finite()) else {
        return Ok(x);
    };
    match non_finite {
        NonFinite::Refuse => Err(refuse(at)),
        NonFinite::Zero => {
            zeroed.extend(x.iter().map(|v| if v.is_finite() { *v } else { 0.0 }));
            Ok(zeroed)
        }
    }
}

fn not_finite(value: f32, row: usize, col: usize) -> Error {
    Error::misuse(format!(
        "row {row}, column {col} is {value}, which no quantized type can hold; repair the weights, or ask for zeros in place of such values"
    ))
}

fn whole_rows(len: usize, cols: usize) -> Result<usize> {
    match len.checked_div(cols) {
        Some(rows) if rows * cols == len => Ok(rows),
        None if len == 0 => Ok(0),
        _ => Err(Error::misuse(format!(
            "{len} elements are no whole number of rows of {cols}"
        ))),
    }
}

/// The number of experts that the importance speaks of; 1 without importance.
fn experts(rows: usize, cols: usize, dtype: DType, importance: Option<&[f32]>) -> Result<usize> {
    let Some(weights) = importance else {
        return Ok(1);
    };
    if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
        return Err(Error::misuse(format!(
            "importance weight {at} is {}, not a finite number",
            weights[at]
        )));
    }
    match weights.len().checked_div(cols) {
        Some(experts)
            if experts > 0 && experts * cols == weights.len() && rows.is_multiple_of(experts) =>
        {
            Ok(experts)
        }
        _ => Err(Error::misuse(format!(
            "importance for {dtype} rows of {cols} columns needs {cols} weights, or that many for each expert of {rows} rows, but {} were given",
            weights.len()
        ))),
    }
}

/// Decodes blocks to f32, bit-identical to ggml's reference.
///
/// # Errors
/// `misuse` if `data` is no whole number of blocks, `unsupported` if the type has no decoder.
pub fn dequantize(data: &[u8], dtype: DType) -> Result<Vec<f32>> {
    let blocks = whole_blocks(data.len(), dtype)?;
    let mut out = vec![0.0; blocks * dtype.block_len()];
    dequantize_into(data, dtype, &CodecOptions::default(), &mut out)?;
    Ok(out)
}

/// [`dequantize`] into a buffer of the caller's.
///
/// # Errors
/// Those of [`dequantize`], and `misuse` if `out` has not exactly the decoded length.
pub fn dequantize_into(
    data: &[u8],
    dtype: DType,
    options: &CodecOptions,
    out: &mut [f32],
) -> Result<()> {
    let blocks = whole_blocks(data.len(), dtype)?;
    if out.len() != blocks * dtype.block_len() {
        return Err(Error::misuse(format!(
            "{blocks} blocks of {dtype} hold {} elements, but the output has {}",
            blocks * dtype.block_len(),
            out.len()
        )));
    }
    let codec = block::codec(dtype)?;
    let isa = options.isa()?;
    let chunk = (CHUNK / dtype.block_len()).max(1);
    let (chunk_len, chunk_bytes) = (chunk * dtype.block_len(), chunk * dtype.block_bytes());
    let past_caches = size_of_val(out) >= PAST_CACHES;
    let decode = |(out, data): (&mut [f32], &[u8])| {
        options.check_cancelled()?;
        match past_caches {
            true => codec.decode_past_caches(isa, data, out),
            false => codec.decode(isa, data, out),
        }
        Ok(())
    };
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || blocks <= chunk {
        return out
            .chunks_mut(chunk_len)
            .zip(data.chunks(chunk_bytes))
            .try_for_each(decode);
    }
    parallel::pool(threads)?.install(|| {
        out.par_chunks_mut(chunk_len)
            .zip(data.par_chunks(chunk_bytes))
            .try_for_each(decode)
    })
}

fn whole_blocks(len: usize, dtype: DType) -> Result<usize> {
    if len.is_multiple_of(dtype.block_bytes()) {
        Ok(len / dtype.block_bytes())
    } else {
        Err(Error::misuse(format!(
            "{len} bytes are no whole number of {dtype} blocks of {} bytes",
            dtype.block_bytes()
        )))
    }
}

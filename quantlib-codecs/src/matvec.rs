//! Encoded rows times a vector: computing with what is stored. docs/matvec.md defines the results.

use crate::block::{self, Q8};
use crate::codec::{CodecOptions, NonFinite};
use crate::dtype::{DType, rows_and_cols};
use crate::error::{Error, Result};
use crate::parallel;
use crate::tensor::{Floats, TensorView};
use rayon::prelude::*;

/// Elements that one thread takes at a time: enough to amortize the hand-over.
const CHUNK: usize = 1 << 16;

/// The product of a matrix in any encoding with a vector: a number for each row.
///
/// All dimensions of the tensor but the last are rows. The elements are those that
/// [`dequantize`](crate::dequantize) gives, products and sums are single precision, and the order of
/// the sums is fixed, so that every instruction set and number of threads gives the same bits; NaN and
/// infinities go the way of all arithmetic. It takes no memory for decoded elements, and is several
/// times as fast as decoding first.
///
/// # Errors
/// `misuse` if `x` is not as long as a row, `unsupported` if the type has no decoder.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{DType, Floats};
/// let weights: Vec<f32> = (0..512).map(|i| (i % 9) as f32).collect();
/// let q = quantlib::quantize(&weights, 256, DType::Q4K, None)?;
/// let x = vec![0.5; 256];
/// let y = quantlib::matvec(q.view(), Floats::F32(&x))?;
/// assert_eq!(y.len(), 2);
/// let decoded = q.dequantize()?;
/// let expected: f32 = decoded[..256].iter().map(|w| w * 0.5).sum();
/// assert!((y[0] - expected).abs() < 1e-3 * expected);
/// # Ok::<(), quantlib::Error>(())
/// ```
pub fn matvec(weights: TensorView<'_>, x: Floats<'_>) -> Result<Vec<f32>> {
    let (rows, _) = rows_and_cols(weights.shape())?;
    let mut out = vec![0.0; rows];
    matvec_into(weights, x, &CodecOptions::default(), &mut out)?;
    Ok(out)
}

/// [`matvec`] into a buffer of the caller's. Only a vector that is not f32 takes memory, to be
/// widened.
///
/// # Errors
/// Those of [`matvec`], and `misuse` if `out` has not one element for each row.
pub fn matvec_into(
    weights: TensorView<'_>,
    x: Floats<'_>,
    options: &CodecOptions,
    out: &mut [f32],
) -> Result<()> {
    let (rows, cols) = rows_and_cols(weights.shape())?;
    check_lengths(weights, rows, cols, x.len(), out.len())?;
    let codec = block::codec(weights.dtype())?;
    let isa = options.isa()?;
    let mut wide = Vec::new();
    let x = x.widen(isa, &mut wide);
    multiply(weights, cols, options, out, |data, out| {
        codec.matvec(isa, data, x, out);
    })
}

/// The product of a matrix in any encoding with a vector that is encoded first, as ggml does: to
/// 8-bit integers for quantized rows, to the rows' type for plain ones.
///
/// The type of the vector is that of ggml's `vec_dot_type`, and its bytes are those of
/// [`quantize`](crate::quantize). Integers are multiplied and added up exactly; only the scaled sums
/// are added in single precision, in a fixed order, so that every instruction set and number of threads
/// gives the same bits. ggml's results differ from it by its own order of these last sums.
///
/// # Errors
/// `misuse` if `x` is not as long as a row, or has a NaN or an infinity and the rows are quantized;
/// `unsupported` if the type has no decoder, or ggml has no such product (Q8_1, Q8_K).
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{DType, Floats};
/// let weights: Vec<f32> = (0..512).map(|i| (i % 9) as f32).collect();
/// let q = quantlib::quantize(&weights, 256, DType::Q4K, None)?;
/// let x: Vec<f32> = (0..256).map(|i| (i % 7) as f32).collect();
/// let exact = quantlib::matvec(q.view(), Floats::F32(&x))?;
/// let y = quantlib::matvec_q8(q.view(), Floats::F32(&x))?;
/// assert!((y[0] - exact[0]).abs() < 0.01 * exact[0]);
/// # Ok::<(), quantlib::Error>(())
/// ```
pub fn matvec_q8(weights: TensorView<'_>, x: Floats<'_>) -> Result<Vec<f32>> {
    let (rows, cols) = rows_and_cols(weights.shape())?;
    let options = CodecOptions::default();
    let mut vector = Q8Vector::new(weights.dtype(), cols)?;
    vector.set(x, &options)?;
    let mut out = vec![0.0; rows];
    matvec_q8_into(weights, &vector, &options, &mut out)?;
    Ok(out)
}

/// [`matvec_q8`] with a vector that is encoded already, into a buffer of the caller's. Nothing is
/// allocated.
///
/// # Errors
/// `misuse` if the vector was not made for rows of this length and of a type with the same vectors,
/// or `out` has not one element for each row.
pub fn matvec_q8_into(
    weights: TensorView<'_>,
    x: &Q8Vector,
    options: &CodecOptions,
    out: &mut [f32],
) -> Result<()> {
    let (rows, cols) = rows_and_cols(weights.shape())?;
    check_lengths(weights, rows, cols, x.vector.cols(), out.len())?;
    let dtype = vector_type(weights.dtype())?;
    if dtype != x.dtype {
        return Err(Error::misuse(format!(
            "rows of {} are multiplied with a vector of {dtype}, but this one is of {}",
            weights.dtype(),
            x.dtype
        )));
    }
    let codec = block::codec(weights.dtype())?;
    let isa = options.isa()?;
    multiply(weights, cols, options, out, |data, out| {
        codec.matvec_q8(isa, data, &x.vector, out);
    })
}

/// A vector as [`matvec_q8`] encodes it, to be multiplied with several matrices, and to be used again
/// for other vectors without allocating.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{CodecOptions, DType, Floats, Q8Vector};
/// let options = CodecOptions::default();
/// let weights = quantlib::quantize(&[1.0; 128], 32, DType::Q8_0, None)?;
/// let mut x = Q8Vector::new(DType::Q8_0, 32)?;
/// let mut y = [0.0; 4];
/// for value in [1.0, 2.0] {
///     x.set(Floats::F32(&[value; 32]), &options)?;
///     quantlib::matvec_q8_into(weights.view(), &x, &options, &mut y)?;
///     assert!((y[0] - 32.0 * value).abs() < 0.1);
/// }
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Q8Vector {
    dtype: DType,
    vector: Q8,
    /// A part of a vector, widened, and without NaN and infinities.
    part: Vec<f32>,
}

impl Q8Vector {
    /// A vector of zeros for rows of `cols` elements of type `rows`.
    ///
    /// # Errors
    /// `misuse` if `cols` is no whole number of blocks, `unsupported` if ggml has no such product,
    /// `limit` if there is no memory for it.
    pub fn new(rows: DType, cols: usize) -> Result<Self> {
        let dtype = vector_type(rows)?;
        rows.row_bytes(cols)?;
        let vector = Q8::new(dtype, cols).ok_or_else(|| no_memory(cols))?;
        let part = Vec::with_capacity(Q8::STEP);
        Ok(Self {
            dtype,
            vector,
            part,
        })
    }

    /// The type whose blocks the vector is rounded to: that of ggml's `vec_dot_type`.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Encodes `x` with the options' instruction set; they also say what to do with NaN and infinities
    /// where the rows are quantized.
    ///
    /// # Errors
    /// `misuse` if `x` has another length, or a NaN or an infinity that is to be refused; the vector
    /// is partly that of before then.
    pub fn set(&mut self, x: Floats<'_>, options: &CodecOptions) -> Result<()> {
        let cols = self.vector.cols();
        if x.len() != cols {
            return Err(wrong_length(x.len(), cols));
        }
        let isa = options.isa()?;
        for first in (0..cols).step_by(Q8::STEP) {
            let part = x.slice(first, cols.min(first + Q8::STEP));
            let wide = part.widen(isa, &mut self.part);
            if self.dtype.is_quantized()
                && let Some(at) = wide.iter().position(|x| !x.is_finite())
            {
                if options.non_finite == NonFinite::Refuse {
                    return Err(not_finite(first + at, wide[at]));
                }
                self.part = wide.to_vec();
                self.part.iter_mut().for_each(|x| {
                    *x = if x.is_finite() { *x } else { 0.0 };
                });
                self.vector.set(isa, first, &self.part);
            } else {
                self.vector.set(isa, first, wide);
            }
        }
        Ok(())
    }
}

fn vector_type(rows: DType) -> Result<DType> {
    block::codec(rows)?;
    block::vector_type(rows).ok_or_else(|| {
        Error::unsupported(format!(
            "{rows} is a type for vectors, and ggml has no product of it as rows; use matvec instead"
        ))
    })
}

fn no_memory(cols: usize) -> Error {
    Error::limit(format!(
        "there is no memory for a vector of {cols} elements"
    ))
}

fn not_finite(at: usize, value: f32) -> Error {
    Error::misuse(format!(
        "element {at} of the vector is {value}, which 8-bit blocks cannot hold; repair it, ask for zeros in place of such values, or use matvec"
    ))
}

fn wrong_length(len: usize, cols: usize) -> Error {
    Error::misuse(format!(
        "the vector has {len} elements, but rows have {cols}"
    ))
}

fn check_lengths(
    weights: TensorView<'_>,
    rows: usize,
    cols: usize,
    x: usize,
    out: usize,
) -> Result<()> {
    if x != cols {
        return Err(wrong_length(x, cols));
    }
    if out != rows {
        return Err(Error::misuse(format!(
            "a tensor of shape {:?} has {rows} rows, but the output has {out} elements",
            weights.shape()
        )));
    }
    Ok(())
}

/// Lets `rows` multiply chunks of rows, in parallel.
fn multiply(
    weights: TensorView<'_>,
    cols: usize,
    options: &CodecOptions,
    out: &mut [f32],
    rows: impl Fn(&[u8], &mut [f32]) + Sync,
) -> Result<()> {
    if cols == 0 {
        out.fill(0.0);
        return Ok(());
    }
    let row_bytes = weights.dtype().row_bytes(cols)?;
    let chunk = (CHUNK / cols).max(1);
    let multiply = |(out, data): (&mut [f32], &[u8])| {
        options.check_cancelled()?;
        rows(data, out);
        Ok(())
    };
    let threads = parallel::resolve_threads(options.threads);
    if threads == 1 || out.len() <= chunk {
        return out
            .chunks_mut(chunk)
            .zip(weights.data().chunks(chunk * row_bytes))
            .try_for_each(multiply);
    }
    parallel::pool(threads)?.install(|| {
        out.par_chunks_mut(chunk)
            .zip(weights.data().par_chunks(chunk * row_bytes))
            .try_for_each(multiply)
    })
}

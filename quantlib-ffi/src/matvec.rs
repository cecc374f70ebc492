//! Encoded rows times a vector.

use crate::codec::floats;
use crate::dtype::{known, ql_dtype};
use crate::memory::{input, output};
use crate::options::ql_options;
use crate::status::{guard, ql_status};
use quantlib::{CodecOptions, Error, Floats, Q8Vector, TensorView};
use std::ffi::c_void;

/// Multiplies `rows` rows of `cols` elements of `dtype` with a vector: a float for each row.
///
/// `weights_len` must be `rows * ql_row_size(dtype, cols)`; `x_type` is f32, f16 or bf16. Elements are
/// decoded on the way, as `ql_dequantize` does; products and sums are single precision, in an order
/// that is the same for every CPU and number of threads.
///
/// # Safety
/// `weights` is valid for reads of `weights_len` bytes, `x` of `cols` elements of `x_type`, `dst` for
/// writes of `rows` floats that nothing else touches meanwhile; `options` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_matvec(
    dtype: ql_dtype,
    weights: *const c_void,
    weights_len: usize,
    rows: usize,
    cols: usize,
    x_type: ql_dtype,
    x: *const c_void,
    dst: *mut f32,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller's promises are those of `Call::new`.
        let call = unsafe {
            Call::new(
                dtype,
                weights,
                weights_len,
                [rows, cols],
                x_type,
                x,
                dst,
                options,
            )
        }?;
        let weights = TensorView::new(call.dtype, &call.shape, call.weights)?;
        quantlib::matvec_into(weights, call.x, &call.options, call.dst)
    })
}

/// `ql_matvec` with a vector that is encoded first, as ggml does: to 8-bit integers for quantized
/// rows, to the rows' type for plain ones. The result equals ggml's up to the order in which the last
/// sums are rounded. NaN and infinite elements of the vector are refused where the rows are quantized,
/// unless the options say otherwise.
///
/// # Safety
/// As for `ql_matvec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_matvec_q8(
    dtype: ql_dtype,
    weights: *const c_void,
    weights_len: usize,
    rows: usize,
    cols: usize,
    x_type: ql_dtype,
    x: *const c_void,
    dst: *mut f32,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller's promises are those of `Call::new`.
        let call = unsafe {
            Call::new(
                dtype,
                weights,
                weights_len,
                [rows, cols],
                x_type,
                x,
                dst,
                options,
            )
        }?;
        let weights = TensorView::new(call.dtype, &call.shape, call.weights)?;
        let mut vector = Q8Vector::new(call.dtype, cols)?;
        vector.set(call.x, &call.options)?;
        quantlib::matvec_q8_into(weights, &vector, &call.options, call.dst)
    })
}

/// The arguments, checked as far as pointers go.
struct Call<'a> {
    dtype: quantlib::DType,
    shape: [usize; 2],
    weights: &'a [u8],
    x: Floats<'a>,
    dst: &'a mut [f32],
    options: CodecOptions,
}

impl Call<'_> {
    /// # Safety
    /// As for `ql_matvec`, while the result lives.
    #[expect(clippy::too_many_arguments, reason = "they are the C call's")]
    unsafe fn new(
        dtype: ql_dtype,
        weights: *const c_void,
        weights_len: usize,
        shape: [usize; 2],
        x_type: ql_dtype,
        x: *const c_void,
        dst: *mut f32,
        options: *const ql_options,
    ) -> Result<Self, Error> {
        let [rows, cols] = shape;
        Ok(Self {
            dtype: known(dtype)?,
            shape,
            // SAFETY: the caller promises `weights_len` readable bytes.
            weights: unsafe { input(weights.cast::<u8>(), weights_len, "weights") }?,
            // SAFETY: the caller promises `cols` elements of `x_type`.
            x: unsafe { floats(known(x_type)?, x, cols, "x") }?,
            // SAFETY: the caller promises `rows` writable floats.
            dst: unsafe { output(dst, rows, "dst") }?,
            // SAFETY: the caller promises null or valid options.
            options: unsafe { ql_options::read(options) }?.codec()?,
        })
    }
}

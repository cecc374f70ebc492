//! Encoded tensors to other encodings without loss.

use crate::affine::ql_affine_spec;
use crate::dtype::{known, ql_dtype};
use crate::memory::{input, output};
use crate::options::ql_options;
use crate::status::{guard, misuse, ql_status};
use quantlib::affine::AffinePlanes;
use quantlib::transcode::{Encoded, EncodedView, transcode_with};
use quantlib::{AffineLayout, Encoding, Error, TensorView};
use std::ffi::c_void;

/// An encoded tensor in the caller's memory: one array of blocks, or planes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ql_encoded {
    /// `sizeof(ql_encoded)`, or 0 for the first version of this struct.
    pub struct_size: usize,
    /// What the planes are; null for blocks.
    pub spec: *const ql_affine_spec,
    /// The type of the blocks; of planes, that of the elements they were encoded from, which is the type
    /// of their scales where `spec` leaves it open.
    pub r#type: ql_dtype,
    /// Must be 0.
    pub reserved: u32,
    /// The row-major shape in elements.
    pub shape: *const usize,
    /// Number of dimensions.
    pub rank: usize,
    /// The blocks, or the codes.
    pub data: *mut c_void,
    /// Their length in bytes.
    pub data_len: usize,
    /// The scales; null for blocks.
    pub scales: *mut c_void,
    /// Their length in bytes.
    pub scales_len: usize,
    /// Zero points or biases; null if there are none.
    pub zeros: *mut c_void,
    /// Their length in bytes.
    pub zeros_len: usize,
}

/// What a [`ql_encoded`] is, apart from its memory.
enum Form<'a> {
    Block(quantlib::DType, &'a [usize]),
    Affine(Box<AffineLayout>, &'a [usize]),
}

impl ql_encoded {
    /// # Safety
    /// `encoded` is null or valid for reads, and so are its spec with its strings, and its shape.
    unsafe fn read<'a>(encoded: *const Self, what: &str) -> Result<(Self, Form<'a>), Error> {
        // SAFETY: the caller promises one readable struct, or null, which is refused.
        let [encoded] = unsafe { input(encoded, 1, what) }? else {
            return Err(misuse(&format!("{what} is a null pointer")));
        };
        let encoded = *encoded;
        if encoded.struct_size != 0 && encoded.struct_size < size_of::<Self>() {
            return Err(misuse(
                "ql_encoded.struct_size is smaller than the first version's size",
            ));
        }
        if encoded.reserved != 0 {
            return Err(misuse(
                "ql_encoded.reserved is not 0; initialize the struct with {0}",
            ));
        }
        let Self {
            spec,
            r#type,
            shape,
            rank,
            ..
        } = encoded;
        // SAFETY: the caller promises `rank` readable numbers.
        let dims = unsafe { input(shape, rank, "shape") }?;
        let form = match spec.is_null() {
            true => Form::Block(known(r#type)?, dims),
            false => {
                // SAFETY: the caller promises a valid spec and shape.
                let layout = unsafe { ql_affine_spec::layout(spec, r#type, shape, rank) }?;
                Form::Affine(Box::new(layout), dims)
            }
        };
        Ok((encoded, form))
    }

    /// The planes of a result, where the caller wants them.
    ///
    /// # Safety
    /// The planes are null or valid for writes of their lengths, and nothing else touches them
    /// meanwhile.
    unsafe fn write(&self, planes: [&[u8]; 3]) -> Result<(), Error> {
        let room = [
            ("data", self.data, self.data_len),
            ("scales", self.scales, self.scales_len),
            ("zeros", self.zeros, self.zeros_len),
        ];
        for ((name, _, len), plane) in room.iter().zip(planes) {
            if *len != plane.len() {
                return Err(misuse(&format!(
                    "{name}: the length is {len}, but must be {}",
                    plane.len()
                )));
            }
        }
        for ((name, to, len), plane) in room.into_iter().zip(planes) {
            // SAFETY: the caller's promise.
            unsafe { output(to.cast::<u8>(), len, name) }?.copy_from_slice(plane);
        }
        Ok(())
    }
}

/// Repacks an encoded tensor so that it decodes to the same numbers in single precision: codes and scales
/// are those of `from` as real numbers. `QL_ERROR_UNSUPPORTED` if `to` cannot hold them; the message names
/// the first group that does not fit. `to` says what is to be made, and where; nothing is written unless
/// all fits.
///
/// The shapes are the same, but where one of the two has groups along the first of two axes (MatMul's
/// weights in ONNX): then it is the transpose, (K, N) of (N, K).
///
/// # Safety
/// `from` and `to` are valid, as are their specs, strings and shapes; the planes of `from` are valid for
/// reads of their lengths, those of `to` for writes, and nothing else touches these meanwhile; `options` is
/// null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_transcode(
    from: *const ql_encoded,
    to: *const ql_encoded,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises valid structs.
        let (source, form) = unsafe { ql_encoded::read(from, "from") }?;
        // SAFETY: as above.
        let (target, target_form) = unsafe { ql_encoded::read(to, "to") }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?.codec()?;
        // SAFETY: the caller promises planes of these lengths.
        let [data, scales, zeros] = unsafe {
            [
                input(source.data.cast::<u8>(), source.data_len, "from.data")?,
                input(source.scales.cast::<u8>(), source.scales_len, "from.scales")?,
                input(source.zeros.cast::<u8>(), source.zeros_len, "from.zeros")?,
            ]
        };
        let view = match &form {
            Form::Block(dtype, shape) => EncodedView::Block(TensorView::new(*dtype, shape, data)?),
            Form::Affine(layout, shape) => EncodedView::Affine {
                layout,
                shape,
                planes: AffinePlanes {
                    codes: data,
                    scales,
                    zeros,
                },
            },
        };
        let (encoding, shape) = match &target_form {
            Form::Block(dtype, shape) => (Encoding::Block(*dtype), *shape),
            Form::Affine(layout, shape) => (Encoding::Affine(layout.spec().clone()), *shape),
        };
        let made = transcode_with(view, &encoding, &options)?;
        let made_shape = match &made {
            Encoded::Block(tensor) => tensor.shape(),
            Encoded::Affine(tensor) => tensor.shape(),
        };
        if made_shape != shape {
            return Err(misuse(&format!(
                "to.shape is {shape:?}, but must be {made_shape:?}"
            )));
        }
        let planes = match &made {
            Encoded::Block(tensor) => [tensor.data(), &[], &[]],
            Encoded::Affine(tensor) => [tensor.codes(), tensor.scales(), tensor.zeros()],
        };
        // SAFETY: the caller promises room of these lengths.
        unsafe { target.write(planes) }
    })
}

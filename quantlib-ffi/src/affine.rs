//! Planar tensors in memory: codes, scales, and zero points or biases.

use crate::codec::floats;
use crate::dtype::{known, ql_dtype};
use crate::memory::{input, output, store, text};
use crate::options::ql_options;
use crate::status::{guard, misuse, ql_status};
use quantlib::affine::{AffinePlanes, AffineWish, Clip, GlobalScale, Group};
use quantlib::planar::AffinePlanesMut;
use quantlib::{AffineLayout, AffineSpec, Error, dequantize_affine_into, quantize_affine_into};
use std::ffi::{c_char, c_void};

/// How a planar tensor is quantized and laid out.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ql_affine_spec {
    /// `sizeof(ql_affine_spec)`, or 0 for the first version of this struct.
    pub struct_size: usize,
    /// "mlx", "mxfp4", "mxfp8", "nvfp4", "gpt-oss", "matmulnbits", "qdq", "openvino", "nf4", "fp4",
    /// "fp8-e4m3", "fp8-e5m2", or "openvino-" with nf4, fp4, fp8, mxfp4 or mxfp8; null means "mlx".
    pub layout: *const c_char,
    /// The type of scales, such as "f16"; null means what the layout's own tool would write.
    pub scale_type: *const c_char,
    /// Bits of a code: 1 to 8, or 16; 0 means 4.
    pub bits: u32,
    /// Which elements share a scale: 0 those of a group, 1 those with the same index along the axis,
    /// 2 all.
    pub grouping: u32,
    /// Elements of a group, neighbours along the axis; 0 means 32.
    pub group_size: usize,
    /// The axis, from 0; negative counts from the last. Most layouts want -1.
    pub axis: i64,
    /// How much of the range of what shares a scale is kept: 0 all, 1 that of `millionths` of the
    /// elements, 2 what has the least relative entropy, 3 what has the least squared error. 1 and 2 not
    /// for groups.
    pub clip: u32,
    /// The share of the elements if `clip` is 1; 1000000 is all.
    pub millionths: u32,
    /// Ranges that are the same on both sides of zero, if not 0.
    pub symmetric: u8,
    /// Must be 0.
    pub reserved: [u8; 3],
    /// What the scales of "nvfp4" are relative to: the largest magnitude of the tensor; 0 means none.
    pub global_scale: f32,
}

impl ql_affine_spec {
    /// Joins the spec with a shape.
    ///
    /// # Safety
    /// `spec` is null or valid for reads, as are its strings; `shape` is valid for reads of `rank`
    /// numbers.
    pub(crate) unsafe fn layout(
        spec: *const Self,
        src_type: ql_dtype,
        shape: *const usize,
        rank: usize,
    ) -> Result<AffineLayout, Error> {
        // SAFETY: the caller promises one readable struct, or null, which is refused.
        let spec = match unsafe { input(spec, 1, "spec") }? {
            [spec] => *spec,
            _ => return Err(misuse("spec is a null pointer")),
        };
        if spec.struct_size != 0 && spec.struct_size < size_of::<Self>() {
            return Err(misuse(
                "ql_affine_spec.struct_size is smaller than the first version's size",
            ));
        }
        if spec.reserved != [0; 3] {
            return Err(misuse(
                "ql_affine_spec.reserved is not 0; initialize the struct with {0}",
            ));
        }
        let layout = match spec.layout.is_null() {
            true => "mlx",
            // SAFETY: the caller promises valid strings.
            false => unsafe { text(spec.layout, "layout") }?,
        };
        let scale = match spec.scale_type.is_null() {
            true => None,
            // SAFETY: the caller promises valid strings.
            false => Some(unsafe { text(spec.scale_type, "scale_type") }?.parse()?),
        };
        let wish = AffineWish {
            bits: match spec.bits {
                0 => 4,
                bits => u8::try_from(bits).unwrap_or(u8::MAX),
            },
            group: match (spec.grouping, spec.group_size) {
                (0, 0) => Group::Blocks(32),
                (0, n) => Group::Blocks(n),
                (1, _) => Group::Axis,
                (2, _) => Group::Tensor,
                _ => return Err(misuse("ql_affine_spec.grouping is not 0, 1 or 2")),
            },
            axis: isize::try_from(spec.axis).unwrap_or(isize::MAX),
            symmetric: spec.symmetric != 0,
            scale,
            clip: match spec.clip {
                0 => Clip::None,
                1 => Clip::Percentile {
                    millionths: spec.millionths,
                },
                2 => Clip::Entropy,
                3 => Clip::LeastError,
                _ => return Err(misuse("ql_affine_spec.clip is not 0, 1, 2 or 3")),
            },
        };
        let global_scale = match spec.global_scale {
            0.0 => None,
            scale => Some(GlobalScale::new(scale)?),
        };
        let mut spec = AffineSpec::for_layout(layout, &wish, known(src_type)?)?;
        spec.global_scale = global_scale;
        // SAFETY: the caller promises `rank` readable numbers.
        AffineLayout::new(&spec, unsafe { input(shape, rank, "shape") }?)
    }
}

/// The lengths in bytes that the planes of a tensor of this shape (row-major) need. `src_type` is the
/// type of the elements: f32, f16 or bf16. `zeros_len` is 0 if there are neither zero points nor biases.
///
/// # Safety
/// `spec` and its strings are valid, `shape` is valid for reads of `rank` numbers, the lengths for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_affine_sizes(
    spec: *const ql_affine_spec,
    src_type: ql_dtype,
    shape: *const usize,
    rank: usize,
    codes_len: *mut usize,
    scales_len: *mut usize,
    zeros_len: *mut usize,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises what `layout` needs.
        let layout = unsafe { ql_affine_spec::layout(spec, src_type, shape, rank) }?;
        let zeros = layout.zeros().map_or(0, |plane| plane.bytes);
        // SAFETY: the caller promises writable lengths.
        unsafe {
            store(codes_len, layout.codes().bytes)?;
            store(scales_len, layout.scales().bytes)?;
            store(zeros_len, zeros)
        }
    })
}

/// Encodes a tensor to codes, scales, and zero points or biases, bit for bit as the layout's own tool.
/// The lengths must be those of `ql_affine_sizes`.
///
/// # Safety
/// `spec` and its strings are valid; `shape` is valid for reads of `rank` numbers, `src` of as many
/// elements of `src_type` as the shape has; the planes are valid for writes of their lengths, and nothing
/// else touches them meanwhile; `options` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_quantize_affine(
    spec: *const ql_affine_spec,
    src_type: ql_dtype,
    src: *const c_void,
    shape: *const usize,
    rank: usize,
    codes: *mut c_void,
    codes_len: usize,
    scales: *mut c_void,
    scales_len: usize,
    zeros: *mut c_void,
    zeros_len: usize,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises what `layout` needs.
        let layout = unsafe { ql_affine_spec::layout(spec, src_type, shape, rank) }?;
        // SAFETY: the caller promises as many elements as the shape has.
        let src = unsafe { floats(known(src_type)?, src, layout.elements(), "src") }?;
        // SAFETY: the caller promises planes of these lengths.
        let planes = unsafe {
            AffinePlanesMut {
                codes: output(codes.cast(), codes_len, "codes")?,
                scales: output(scales.cast(), scales_len, "scales")?,
                zeros: output(zeros.cast(), zeros_len, "zeros")?,
            }
        };
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        quantize_affine_into(src, &layout, &options.codec()?, planes)
    })
}

/// Decodes planes to floats. `spec` and `src_type` are those that they were encoded with.
///
/// # Safety
/// As for `ql_quantize_affine`, with the planes valid for reads, and `dst` for writes of `len` floats
/// that nothing else touches meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_dequantize_affine(
    spec: *const ql_affine_spec,
    src_type: ql_dtype,
    codes: *const c_void,
    codes_len: usize,
    scales: *const c_void,
    scales_len: usize,
    zeros: *const c_void,
    zeros_len: usize,
    shape: *const usize,
    rank: usize,
    dst: *mut f32,
    len: usize,
    options: *const ql_options,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises what `layout` needs.
        let layout = unsafe { ql_affine_spec::layout(spec, src_type, shape, rank) }?;
        // SAFETY: the caller promises planes of these lengths.
        let planes = unsafe {
            AffinePlanes {
                codes: input(codes.cast(), codes_len, "codes")?,
                scales: input(scales.cast(), scales_len, "scales")?,
                zeros: input(zeros.cast(), zeros_len, "zeros")?,
            }
        };
        // SAFETY: the caller promises `len` writable floats.
        let dst = unsafe { output(dst, len, "dst") }?;
        // SAFETY: the caller promises null or valid options.
        let options = unsafe { ql_options::read(options) }?;
        dequantize_affine_into(&layout, planes, &options.codec()?, dst)
    })
}

//! Quantized layers seen as ggml's blocks, with the same codes and scales.

use super::{LayerQuantization, Mode};
use crate::affine::AffineLayout;
use crate::block;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::model::{Model, TensorInfo};
use crate::planar::AffineTensor;
use crate::simd::Isa;
use crate::transcode::rows_to_blocks;
use std::ops::Range;

/// Which layers of an MLX folder are read as ggml's blocks instead of being decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsBlocks {
    /// None.
    #[default]
    Never,
    /// Layers in mxfp4, whose blocks always hold the same.
    Mxfp4,
    /// All; layers that no blocks can hold are refused. But those of 6 and 8 bits that need their biases are
    /// decoded, for that is exact where they become f32.
    Always,
}

/// Bytes of scales that are looked at in one go.
const PIECE: usize = 1 << 20;

/// Elements that are repacked at a time.
const CHUNK: usize = 1 << 16;

/// The planes of a layer in its folder, by their indices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub(super) codes: usize,
    pub(super) scales: usize,
    pub(super) zeros: Option<usize>,
}

/// The type whose blocks a layer is read as; none if it is to be decoded. Whether the blocks have room for
/// every scale shows only when they are read.
///
/// # Errors
/// `unsupported` for codes that no blocks have; those of reading the scales.
pub(super) fn block_type(
    stored: &Model,
    how: LayerQuantization,
    layout: &AffineLayout,
    planes: Planes,
    wanted: AsBlocks,
) -> Result<Option<DType>> {
    let dtype = match (wanted, how.mode) {
        (AsBlocks::Never, _) => return Ok(None),
        (AsBlocks::Mxfp4 | AsBlocks::Always, Mode::Mxfp4) => DType::Mxfp4,
        (AsBlocks::Mxfp4, _) => return Ok(None),
        (AsBlocks::Always, Mode::Nvfp4) => DType::Nvfp4,
        (AsBlocks::Always, Mode::Affine) => match integers(stored, how, planes)? {
            Some(dtype) => dtype,
            None => return Ok(None),
        },
        (AsBlocks::Always, Mode::Mxfp8) => {
            return Err(Error::unsupported(
                "GGUF has no blocks of 8-bit floats; leave --exact out to decode it",
            ));
        }
    };
    let cols = layout
        .scales()
        .shape
        .last()
        .map_or(0, |n| n * how.group_size);
    match cols.is_multiple_of(dtype.block_len()) {
        true => Ok(Some(dtype)),
        false => Err(Error::unsupported(format!(
            "its rows of {cols} are no whole blocks of {dtype}; leave --exact out to decode it"
        ))),
    }
}

/// The blocks of integers that a layer's are, if any.
fn integers(stored: &Model, how: LayerQuantization, planes: Planes) -> Result<Option<DType>> {
    let every = |fits: &dyn Fn(f32, f32) -> bool| every_bias(stored, planes, fits);
    let even = |half: f32| every(&|scale, bias| scale * -half == bias);
    Ok(match how.bits {
        2 | 3 => Some(DType::Q4_1),
        4 if even(8.0)? => Some(DType::Q4_0),
        4 => Some(DType::Q4_1),
        5 if even(16.0)? => Some(DType::Q5_0),
        5 => Some(DType::Q5_1),
        _ if every(&is_multiple)? => Some(DType::Q8_0),
        _ => None,
    })
}

/// Whether a bias is a multiple of its scale, so that there is a code of zero.
fn is_multiple(scale: f32, bias: f32) -> bool {
    let (scale, bias) = (f64::from(scale), f64::from(bias));
    bias == 0.0 || (bias / scale).round() * scale == bias
}

/// Whether all scales and their biases fit.
fn every_bias(stored: &Model, planes: Planes, fits: &dyn Fn(f32, f32) -> bool) -> Result<bool> {
    let Some(zeros) = planes.zeros else {
        return Ok(false);
    };
    let [scales, biases] = [planes.scales, zeros].map(|index| &stored.tensors()[index]);
    for start in (0..scales.nbytes()).step_by(PIECE) {
        let bytes = start..scales.nbytes().min(start + PIECE);
        let scales = floats(stored, planes.scales, scales, bytes.clone())?;
        let biases = floats(stored, zeros, biases, bytes)?;
        let mut pairs = scales.iter().zip(&biases);
        if !pairs.all(|(scale, bias)| fits(*scale, *bias)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn floats(stored: &Model, index: usize, info: &TensorInfo, at: Range<usize>) -> Result<Vec<f32>> {
    let mut bytes = vec![0; at.len()];
    stored.read_at(index, at.start as u64, &mut bytes)?;
    let mut values = vec![0.0; at.len() / info.dtype.block_bytes()];
    block::codec(info.dtype)?.decode(Isa::preferred()?, &bytes, &mut values);
    Ok(values)
}

/// Fills `out` with the blocks of a layer from byte `offset` on.
///
/// # Errors
/// `unsupported`, naming the first group that does not fit; those of reading.
pub(super) fn read(
    stored: &Model,
    layout: &AffineLayout,
    planes: Planes,
    dtype: DType,
    offset: usize,
    out: &mut [u8],
) -> Result<()> {
    let Some((groups, outer)) = layout.scales().shape.split_last() else {
        return Ok(());
    };
    let rows: usize = outer.iter().product();
    let cols = layout.elements() / rows.max(1);
    let row_bytes = dtype.row_bytes(cols)?.max(1);
    let (mut at, mut rest) = (offset, out);
    while !rest.is_empty() {
        let first = at / row_bytes;
        let last = (at + rest.len()).div_ceil(row_bytes).min(rows);
        let last = last.min(first + (CHUNK / cols.max(1)).max(1));
        let place = layout.place(first * groups..last * groups)?;
        let plane = |index: usize, range: Range<usize>| {
            let mut bytes = vec![0; range.len()];
            stored.read_at(index, range.start as u64, &mut bytes)?;
            Ok::<_, Error>(bytes)
        };
        let zeros = planes.zeros.map(|index| plane(index, place.zeros));
        let tensor = AffineTensor::new(
            layout.spec(),
            vec![last - first, cols],
            plane(planes.codes, place.codes)?,
            plane(planes.scales, place.scales)?,
            zeros.transpose()?.unwrap_or_default(),
        )?;
        let blocks = rows_to_blocks(&tensor, first, dtype)?;
        let part = &blocks[at - first * row_bytes..];
        let (now, later) = rest.split_at_mut(part.len().min(rest.len()));
        now.copy_from_slice(&part[..now.len()]);
        at += now.len();
        rest = later;
    }
    Ok(())
}

//! Scales and offsets that are given or told: encodings, on their way into a model and out of it.

use super::super::draft::Draft;
use super::Scheme;
use super::activation::Params;
use super::constant;
use crate::affine::{AffineSpec, Element};
use crate::calibrate::{Calibration, Grid};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::onnx::data_type;

/// Takes the given encodings of the main graph's constants. Those of 32 bits are left out: biases are in
/// steps of what they are added to.
pub(super) fn take(draft: &mut Draft<'_>, calibration: &Calibration) -> Result<()> {
    for (index, weight) in draft.graphs.weights.iter().enumerate() {
        let grid = calibration.encodings.get(weight.name);
        let Some(grid) = grid.filter(|grid| weight.graph == 0 && grid.bits != 32) else {
            continue;
        };
        if !matches!(grid.bits, 4 | 8 | 16) {
            return Err(Error::unsupported(format!(
                "its encoding has codes of {} bits; constants here have 4, 8 or 16",
                grid.bits
            ))
            .in_tensor(weight.name));
        }
        if draft
            .info(index)
            .is_some_and(|info| info.dtype != DType::F32)
        {
            let what = "is no f32, which alone takes a given encoding; leave its encoding out, or quantize the f32 model";
            return Err(Error::unsupported(what).in_tensor(weight.name));
        }
        draft.given.insert(index, grid.clone());
    }
    Ok(())
}

/// The given scale and zero point of a value, if its codes have as many bits.
pub(super) fn params(calibration: &Calibration, name: &str, scheme: Scheme) -> Option<Params> {
    let grid = calibration.encodings.get(name)?;
    match (&grid.scales[..], &grid.offsets[..]) {
        (&[scale], &[offset]) if grid.bits == scheme.activation_bits => Some(Params {
            scale,
            zero: u16::try_from(-offset).ok()?,
        }),
        _ => None,
    }
}

/// A value's scale and zero point as an encoding.
pub(super) fn of_params(params: Params, scheme: Scheme) -> Grid {
    Grid {
        bits: scheme.activation_bits,
        scales: vec![params.scale],
        offsets: vec![-i64::from(params.zero)],
        ..Grid::default()
    }
}

/// The encoding that a constant will get.
pub(super) fn of_constant(draft: &Draft<'_>, weight: usize, spec: &AffineSpec) -> Result<Grid> {
    if let (Some(grid), Some(info)) = (draft.given.get(&weight), draft.info(weight)) {
        let axis = axis_of(grid, &info.shape, spec);
        let name = draft.graphs.weights[weight].name;
        return Ok(Grid {
            axis: axis.map_err(|e| e.in_tensor(name))?,
            ..grid.clone()
        });
    }
    let (scales, zeros) = constant::grid_at(draft, weight, spec)?;
    let half = match spec.symmetric {
        true => 1_i64 << (spec.bits - 1),
        false => 0,
    };
    Ok(Grid {
        bits: spec.bits,
        symmetric: spec.symmetric,
        offsets: zeros.iter().map(|zero| -zero - half).collect(),
        scales,
        axis: constant::axis_of(spec),
    })
}

/// The axis that a constant's scales are along: the one that a spec has. Where it has none, the one that
/// the encoding names, or else the only one with as many channels.
fn axis_of(grid: &Grid, shape: &[usize], spec: &AffineSpec) -> Result<Option<usize>> {
    let count = grid.scales.len();
    let mut fitting = (0..shape.len()).filter(|axis| shape[*axis] == count);
    let axis = match (constant::axis_of(spec), grid.axis) {
        (Some(own), Some(named)) if own != named && count > 1 => {
            return Err(Error::malformed(format!(
                "its encoding has scales along axis {named}, but the channels of this product are along axis {own}"
            )));
        }
        (Some(axis), _) | (None, Some(axis)) => Some(axis),
        (None, None) if count > 1 => fitting.next().filter(|_| fitting.next().is_none()),
        (None, None) => None,
    };
    let channels = axis.and_then(|axis| shape.get(axis).copied());
    match (channels == Some(count), count) {
        (true, _) => Ok(axis),
        (false, 1) => Ok(None),
        (false, _) => {
            let along = axis.map_or("an unknown axis".to_owned(), |axis| format!("axis {axis}"));
            Err(Error::malformed(format!(
                "its encoding has {count} scales, but its shape is {shape:?}, with channels along {along}"
            )))
        }
    }
}

/// Stores a constant in the codes of its given encoding: the names of codes, scales and zero points, and
/// the axis of the scales. Where nothing else is said, it is the axis of a spec, which also says whether
/// codes must have no sign.
pub(super) fn stored(
    draft: &mut Draft<'_>,
    weight: usize,
    spec: &AffineSpec,
) -> Result<Option<([String; 3], Option<usize>)>> {
    let Some(grid) = draft.given.get(&weight).cloned() else {
        return Ok(None);
    };
    let name = draft.graphs.weights[weight].name;
    let Some(info) = draft.info(weight).cloned() else {
        return Ok(None);
    };
    let axis = axis_of(&grid, &info.shape, spec).map_err(|e| e.in_tensor(name))?;
    let inner = axis.map_or(1, |axis| info.shape[axis + 1..].iter().product::<usize>());
    let codes = Codes::new(&grid, spec.symmetric && spec.element == Element::Unsigned);
    let mut packed = Vec::with_capacity(info.elements() * usize::from(grid.bits) / 8 + 1);
    constant::each_piece(draft.model(), &info, &mut |first, values| {
        for (index, value) in (first..).zip(values) {
            if value.is_nan() {
                let what = "has NaN, which has no code; mend the model, or leave its encoding out";
                return Err(Error::malformed(what).in_tensor(name));
            }
            let channel = index / inner.max(1) % grid.scales.len();
            codes.push(&mut packed, index, codes.code(*value, channel));
        }
        Ok(())
    })?;
    let mut zeros = Vec::new();
    for (channel, zero) in codes.zeros.iter().enumerate() {
        codes.push(&mut zeros, channel, *zero);
    }
    let scales: Vec<usize> = axis.map(|axis| info.shape[axis]).into_iter().collect();
    let raw = grid.scales.iter().copied().flat_map(f32::to_le_bytes);
    let planes = [
        ("quantized", codes.data_type, info.shape.clone(), packed),
        ("scale", data_type::FLOAT, scales.clone(), raw.collect()),
        ("zero_point", codes.data_type, scales, zeros),
    ];
    let inputs = constant::add_planes(draft, name, planes);
    Ok(Some((inputs, axis)))
}

/// The codes of a grid, as ONNX stores them.
struct Codes<'g> {
    grid: &'g Grid,
    data_type: i64,
    least: f64,
    most: f64,
    zeros: Vec<i64>,
}

impl<'g> Codes<'g> {
    fn new(grid: &'g Grid, is_unsigned: bool) -> Self {
        let half = 1_i64 << (grid.bits - 1);
        let signed = grid.is_signed() && !is_unsigned;
        let strict = grid.is_signed() && grid.offsets.iter().all(|offset| *offset == 1 - half);
        let least = if signed { -half } else { 0 };
        let most = least + 2 * half - 1;
        // As many codes above zero as below.
        let (least, most) = match (strict, signed) {
            (true, true) => (least + 1, most),
            (true, false) => (least, most - 1),
            (false, _) => (least, most),
        };
        let data_type = match (grid.bits, signed) {
            (4, true) => data_type::INT4,
            (4, false) => data_type::UINT4,
            (8, true) => data_type::INT8,
            (8, false) => data_type::UINT8,
            (_, true) => data_type::INT16,
            (_, false) => data_type::UINT16,
        };
        let zero = |offset: &i64| if signed { 0 } else { -offset };
        Self {
            grid,
            data_type,
            least: least as f64,
            most: most as f64,
            zeros: grid.offsets.iter().map(zero).collect(),
        }
    }

    /// As onnxruntime rounds: the quotient to the nearest whole number, ties to even.
    fn code(&self, value: f32, channel: usize) -> i64 {
        let steps = (value / self.grid.scales[channel]).round_ties_even();
        let code = f64::from(steps) + self.zeros[channel] as f64;
        code.clamp(self.least, self.most) as i64
    }

    /// Appends a code, the number of which is `index`; two of 4 bits share a byte, the first below.
    fn push(&self, packed: &mut Vec<u8>, index: usize, code: i64) {
        let [low, high, ..] = code.to_le_bytes();
        match (self.grid.bits, index % 2) {
            (4, 0) => packed.push(low & 15),
            (4, _) => {
                if let Some(last) = packed.last_mut() {
                    *last |= low << 4;
                }
            }
            (8, _) => packed.push(low),
            _ => packed.extend([low, high]),
        }
    }
}

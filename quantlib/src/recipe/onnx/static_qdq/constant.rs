//! Weights, biases and other constants in integers.

use super::super::draft::{Draft, PlaneInfo};
use super::Scheme;
use super::activation::Params;
use super::edits::Edits;
use super::given;
use super::site::Site;
use crate::affine::{AffineLayout, AffineSpec, Element, Group, Zero};
use crate::codec::CodecOptions;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::onnx::{data_type, make_node};
use crate::model::{Expr, Model, OutputTensor, TensorInfo};
use crate::planar::{AffineEncoder, AffinePlanesMut, AffineStatistics};
use crate::tensor::{Encoding, Floats};
use std::collections::{HashMap, HashSet};

/// Quantizes the weights of all sites, each once, and the biases, each for the scales of its site:
/// `scales` are those of the sites' inputs. Weights of which `unsigned` says so have codes without a sign.
/// What each site reads in the place of its weight.
pub(super) fn put_weights(
    draft: &mut Draft<'_>,
    edits: &mut Edits,
    sites: &[Site],
    scales: &[f32],
    unsigned: &HashSet<usize>,
    scheme: Scheme,
) -> Result<Vec<String>> {
    let mut outputs: HashMap<(usize, usize), String> = HashMap::new();
    let mut read = Vec::new();
    for (site, scale) in sites.iter().zip(scales) {
        let key = (site.weight, site.axis);
        let mut spec = channels(scheme.bits_of(site), site.axis);
        if unsigned.contains(&site.weight) {
            spec.element = Element::Unsigned;
        }
        let output = match outputs.get(&key) {
            Some(output) => output.clone(),
            None => {
                let output = put(draft, site.weight, spec.clone(), scheme)?;
                outputs.entry(key).or_insert(output).clone()
            }
        };
        edits.input(site.node, 1, &output);
        read.push(output);
        draft.release(site.weight);
        if let Some(bias) = site.bias {
            let scales = scales_at(draft, site.weight, &spec)?;
            let scales: Vec<_> = scales.iter().map(|weight| scale * weight).collect();
            let output = put_bias(draft, bias, &scales, scheme)?;
            edits.input(site.node, 2, &output);
            draft.release(bias);
        }
    }
    Ok(read)
}

/// A scale for each channel, the same range on both sides of zero; zero points are there, and zero.
pub(super) fn channels(bits: u8, axis: usize) -> AffineSpec {
    AffineSpec {
        zero: Zero::Point,
        ..AffineSpec::qdq(bits, Group::Axis, axis as isize, true, DType::F32)
    }
}

/// One scale and zero point for all.
pub(super) fn whole(bits: u8) -> AffineSpec {
    AffineSpec::qdq(bits, Group::Tensor, 0, false, DType::F32)
}

/// Plans a constant as a spec says. The name of what comes out of its `DequantizeLinear`.
pub(super) fn put(
    draft: &mut Draft<'_>,
    weight: usize,
    spec: AffineSpec,
    scheme: Scheme,
) -> Result<String> {
    let name = draft.graphs.weights[weight].name;
    let axis = axis_of(&spec);
    let (inputs, axis) = match given::stored(draft, weight, &spec)? {
        Some(given) => given,
        None => (stored(draft, weight, &spec)?, axis),
    };
    Ok(put_dequantize(draft, name, &inputs, axis, scheme))
}

/// The axis that has scales along it.
pub(super) fn axis_of(spec: &AffineSpec) -> Option<usize> {
    (spec.group == Group::Axis).then_some(spec.axis as usize)
}

/// Plans a constant as a spec says: the names of codes, scales and zero points.
pub(super) fn stored(
    draft: &mut Draft<'_>,
    weight: usize,
    spec: &AffineSpec,
) -> Result<[String; 3]> {
    let name = draft.graphs.weights[weight].name;
    let Some(TensorInfo {
        name: key,
        dtype,
        shape,
    }) = draft.info(weight).cloned()
    else {
        return Err(Error::unsupported("has elements that are no plain floats").in_tensor(name));
    };
    let axis = axis_of(spec);
    let scales: Vec<usize> = axis.iter().map(|axis| shape[*axis]).collect();
    let code_type = match (spec.bits, spec.element) {
        (4, _) => data_type::INT4,
        (16, _) => data_type::UINT16,
        (_, Element::Signed) => data_type::INT8,
        _ => data_type::UINT8,
    };
    let planes = [
        ("quantized", code_type, shape.clone()),
        ("scale", data_type::FLOAT, scales.clone()),
        ("zero_point", code_type, scales),
    ];
    let planes = planes.map(|(ending, data_type, shape)| PlaneInfo {
        name: draft.names.unique(&format!("{name}_{ending}")),
        data_type,
        shape,
    });
    let inputs = planes.each_ref().map(|plane| plane.name.clone());
    let tensor = OutputTensor {
        name: inputs[0].clone(),
        shape,
        encoding: Encoding::Affine(spec.clone()),
        source: match dtype {
            DType::F32 => Expr::input(key),
            // Scales are of f32, as are activations.
            _ => Expr::input(key).cast(DType::F32),
        },
        importance: None,
    };
    draft.add(tensor, 0, planes.into())?;
    Ok(inputs)
}

/// A `DequantizeLinear` of codes, scales and zero points.
fn put_dequantize(
    draft: &mut Draft<'_>,
    name: &str,
    inputs: &[String; 3],
    axis: Option<usize>,
    scheme: Scheme,
) -> String {
    let output = draft
        .names
        .unique(&format!("{name}_DequantizeLinear_Output"));
    let node = draft.names.unique(&format!("{name}_DequantizeLinear"));
    let inputs = inputs.each_ref().map(String::as_str);
    let names = ["DequantizeLinear", scheme.domain, &node];
    let axis = axis.map(|axis| ("axis", axis as i64));
    let node = make_node(names, &inputs, &[&output], axis.as_slice());
    draft.put_first(0, node);
    output
}

/// The codes of a bias in steps of the products' scales, so that it is added to their sums: the name.
pub(super) fn stored_bias(draft: &mut Draft<'_>, bias: usize, scales: &[f32]) -> Result<String> {
    let name = draft.graphs.weights[bias].name;
    let (shape, codes) = rounded_bias(draft, bias, scales)?;
    let [codes] = add_planes(draft, name, [("quantized", data_type::INT32, shape, codes)]);
    Ok(codes)
}

/// The shape of a bias, and its codes.
fn rounded_bias(draft: &Draft<'_>, bias: usize, scales: &[f32]) -> Result<(Vec<usize>, Vec<u8>)> {
    let Some(info) = draft.info(bias) else {
        let name = draft.graphs.weights[bias].name;
        return Err(Error::unsupported("has elements that are no plain floats").in_tensor(name));
    };
    let values = floats(&draft.model().read(&info.name)?);
    let codes = values.iter().zip(scales.iter().cycle());
    let codes = codes.map(|(value, scale)| {
        // Beyond the integers it saturates.
        (f64::from(*value) / f64::from(*scale)).round_ties_even() as i32
    });
    let codes = codes.flat_map(i32::to_le_bytes).collect();
    Ok((info.shape.clone(), codes))
}

/// A bias in the same steps. The name of what comes out of its `DequantizeLinear`.
pub(super) fn put_bias(
    draft: &mut Draft<'_>,
    bias: usize,
    scales: &[f32],
    scheme: Scheme,
) -> Result<String> {
    let name = draft.graphs.weights[bias].name;
    let (shape, codes) = rounded_bias(draft, bias, scales)?;
    let raw: Vec<u8> = scales.iter().copied().flat_map(f32::to_le_bytes).collect();
    let zeros = vec![0; raw.len()];
    let planes = [
        ("quantized", data_type::INT32, shape, codes),
        ("quantized_scale", data_type::FLOAT, vec![scales.len()], raw),
        (
            "quantized_zero_point",
            data_type::INT32,
            vec![scales.len()],
            zeros,
        ),
    ];
    let inputs = add_planes(draft, name, planes);
    Ok(put_dequantize(draft, name, &inputs, Some(0), scheme))
}

/// Adds planes whose elements are known. Their names.
pub(super) fn add_planes<const N: usize>(
    draft: &mut Draft<'_>,
    name: &str,
    planes: [(&str, i64, Vec<usize>, Vec<u8>); N],
) -> [String; N] {
    planes.map(|(ending, data_type, shape, raw)| {
        let plane = PlaneInfo {
            name: draft.names.unique(&format!("{name}_{ending}")),
            data_type,
            shape,
        };
        draft.add_constant(0, &plane, &raw);
        plane.name
    })
}

/// Adds a short constant whose codes are known. The name of what comes out of its `DequantizeLinear`.
pub(super) fn put_codes(
    draft: &mut Draft<'_>,
    weight: usize,
    values: &[f32],
    params: Params,
    scheme: Scheme,
) -> String {
    let name = draft.graphs.weights[weight].name;
    let inputs = stored_codes(draft, weight, values, params, scheme);
    put_dequantize(draft, name, &inputs, None, scheme)
}

/// The same: the names of codes, scale and zero point.
pub(super) fn stored_codes(
    draft: &mut Draft<'_>,
    weight: usize,
    values: &[f32],
    params: Params,
    scheme: Scheme,
) -> [String; 3] {
    let name = draft.graphs.weights[weight].name;
    let shape = draft.info(weight).map(|info| info.shape.clone());
    let zero = f64::from(params.zero);
    let most = scheme.levels().most;
    let codes = values.iter().map(|value| {
        let steps = (value / params.scale).round_ties_even();
        (f64::from(steps) + zero).clamp(0.0, most) as u16
    });
    let wide = scheme.activation_bits > 8;
    let bytes = |code: u16| {
        code.to_le_bytes()
            .into_iter()
            .take(if wide { 2 } else { 1 })
    };
    let code_type = if wide {
        data_type::UINT16
    } else {
        data_type::UINT8
    };
    let planes = [
        (
            "quantized",
            code_type,
            shape.unwrap_or_default(),
            codes.flat_map(bytes).collect(),
        ),
        (
            "scale",
            data_type::FLOAT,
            Vec::new(),
            params.scale.to_le_bytes().to_vec(),
        ),
        (
            "zero_point",
            code_type,
            Vec::new(),
            bytes(params.zero).collect::<Vec<_>>(),
        ),
    ];
    add_planes(draft, name, planes)
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let each = bytes.as_chunks::<4>().0.iter();
    each.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Whether a constant is of the main graph, never changes, and has elements of f32.
pub(super) fn is_float(draft: &Draft<'_>, weight: usize) -> bool {
    let constant = &draft.graphs.weights[weight];
    let info = draft.info(weight);
    let is_float = info.is_some_and(|info| info.dtype == DType::F32 && info.elements() > 0);
    is_float && constant.graph == 0 && draft.is_constant(constant)
}

/// Hands all elements of a tensor of f32 to `look`, in pieces, with the index of the first.
pub(super) fn each_piece(
    model: &Model,
    info: &TensorInfo,
    look: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    /// Bytes of a piece.
    const PIECE: usize = 1 << 20;
    let index = model.index_of(&info.name).unwrap_or_default();
    let mut bytes = Vec::new();
    for start in (0..info.nbytes()).step_by(PIECE) {
        bytes.resize(PIECE.min(info.nbytes() - start), 0);
        model.read_at(index, start as u64, &mut bytes)?;
        look(start / size_of::<f32>(), &floats(&bytes))?;
    }
    Ok(())
}

/// The scales that a constant will get.
pub(super) fn scales_at(draft: &Draft<'_>, weight: usize, spec: &AffineSpec) -> Result<Vec<f32>> {
    if let Some(grid) = draft.given.get(&weight) {
        return Ok(grid.scales.clone());
    }
    grid_at(draft, weight, spec).map(|(scales, _)| scales)
}

/// The scales and zero points that a constant will get: a pass over its elements.
pub(super) fn grid_at(
    draft: &Draft<'_>,
    weight: usize,
    spec: &AffineSpec,
) -> Result<(Vec<f32>, Vec<i64>)> {
    let (model, Some(info)) = (draft.model(), draft.info(weight)) else {
        return Ok(Default::default());
    };
    let layout = AffineLayout::new(spec, &info.shape)?;
    let options = CodecOptions::default();
    let mut statistics = AffineStatistics::new(&layout, info.dtype);
    while statistics.wants_pass() {
        each_piece(model, info, &mut |first, values| {
            statistics.observe(first, Floats::F32(values), &options)
        })?;
        statistics.end_pass()?;
    }
    let encoder = AffineEncoder::new(&layout, &options, statistics)?;
    let mut scales = vec![0; layout.scales().bytes];
    let mut zeros = vec![0; layout.zeros().map_or(0, |zeros| zeros.bytes)];
    encoder.store_shared(&mut AffinePlanesMut {
        codes: &mut [],
        scales: &mut scales,
        zeros: &mut zeros,
    });
    let scales = floats(&scales);
    let zeros = match (spec.symmetric, spec.bits) {
        // Zero is the code 0.
        (true, _) => vec![0; scales.len()],
        (false, 16) => {
            let (zeros, _) = zeros.as_chunks::<2>();
            let each = zeros.iter().map(|bytes| u16::from_le_bytes(*bytes).into());
            each.collect()
        }
        (false, _) => zeros.iter().map(|zero| i64::from(*zero)).collect(),
    };
    Ok((scales, zeros))
}

//! Tensors that are quantized already, repacked as they are.

use super::MlxPlan;
use crate::affine::{AffineSpec, Element, Group};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::mlx::{Draft, LayerQuantization, Mode, Weight};
use crate::model::Plan;
use crate::tensor::Encoding;
use crate::transcode::{TargetWish, block_target};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Keeps the codes and scales of every tensor: blocks become MLX's planes, without loss, all else stays
/// as it is stored. What does not fit is refused: its type here, its numbers when the job meets them.
///
/// # Errors
/// `unsupported`, naming the first tensor whose type no mode of MLX can hold.
pub fn exact_plan(draft: Draft) -> Result<MlxPlan> {
    let mut plan = Plan {
        notes: draft.notes,
        ..Plan::default()
    };
    let mut layers = Vec::new();
    for Weight { mut tensor, .. } in draft.weights {
        let dtype = tensor.encoding.block()?;
        if dtype.is_quantized() {
            let (spec, layer) = planes(dtype).map_err(|e| e.in_tensor(&tensor.name))?;
            tensor.encoding = Encoding::Affine(spec);
            let path = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
            layers.push((path.to_owned(), layer));
        }
        plan.tensors.push(tensor);
    }
    let mut document = draft.document;
    for name in ["quantization", "quantization_config"] {
        document.config.shift_remove(name);
        if !layers.is_empty() {
            let entries = Value::Object(entries(&layers));
            document.config.insert(name.to_owned(), entries);
        }
    }
    Ok(MlxPlan { plan, document })
}

/// What blocks of a type are in MLX.
fn planes(dtype: DType) -> Result<(AffineSpec, LayerQuantization)> {
    let Encoding::Affine(spec) = block_target(dtype, "mlx", &TargetWish::default())? else {
        return Err(Error::unsupported(format!("{dtype} has no planes in MLX")));
    };
    let Group::Blocks(group_size) = spec.group else {
        return Err(Error::unsupported(format!("{dtype} has no groups")));
    };
    let layer = LayerQuantization {
        mode: match (spec.element, group_size) {
            (Element::E2M1, 16) => Mode::Nvfp4,
            (Element::E2M1, _) => Mode::Mxfp4,
            (Element::E4M3, _) => Mode::Mxfp8,
            _ => Mode::Affine,
        },
        bits: spec.bits,
        group_size,
    };
    match layer.check() {
        Ok(()) => Ok((spec, layer)),
        Err(_) => Err(Error::unsupported(format!(
            "{dtype} has {} bits in groups of {group_size}, which MLX has no kernels for; quantize it again, without --exact",
            spec.bits
        ))),
    }
}

/// The entry of config.json: what most layers are, and what each of the others is.
fn entries(layers: &[(String, LayerQuantization)]) -> Map<String, Value> {
    let mut counts: HashMap<LayerQuantization, usize> = HashMap::new();
    for (_, layer) in layers {
        *counts.entry(*layer).or_default() += 1;
    }
    // The first of those that are as many, whatever the map's order.
    let most = counts.values().max().copied().unwrap_or(0);
    let usual = layers.iter().find(|(_, layer)| counts[layer] == most);
    let Some((_, usual)) = usual else {
        return Map::new();
    };
    let mut entries = usual.to_json();
    for (path, layer) in layers.iter().filter(|(_, layer)| layer != usual) {
        entries.insert(path.clone(), Value::Object(layer.to_json()));
    }
    entries
}

//! The keys of the output: what llama-quantize sets, and what was asked for.

use crate::dtype::DType;
use crate::error::Result;
use crate::format::gguf::split;
use crate::model::{Edit, ImportanceSummary, TensorInfo, Value};
use crate::recipe::hyper::Keys;
use crate::recipe::name::Recipe;
use crate::recipe::options::{OVERRIDE_BYTES, QuantizeOptions};
use crate::recipe::order::output_order;
use bstr::BString;
use std::collections::BTreeMap;

/// ggml's version of the quantized formats, in `general.quantization_version`.
const QUANTIZATION_VERSION: u32 = 2;

/// Added to a file type that was guessed from the tensors.
const GUESSED: u32 = 1024;

/// The file type of mostly NVFP4, which is no recipe.
const NVFP4: u32 = 39;

/// All edits, in llama-quantize's order: each one puts its key last.
///
/// `tensors` are the input's; `layers_left` is set if layers were left out.
pub(super) fn edits(
    keys: &Keys<'_>,
    recipe: Recipe,
    options: &QuantizeOptions,
    importance: Option<&ImportanceSummary>,
    tensors: &[TensorInfo],
    layers_left: Option<u32>,
) -> Result<Vec<Edit>> {
    let mut edits = vec![
        Edit::set("general.quantization_version", QUANTIZATION_VERSION),
        Edit::set("general.file_type", file_type(keys, recipe, tensors)?),
    ];
    edits.extend(split::KEYS.map(|key| Edit::Remove { key: key.into() }));
    let wishes = options.override_kv.iter();
    edits.extend(wishes.map(|o| Edit::set(o.key.as_str(), o.value.stored())));
    edits.extend(importance.map(importance_keys).into_iter().flatten());
    if let Some(layers) = layers_left {
        edits.push(Edit::set(
            format!("{}.block_count", keys.architecture()),
            layers,
        ));
    }
    Ok(edits)
}

/// The keys that record the importance matrix.
fn importance_keys(importance: &ImportanceSummary) -> Vec<Edit> {
    // llama.cpp keeps them in strings of C, which end with the first NUL.
    let cut = |text: &BString| {
        let bytes = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Value::String(bytes[..bytes.len().min(OVERRIDE_BYTES)].into())
    };
    let mut edits = Vec::new();
    if let Some(file) = &importance.file {
        edits.push(Edit::set("quantize.imatrix.file", cut(file)));
    }
    if let Some(dataset) = &importance.dataset {
        edits.push(Edit::set("quantize.imatrix.dataset", cut(dataset)));
    }
    let entries = importance.entries.len() as u32;
    edits.push(Edit::set("quantize.imatrix.entries_count", entries));
    if let Some(chunks) = importance.chunks.filter(|&chunks| chunks > 0) {
        edits.push(Edit::set("quantize.imatrix.chunks_count", chunks));
    }
    edits
}

/// The output's `general.file_type`.
fn file_type(keys: &Keys<'_>, recipe: Recipe, tensors: &[TensorInfo]) -> Result<u32> {
    if recipe != Recipe::Copy {
        return Ok(recipe.file_type());
    }
    match keys.number("general.file_type")? {
        Some(number) => Ok(number),
        None => Ok(GUESSED | named_after(most_frequent(tensors)?)),
    }
}

/// The type of most tensors; of two with equally many, the one that got there first in output
/// order.
fn most_frequent(tensors: &[TensorInfo]) -> Result<DType> {
    let mut counts = BTreeMap::new();
    let mut most = (0, DType::F32);
    for kept in output_order(tensors, &[])?.0 {
        let dtype = kept.tensor.dtype;
        let count = counts.entry(dtype).or_insert(0);
        *count += 1;
        if *count > most.0 {
            most = (*count, dtype);
        }
    }
    Ok(most.1)
}

/// Names the file after the blocks that most of its weights are in; gpt-oss's files have a name of their
/// own.
#[cfg(feature = "hf")]
pub(crate) fn name_file_type(plan: &mut crate::model::Plan) {
    let mut counts: BTreeMap<DType, u64> = BTreeMap::new();
    for tensor in &plan.tensors {
        if let Ok(dtype) = tensor.encoding.block()
            && dtype.is_quantized()
        {
            *counts.entry(dtype).or_default() += tensor.elements().unwrap_or(0);
        }
    }
    let most = counts.iter().max_by_key(|(_, count)| **count);
    if let Some((dtype, _)) = most.filter(|(dtype, _)| **dtype != DType::Mxfp4) {
        plan.edits
            .push(Edit::set("general.file_type", named_after(*dtype)));
    }
}

/// The file type that llama.cpp guesses from the type of most tensors; that of f32 if it has none.
fn named_after(dtype: DType) -> u32 {
    let medium = match dtype {
        DType::Q2K => Recipe::Q2K,
        DType::Q3K => Recipe::Q3KM,
        DType::Q4K => Recipe::Q4KM,
        DType::Q5K => Recipe::Q5KM,
        DType::Iq2S => Recipe::Iq2S,
        DType::Iq3S => Recipe::Iq3S,
        DType::Nvfp4 => return NVFP4,
        DType::Mxfp4 => return Recipe::F32.file_type(),
        _ => *Recipe::ALL
            .iter()
            .find(|recipe| recipe.dtype() == dtype)
            .unwrap_or(&Recipe::F32),
    };
    medium.file_type()
}

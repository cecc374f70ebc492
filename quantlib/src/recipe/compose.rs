//! Two plans in one pass: convert to a GGUF that is never written, and quantize that.

use crate::error::{Error, Result};
use crate::model::{Expr, Metadata, OutputTensor, Plan};
use crate::recipe::name::Recipe;
use crate::recipe::options::QuantizeOptions;
use crate::recipe::plan::{Header, plan};
use crate::tensor::Encoding;
use std::collections::HashMap;

/// Plans `recipe` for the GGUF that `convert` describes, straight from the input of `convert`,
/// whose document is `document`. The output is that of both plans one after the other.
///
/// # Errors
/// Those of [`plan`], and `unsupported` if `convert` quantizes a tensor that the recipe changes.
pub fn plan_after(
    convert: &Plan,
    document: &Metadata,
    recipe: Recipe,
    options: &QuantizeOptions,
) -> Result<Plan> {
    let tensors = convert.tensors.iter().map(OutputTensor::info);
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let header = Header {
        tensors: &tensors,
        metadata: &convert.apply_edits(document.clone()),
        files: &[],
    };
    compose(convert, &plan(&header, recipe, options)?)
}

/// Joins two plans, the second of which reads what the first would write.
///
/// Values are rounded to the intermediate type on the way, so that nothing differs from the file
/// that would have been between.
///
/// # Errors
/// `malformed` if the second plan reads a tensor that the first does not write, `unsupported` if
/// the first one quantizes it and the second changes it.
pub fn compose(first: &Plan, second: &Plan) -> Result<Plan> {
    let written: HashMap<_, _> = first
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let tensors = second
        .tensors
        .iter()
        .map(|tensor| join(&written, tensor).map_err(|e| e.in_tensor(&tensor.name)))
        .collect::<Result<_>>()?;
    let both = |a: &[String], b: &[String]| [a, b].concat();
    Ok(Plan {
        tensors,
        edits: first.edits.iter().chain(&second.edits).cloned().collect(),
        parts: second.parts.clone(),
        notes: both(&first.notes, &second.notes),
    })
}

fn join(written: &HashMap<&str, &OutputTensor>, tensor: &OutputTensor) -> Result<OutputTensor> {
    for name in tensor.source.inputs() {
        let first = written
            .get(name)
            .ok_or_else(|| Error::malformed(format!("its source '{name}' is not converted")))?;
        let dtype = first.encoding.block()?;
        if first.encoding != tensor.encoding && !dtype.is_plain_float() {
            return Err(Error::unsupported(format!(
                "{dtype} between the source and the output; convert to f32, f16 or bf16 first"
            )));
        }
    }
    // Values that stay in the intermediate type are rounded to it by being encoded.
    let through = |name: &str| match written.get(name) {
        Some(first) if first.encoding == tensor.encoding => first.source.clone(),
        Some(OutputTensor {
            encoding: Encoding::Block(dtype),
            source,
            ..
        }) => source.clone().cast(*dtype),
        _ => Expr::input(name),
    };
    Ok(OutputTensor {
        source: tensor.source.substitute(&through),
        ..tensor.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::model::{Edit, Value};

    fn tensor(name: &str, dtype: DType, source: Expr) -> OutputTensor {
        OutputTensor {
            name: name.into(),
            shape: vec![4, 256],
            encoding: Encoding::Block(dtype),
            source,
            importance: None,
        }
    }

    fn conversion(dtype: DType) -> Plan {
        Plan {
            tensors: vec![
                tensor("output_norm.weight", DType::F32, Expr::input("norm")),
                tensor("token_embd.weight", dtype, Expr::input("embed")),
            ],
            edits: vec![
                Edit::set("general.architecture", "llama"),
                Edit::set("general.file_type", 32u32),
                Edit::set("llama.block_count", 1u32),
            ],
            ..Plan::default()
        }
    }

    #[test]
    fn values_pass_through_the_type_between() {
        let joined = plan_after(
            &conversion(DType::BF16),
            &Metadata::new(),
            Recipe::Q8_0,
            &QuantizeOptions::default(),
        )
        .unwrap();
        assert_eq!(
            joined.tensors,
            [
                tensor("output_norm.weight", DType::F32, Expr::input("norm")),
                tensor(
                    "token_embd.weight",
                    DType::Q8_0,
                    Expr::input("embed").cast(DType::BF16)
                ),
            ]
        );
        let document = joined.apply_edits(Metadata::new());
        let keys: Vec<_> = document.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "general.architecture",
                "llama.block_count",
                "general.quantization_version",
                "general.file_type"
            ]
        );
        assert_eq!(document["general.file_type"], Value::U32(7));
    }

    #[test]
    fn blocks_between_are_refused_unless_they_stay() {
        let quantize = |recipe, allow| {
            let options = QuantizeOptions {
                allow_requantize: allow,
                ..QuantizeOptions::default()
            };
            plan_after(&conversion(DType::Q8_0), &Metadata::new(), recipe, &options)
        };
        let kept = quantize(Recipe::Q8_0, false).unwrap();
        assert_eq!(kept.tensors[1].source, Expr::input("embed"));
        assert!(quantize(Recipe::F16, true).is_err());
        assert!(compose(&Plan::default(), &kept).is_err());
    }
}

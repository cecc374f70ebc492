//! Embeddings in 4 bits: `GatherBlockQuantized`, which decodes the rows that are asked for.

use super::draft::Draft;
use super::weight_only::MICROSOFT;
use crate::format::onnx::{Message, Node, make_node};
use crate::model::TensorInfo;

/// Why an embedding cannot be quantized, if it cannot.
pub(super) fn fits(info: &TensorInfo, bits: u8) -> Result<(), String> {
    match (bits, info.shape.len()) {
        (4, 2) => Ok(()),
        (4, _) => Err(format!(
            "its weight has the shape {:?}, no matrix",
            info.shape
        )),
        _ => Err("embeddings are quantized to 4 bits only".to_owned()),
    }
}

/// The node in the place of a `Gather`.
pub(super) fn node(
    draft: &mut Draft<'_>,
    gather: &Node<'_>,
    planes: &[String],
    info: &TensorInfo,
    block_size: usize,
) -> Message {
    let rank = info.shape.len() as i64;
    let attributes = [
        ("gather_axis", gather.int("axis").unwrap_or(0)),
        ("quantize_axis", rank - 1),
        ("block_size", block_size as i64),
    ];
    let mut inputs = vec![&planes[0][..], gather.input(1)];
    inputs.extend(planes[1..].iter().map(String::as_str));
    let outputs: Vec<_> = gather.outputs().collect();
    let name = match gather.name() {
        "" => String::new(),
        name => draft.names.unique(&format!("{name}_Q4")),
    };
    make_node(
        ["GatherBlockQuantized", MICROSOFT, &name],
        &inputs,
        &outputs,
        &attributes,
    )
}

//! Weights of f16 where the model calculates in f32: a `Cast` stands between, which onnxruntime does once,
//! when it loads the model.

use super::draft::{Draft, Place, PlaneInfo};
use crate::dtype::DType;
use crate::error::Result;
use crate::format::onnx::{Node, data_type, make_node};
use crate::model::{Expr, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use std::collections::HashMap;

/// Weights that are stored as f16 already, and what comes out of their casts.
#[derive(Default)]
pub(super) struct Narrow {
    done: HashMap<usize, String>,
}

impl Narrow {
    /// Stores the weight of a node, its input 1, as f16.
    pub(super) fn apply(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
    ) -> Result<()> {
        let wide = match self.done.get(&weight) {
            Some(wide) => wide.clone(),
            None => {
                let wide = put(draft, (weight, info))?;
                self.done.entry(weight).or_insert(wide).clone()
            }
        };
        draft.replace_node(place, vec![node.with_input(1, &wide)]);
        draft.release(weight);
        Ok(())
    }
}

/// Plans the f16 of a weight and its cast, in the weight's graph. The name of what is cast.
fn put(draft: &mut Draft<'_>, (weight, info): (usize, &TensorInfo)) -> Result<String> {
    let it = &draft.graphs.weights[weight];
    let (name, graph) = (it.name, it.graph);
    let [stored, wide, cast] =
        ["f16", "f16_output", "f16_Cast"].map(|part| draft.names.unique(&format!("{name}_{part}")));
    let tensor = OutputTensor {
        name: stored.clone(),
        shape: info.shape.clone(),
        encoding: Encoding::Block(DType::F16),
        source: Expr::input(&info.name).narrow(),
        importance: None,
    };
    let plane = PlaneInfo {
        name: stored.clone(),
        data_type: data_type::FLOAT16,
        shape: info.shape.clone(),
    };
    draft.add(tensor, graph, vec![plane])?;
    let to = [("to", data_type::FLOAT)];
    let node = make_node(["Cast", "", &cast], &[&stored], &[&wide], &to);
    draft.put_first(graph, node);
    Ok(wide)
}

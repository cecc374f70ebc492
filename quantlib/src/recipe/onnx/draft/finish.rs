//! The end of a plan's making: what stays is copied, and the edits are made.

use super::super::OnnxPlan;
use super::Draft;
use super::edits::{Fate, edit_initializers};
use crate::error::Result;
use crate::format::onnx::schema::{model as root, operator_set, tensor as tensor_field};
use crate::format::onnx::{Bytes, Document, Message, Origin, each_graph_mut};
use crate::model::{Expr, OutputTensor};
use crate::tensor::Encoding;
use std::collections::HashMap;

impl Draft<'_> {
    /// Plans copies of the initializers that stay, and makes the edits.
    pub(in crate::recipe::onnx) fn finish(mut self) -> Result<OnnxPlan> {
        self.drop_weights();
        let copies = self.copies();
        let mut document = self.document.clone();
        let drop_inputs = self.least_ir >= 4 && document.ir_version() < 4;
        self.edit_model(&mut document);
        each_graph_mut(&mut document, &mut |id, message| {
            let fates = copies.get(&id).map_or(&[][..], Vec::as_slice);
            edit_initializers(message, fates, drop_inputs);
            if let Some(edits) = self.edits.remove(&id) {
                edits.make(message);
            }
        });
        Ok(OnnxPlan {
            model: self.model,
            plan: self.plan,
            document,
            encodings: self.encodings,
        })
    }

    /// Whether nobody uses a weight any more whom somebody used.
    fn is_dropped(&self, weight: usize) -> bool {
        let uses = self.graphs.weights[weight].uses.len();
        let released = self.released[weight];
        self.replaced.contains(&weight) || (released > 0 && released == uses)
    }

    /// Takes `Constant` nodes that nobody uses any more out, and tells of weights in two forms.
    fn drop_weights(&mut self) {
        for index in 0..self.graphs.weights.len() {
            let weight = &self.graphs.weights[index];
            let (name, uses) = (weight.name, weight.uses.len());
            let (graph, origin) = (weight.graph, weight.origin);
            if let (true, Origin::Constant(node)) = (self.is_dropped(index), origin) {
                self.edits(graph).nodes.insert(node, Vec::new());
            }
            let left = uses - self.released[index].min(uses);
            if self.released[index] > 0 && left > 0 {
                self.note(format!(
                    "'{name}' is stored twice: {left} of its {uses} uses are not quantized"
                ));
            }
        }
    }

    /// For each graph what becomes of its initializers in their order.
    fn copies(&mut self) -> HashMap<usize, Vec<Fate>> {
        let mut fates: HashMap<usize, Vec<Fate>> = HashMap::new();
        for (index, weight) in self.graphs.weights.iter().enumerate() {
            if matches!(weight.origin, Origin::Constant(_)) {
                continue;
            }
            let mut fate = match self.is_dropped(index) {
                true => Fate::Dropped,
                false => Fate::Kept,
            };
            let key = self.keys[index].as_deref();
            let info = key.and_then(|key| self.model.tensor(key));
            if let (Fate::Kept, Some(info), Some(len)) = (&fate, info, stored(weight.tensor)) {
                let slot = self.slots;
                self.slots += 1;
                fate = Fate::Later(Bytes::Later { slot, len });
                self.plan.tensors.push(OutputTensor {
                    name: info.name.clone(),
                    shape: info.shape.clone(),
                    encoding: Encoding::Block(info.dtype),
                    source: Expr::input(&info.name),
                    importance: None,
                });
            }
            fates.entry(weight.graph).or_default().push(fate);
        }
        fates
    }

    fn edit_model(&self, document: &mut Document) {
        let ir = document.ir_version();
        let model = document.model_mut();
        if ir < self.least_ir {
            model.set(root::IR_VERSION, self.least_ir);
        }
        for &(domain, version) in &self.opsets {
            let is_it = |import: &Message| import.text(operator_set::DOMAIN) == domain;
            if !model.messages(root::OPSET_IMPORT).any(is_it) {
                let mut import = Message::new();
                import.push(operator_set::DOMAIN, domain);
                import.push(operator_set::VERSION, version);
                model.push(root::OPSET_IMPORT, import);
            }
        }
    }
}

/// The number of a tensor's bytes, if they are raw and lie in a file.
fn stored(tensor: &Message) -> Option<u64> {
    match tensor.bytes(tensor_field::RAW_DATA) {
        Some(Bytes::Stored { len, .. }) => Some(*len),
        _ => None,
    }
}

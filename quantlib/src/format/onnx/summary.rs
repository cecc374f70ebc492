//! What a model says of itself, as metadata.

use super::document::Document;
use super::element::Element;
use super::node::Node;
use super::schema::{
    Kind, dimension, graph, model, property, shape, tensor_type, value, value_type,
};
use super::tensor::Tensor;
use super::walk::each_of;
use super::wire::Message;
use crate::model::{Array, Metadata, StringArray, Value};
use std::collections::BTreeMap;

/// Versions, operator sets, inputs and outputs, numbers of nodes, and the model's own properties.
pub(super) fn metadata(document: &Document, newest: i64) -> Metadata {
    let (root, main) = (document.model(), document.graph());
    let mut metadata = Metadata::new();
    let mut set = |key: String, value: Value| {
        metadata.insert(key, value);
    };
    set("onnx.ir_version".into(), Value::I64(document.ir_version()));
    if document.ir_version() > newest {
        set("onnx.newer_than_known".into(), Value::Bool(true));
    }
    for (domain, version) in document.opsets() {
        set(format!("onnx.opset.{domain}"), Value::I64(version));
    }
    for (key, number) in [
        ("producer_name", model::PRODUCER_NAME),
        ("producer_version", model::PRODUCER_VERSION),
        ("domain", model::DOMAIN),
        ("doc_string", model::DOC_STRING),
    ] {
        if let text @ [_, ..] = root.text(number).as_bytes() {
            set(format!("onnx.{key}"), Value::String(text.into()));
        }
    }
    if let Some(version) = root.int(model::MODEL_VERSION) {
        set("onnx.model_version".into(), Value::I64(version));
    }
    set(
        "onnx.graph".into(),
        Value::String(main.text(graph::NAME).into()),
    );
    set("onnx.inputs".into(), values(main, graph::INPUT));
    set("onnx.outputs".into(), values(main, graph::OUTPUT));
    for (key, count) in counts(root, main) {
        set(format!("onnx.{key}"), Value::U64(count));
    }
    for property in root.messages(model::METADATA_PROPS) {
        let value = property.text(property::VALUE).into();
        let key = property.text(property::KEY);
        set(format!("onnx.property.{key}"), Value::String(value));
    }
    metadata
}

/// How many there are of what; nodes of subgraphs and functions count too.
fn counts(root: &Message, main: &Message) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |key: String, more: usize| {
        *counts.entry(key).or_default() += more as u64;
    };
    let (mut nodes, mut graphs) = (0, 0);
    each_of(Kind::Node, root, Kind::Model, &mut |each| {
        nodes += 1;
        count(format!("nodes.{}", Node::new(each).operator()), 1);
    });
    count("nodes".into(), nodes);
    each_of(Kind::Graph, root, Kind::Model, &mut |each| {
        graphs += 1;
        if !std::ptr::eq(each, main) {
            let tensors = each.messages(graph::INITIALIZER).count();
            count("subgraph_initializers".into(), tensors);
        }
    });
    count("subgraphs".into(), graphs - 1);
    let tensors = main.messages(graph::INITIALIZER).map(Tensor::new);
    let others = tensors.filter(|tensor| tensor.dtype().is_none());
    others.for_each(|tensor| count(format!("other_initializers.{}", tensor.type_name()), 1));
    let sparse = main.messages(graph::SPARSE_INITIALIZER).count();
    count("sparse_initializers".into(), sparse);
    let functions = root.messages(model::FUNCTIONS).count();
    count("functions".into(), functions);
    counts.retain(|key, count| *count > 0 || key == "nodes");
    counts
}

/// Names with types and shapes: `input_ids: i64[batch,128]`.
fn values(main: &Message, number: u32) -> Value {
    let mut strings = StringArray::default();
    for each in main.messages(number) {
        let name = each.text(value::NAME);
        let tensor = each
            .message(value::TYPE)
            .and_then(|kind| kind.message(value_type::TENSOR_TYPE));
        match tensor {
            Some(tensor) => strings.push(format!("{name}: {}", typed(tensor))),
            None => strings.push(name),
        }
    }
    Value::Array(Array::String(strings))
}

fn typed(tensor: &Message) -> String {
    let element = tensor.int(tensor_type::ELEM_TYPE).and_then(Element::of);
    let name = element.map_or("unknown", |element| element.name);
    let Some(dims) = tensor.message(tensor_type::SHAPE) else {
        return name.to_owned();
    };
    let dims = dims.messages(shape::DIM).map(|dim| {
        match (
            dim.int(dimension::DIM_VALUE),
            dim.text(dimension::DIM_PARAM),
        ) {
            (Some(len), _) => len.to_string(),
            (None, "") => "?".to_owned(),
            (None, name) => name.to_owned(),
        }
    });
    format!("{name}[{}]", dims.collect::<Vec<_>>().join(","))
}

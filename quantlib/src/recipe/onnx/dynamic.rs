//! `dynamic-int8`: products of integers. Weights are quantized now; activations when the model runs,
//! each tensor by its own range.

use super::draft::{Draft, Place, PlaneInfo};
use super::matrix::{Matrix, odd_gemm, split_bias, suits};
use super::{Done, OnnxQuantization};
use crate::affine::{AffineSpec, Element, Formula, Group, Zero};
use crate::dtype::DType;
use crate::error::Result;
use crate::format::onnx::schema::node as node_field;
use crate::format::onnx::{Message, Node, data_type, make_node};
use crate::model::{Expr, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use std::collections::HashMap;

/// The names of what stands for a tensor: codes, scale, zero point.
type Quantized = [String; 3];

/// The recipe at work: weights and activations that several nodes share are quantized once.
pub(super) struct Dynamic<'w> {
    wish: &'w OnnxQuantization,
    weights: HashMap<(usize, Form), Quantized>,
    /// By graph and value: a branch does not see what another calculated.
    activations: HashMap<(usize, String), Quantized>,
}

/// How a weight is quantized.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// As (…, K, N), with a scale for each column of a matrix or for all; whether it is stored as (N, K).
    Product(bool),
    /// With a scale for all.
    Whole,
    /// The same, unsigned and in the full range whatever was asked for: as onnxruntime has it.
    Embedding,
}

/// `MatMulInteger` came with 10, `DynamicQuantizeLinear` with 11.
const OPSET: i64 = 11;

impl<'w> Dynamic<'w> {
    pub(super) fn new(wish: &'w OnnxQuantization) -> Self {
        Self {
            wish,
            weights: HashMap::new(),
            activations: HashMap::new(),
        }
    }

    /// Quantizes a node, as onnxruntime's `quantize_dynamic` does.
    pub(super) fn apply(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        weight: usize,
    ) -> Result<Done> {
        draft.need_version(OPSET, "dynamic quantization", "")?;
        let info = match suits(draft, weight) {
            Ok(info) if info.dtype == DType::F32 => info,
            Ok(info) => {
                return Ok(Err(format!(
                    "its weight is stored as {}, and DynamicQuantizeLinear takes only f32",
                    info.dtype
                )));
            }
            Err(why) => return Ok(Err(why)),
        };
        draft.need_ir(4);
        let nodes = match node.op_type() {
            "Gather" => self.gather(draft, node, (weight, &info))?,
            "Conv" => self.conv(draft, place, node, (weight, &info))?,
            _ => match Matrix::new(info, node).and_then(|matrix| odd_gemm(node).map(|()| matrix)) {
                Ok(matrix) => self.product(draft, place, node, (weight, &matrix))?,
                Err(why) => return Ok(Err(why)),
            },
        };
        draft.replace_node(place, nodes);
        draft.release(weight);
        Ok(Ok(()))
    }

    fn product(
        &mut self,
        draft: &mut Draft<'_>,
        (graph, _): Place,
        node: &Node<'_>,
        (weight, matrix): (usize, &Matrix),
    ) -> Result<Vec<Message>> {
        let form = Form::Product(matrix.is_transposed);
        let right = self.weight(draft, (weight, &matrix.info), form)?;
        let mut nodes = Vec::new();
        let left = self.activation(draft, graph, node.input(0), &mut nodes);
        // What onnxruntime's tool calls the product in a Gemm.
        let name = match (node.name(), node.is("Gemm")) {
            ("", _) => String::new(),
            (name, true) => format!("{name}_MatMul"),
            (name, false) => name.to_owned(),
        };
        let (scaled, sum) = split_bias(draft, node);
        let integers = |name: &str, output: &str| {
            let inputs = [&left[0], &right[0], &left[2], &right[2]].map(String::as_str);
            make_node(["MatMulInteger", "", name], &inputs, &[output], &[])
        };
        scale(
            draft,
            &name,
            &scaled,
            [&left[1], &right[1]],
            integers,
            &mut nodes,
        );
        nodes.extend(sum);
        Ok(nodes)
    }

    fn conv(
        &mut self,
        draft: &mut Draft<'_>,
        (graph, _): Place,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
    ) -> Result<Vec<Message>> {
        let right = self.weight(draft, (weight, info), Form::Whole)?;
        let mut nodes = Vec::new();
        let left = self.activation(draft, graph, node.input(0), &mut nodes);
        let output = node.outputs().next().unwrap_or_default();
        let bias = node.input(2);
        let scaled = match bias.is_empty() {
            true => output.to_owned(),
            false => draft.names.unique(&format!("{output}quant_scaled_output")),
        };
        let integers = |name: &str, output: &str| {
            let inputs = [&left[0], &right[0], &left[2], &right[2]].map(String::as_str);
            let mut conv = make_node(["ConvInteger", "", name], &inputs, &[output], &[]);
            let attributes = node.attributes().cloned();
            attributes.for_each(|attribute| conv.push(node_field::ATTRIBUTE, attribute));
            conv
        };
        scale(
            draft,
            node.name(),
            &scaled,
            [&left[1], &right[1]],
            integers,
            &mut nodes,
        );
        if !bias.is_empty() {
            add_bias(
                draft,
                graph,
                [&scaled, bias, output],
                info.shape.len(),
                &mut nodes,
            );
        }
        Ok(nodes)
    }

    /// Rows of codes, decoded after they were picked.
    fn gather(
        &mut self,
        draft: &mut Draft<'_>,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
    ) -> Result<Vec<Message>> {
        let [codes, scale, zero] = self.weight(draft, (weight, info), Form::Embedding)?;
        let output = node.outputs().next().unwrap_or_default();
        let picked = draft.names.unique(&format!("{output}_quantized"));
        let name = draft.names.unique(&format!("{output}_DequantizeLinear"));
        let gather = node.with_input(0, &codes);
        let gather = Node::new(&gather).with_output(0, &picked);
        let inputs = [&picked[..], &scale, &zero];
        let decode = make_node(["DequantizeLinear", "", &name], &inputs, &[output], &[]);
        Ok(vec![gather, decode])
    }

    /// The codes of what goes into a node, with the operator that makes them if this is the first.
    fn activation(
        &mut self,
        draft: &mut Draft<'_>,
        graph: usize,
        value: &str,
        nodes: &mut Vec<Message>,
    ) -> Quantized {
        let key = (graph, value.to_owned());
        if let Some(known) = self.activations.get(&key) {
            return known.clone();
        }
        let names = ["quantized", "scale", "zero_point"];
        let names = names.map(|part| draft.names.unique(&format!("{value}_{part}")));
        let name = draft.names.unique(&format!("{value}_QuantizeLinear"));
        let operator = ["DynamicQuantizeLinear", "", &name];
        let outputs = names.each_ref().map(String::as_str);
        nodes.push(make_node(operator, &[value], &outputs, &[]));
        self.activations.insert(key, names.clone());
        names
    }

    /// The initializers that take the place of a weight, made if they are not there yet.
    fn weight(
        &mut self,
        draft: &mut Draft<'_>,
        (weight, info): (usize, &TensorInfo),
        form: Form,
    ) -> Result<Quantized> {
        if let Some(known) = self.weights.get(&(weight, form)) {
            return Ok(known.clone());
        }
        let it = &draft.graphs.weights[weight];
        let (name, graph) = (it.name, it.graph);
        let names = ["quantized", "scale", "zero_point"];
        let names = names.map(|part| draft.names.unique(&format!("{name}_{part}")));
        let (mut shape, mut source) = (info.shape.clone(), Expr::input(&info.name));
        if form == Form::Product(true) {
            shape.reverse();
            source = source.transpose([1, 0]);
        }
        let spec = self.spec(form, shape.len());
        let codes = match spec.symmetric {
            true => data_type::INT8,
            false => data_type::UINT8,
        };
        let shared = match (spec.group, shape.last()) {
            (Group::Axis, Some(columns)) => vec![*columns],
            _ => Vec::new(),
        };
        let types = [codes, data_type::FLOAT, codes];
        let shapes = [shape.clone(), shared.clone(), shared];
        let planes = names.iter().zip(types).zip(shapes);
        let planes = planes.map(|((name, data_type), shape)| PlaneInfo {
            name: name.clone(),
            data_type,
            shape,
        });
        let tensor = OutputTensor {
            name: names[0].clone(),
            shape,
            encoding: Encoding::Affine(spec),
            source,
            importance: None,
        };
        draft.add(tensor, graph, planes.collect())?;
        self.weights.insert((weight, form), names.clone());
        Ok(names)
    }

    fn spec(&self, form: Form, rank: usize) -> AffineSpec {
        let wish = self.wish;
        let group = match form {
            // onnxruntime does not run stacks of matrices with a zero point for each column.
            Form::Product(_) if !wish.per_tensor && rank == 2 => Group::Axis,
            _ => Group::Tensor,
        };
        let (symmetric, reduced) = match form {
            Form::Embedding => (false, false),
            _ => (wish.symmetric, wish.reduce_range),
        };
        AffineSpec {
            element: match symmetric {
                true => Element::Signed,
                false => Element::Unsigned,
            },
            zero: Zero::Point,
            formula: match reduced {
                true => Formula::OrtReduced,
                false => Formula::OrtQdq,
            },
            ..AffineSpec::qdq(8, group, -1, symmetric, DType::F32)
        }
    }
}

/// An operator on integers, and what turns its result into floats: the product of the two scales.
fn scale(
    draft: &mut Draft<'_>,
    name: &str,
    output: &str,
    scales: [&str; 2],
    integers: impl FnOnce(&str, &str) -> Message,
    nodes: &mut Vec<Message>,
) {
    let mut unique = |wanted: String| draft.names.unique(&wanted);
    let (quant, last, both) = match name {
        "" => (
            String::new(),
            String::new(),
            unique(format!("{}_{}_mul", scales[0], scales[1])),
        ),
        name => (
            unique(format!("{name}_quant")),
            unique(format!("{name}_quant_output_scale_mul")),
            unique(format!("{name}_quant_scales_mul")),
        ),
    };
    let sum = unique(format!("{output}_output_quantized"));
    let cast = unique(format!("{sum}_cast"));
    let float = unique(format!("{sum}_cast_output"));
    let factor = unique(format!("{both}:0"));
    let to = [("to", data_type::FLOAT)];
    nodes.extend([
        integers(&quant, &sum),
        make_node(["Cast", "", &cast], &[&sum], &[&float], &to),
        make_node(["Mul", "", &both], &scales, &[&factor], &[]),
        make_node(["Mul", "", &last], &[&float, &factor], &[output], &[]),
    ]);
}

/// Adds the bias of a convolution: along the second axis.
fn add_bias(
    draft: &mut Draft<'_>,
    graph: usize,
    [scaled, bias, output]: [&str; 3],
    rank: usize,
    nodes: &mut Vec<Message>,
) {
    let [shape, column, name] = ["reshape_shape", "reshape_output", "add"]
        .map(|part| draft.names.unique(&format!("{output}_bias_{part}")));
    let dims = (0..rank).map(|axis| if axis == 1 { -1i64 } else { 1 });
    let raw: Vec<_> = dims.flat_map(i64::to_le_bytes).collect();
    let plane = PlaneInfo {
        name: shape.clone(),
        data_type: data_type::INT64,
        shape: vec![rank],
    };
    draft.add_constant(graph, &plane, &raw);
    nodes.push(make_node(
        ["Reshape", "", ""],
        &[bias, &shape],
        &[&column],
        &[],
    ));
    nodes.push(make_node(
        ["Add", "", &name],
        &[scaled, &column],
        &[output],
        &[],
    ));
}

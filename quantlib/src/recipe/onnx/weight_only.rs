//! Weights in few bits, while everything that goes through them stays floating point.

use super::draft::{Draft, Place, PlaneInfo};
use super::embedding;
use super::matrix::{Matrix, odd_gemm, split_bias, suits};
use super::{Done, OnnxLayout, OnnxQuantization, OnnxRecipe};
use crate::affine::{AffineLayout, AffineSpec, Group};
use crate::dtype::DType;
use crate::error::Result;
use crate::format::onnx::{Node, data_type, make_node};
use crate::model::{Expr, OutputTensor, TensorInfo};
use crate::tensor::Encoding;
use std::collections::HashMap;

/// The operator set of onnxruntime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// The recipe at work: weights that several nodes share are quantized once.
pub(super) struct WeightOnly<'w> {
    wish: &'w OnnxQuantization,
    /// The initializers, or the decoded value, that take the place of a weight.
    done: HashMap<(usize, Form), Vec<String>>,
}

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `MatMulNBits`, with so many bits, of a weight that is stored transposed or not.
    NBits(u8, bool),
    /// `DequantizeLinear` in blocks along an axis.
    Blocks(u8, usize),
    /// `DequantizeLinear` with a scale for each step of the first axis.
    Channels(u8),
    /// `GatherBlockQuantized`, along the last axis.
    Embedding,
}

impl<'w> WeightOnly<'w> {
    pub(super) fn new(wish: &'w OnnxQuantization) -> Self {
        let done = HashMap::new();
        Self { wish, done }
    }

    /// Quantizes the weight of a node, as onnxruntime's `matmul_nbits_quantizer` does.
    pub(super) fn apply(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        weight: usize,
        recipe: OnnxRecipe,
    ) -> Result<Done> {
        let bits = if recipe == OnnxRecipe::Int8 { 8 } else { 4 };
        let info = match suits(draft, weight) {
            Ok(info) => info,
            Err(why) => return Ok(Err(why)),
        };
        draft.need_ir(4);
        match node.op_type() {
            "Gather" => self.gather(draft, place, node, (weight, &info), bits),
            "Conv" => self.conv(draft, place, node, (weight, &info), bits),
            _ => match Matrix::new(info, node) {
                Ok(matrix) => self.product(draft, place, node, (weight, &matrix), bits),
                Err(why) => Ok(Err(why)),
            },
        }
    }

    fn product(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, matrix): (usize, &Matrix),
        bits: u8,
    ) -> Result<Done> {
        if self.wish.layout == OnnxLayout::Qdq {
            let instead = ", or choose the layout matmulnbits";
            draft.need_version(21, "DequantizeLinear in blocks", instead)?;
        } else if !matrix.is_stack() {
            if let Err(why) = odd_gemm(node) {
                return Ok(Err(format!("{why}; the layout qdq can do that")));
            }
            return self
                .nbits(draft, place, node, (weight, matrix), bits)
                .map(Ok);
        } else if draft.opset() < 21 {
            let shape = &matrix.info.shape;
            return Ok(Err(format!(
                "its weight has the shape {shape:?}, and stacks of matrices need operator set 21"
            )));
        }
        // Along K, which is the axis before the last, or the last one.
        let axis = matrix.info.shape.len() - if matrix.is_transposed { 1 } else { 2 };
        let form = Form::Blocks(bits, axis);
        self.dequantize(draft, place, node, (weight, &matrix.info), form)
            .map(Ok)
    }

    /// Convolutions: a scale for each output channel.
    fn conv(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
        bits: u8,
    ) -> Result<Done> {
        let least = if bits == 4 { 21 } else { 13 };
        if draft.opset() < least || info.shape.len() < 3 {
            return Ok(Err(format!(
                "{bits}-bit weights of convolutions need operator set {least}"
            )));
        }
        let form = Form::Channels(bits);
        self.dequantize(draft, place, node, (weight, info), form)
            .map(Ok)
    }

    fn gather(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
        bits: u8,
    ) -> Result<Done> {
        if let Err(why) = embedding::fits(info, bits) {
            return Ok(Err(why));
        }
        let planes = self.planes(draft, (weight, info), Form::Embedding)?;
        draft.need_opset(MICROSOFT, 1);
        let gather = embedding::node(draft, node, &planes, info, self.wish.block_size);
        draft.replace_node(place, vec![gather]);
        draft.release(weight);
        Ok(Ok(()))
    }

    /// Puts a `MatMulNBits` in the place of a `MatMul`, and one with an `Add` in that of a `Gemm`.
    fn nbits(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, matrix): (usize, &Matrix),
        bits: u8,
    ) -> Result<()> {
        let form = Form::NBits(bits, matrix.is_transposed);
        let planes = self.planes(draft, (weight, &matrix.info), form)?;
        draft.need_opset(MICROSOFT, 1);
        let (k, n) = matrix.size();
        let mut attributes = vec![
            ("K", k as i64),
            ("N", n as i64),
            ("bits", i64::from(bits)),
            ("block_size", self.wish.block_size as i64),
        ];
        let level = self.wish.accuracy_level;
        attributes.extend(level.map(|level| ("accuracy_level", level)));
        let mut inputs = vec![node.input(0)];
        inputs.extend(planes.iter().map(String::as_str));
        let name = match node.name() {
            "" => String::new(),
            name => draft.names.unique(&format!("{name}_Q{bits}")),
        };
        let (product, sum) = split_bias(draft, node);
        let names = ["MatMulNBits", MICROSOFT, &name];
        let mut nodes = vec![make_node(names, &inputs, &[&product], &attributes)];
        nodes.extend(sum);
        draft.replace_node(place, nodes);
        draft.release(weight);
        Ok(())
    }

    /// Gives a node the decoded weight. The `DequantizeLinear` is in the graph of the weight, for all
    /// its users: onnxruntime does not load one in a branch whose codes are outside.
    fn dequantize(
        &mut self,
        draft: &mut Draft<'_>,
        place: Place,
        node: &Node<'_>,
        (weight, info): (usize, &TensorInfo),
        form: Form,
    ) -> Result<()> {
        let planes = self.planes(draft, (weight, info), form)?;
        draft.need_ir(if draft.opset() >= 21 { 10 } else { 4 });
        let key = (weight, Form::decoded(form));
        if !self.done.contains_key(&key) {
            let (codes, graph) = (&planes[0], draft.graphs.weights[weight].graph);
            let output = draft.names.unique(&format!("{codes}_output"));
            let name = draft.names.unique(&format!("{codes}_DequantizeLinear"));
            let inputs: Vec<_> = planes.iter().map(String::as_str).collect();
            let attributes = match form {
                Form::Blocks(_, axis) => vec![
                    ("axis", axis as i64),
                    ("block_size", self.wish.block_size as i64),
                ],
                _ => vec![("axis", 0)],
            };
            let names = ["DequantizeLinear", "", &name];
            draft.put_first(graph, make_node(names, &inputs, &[&output], &attributes));
            self.done.insert(key, vec![output]);
        }
        let decoded = node.with_input(1, &self.done[&key][0]);
        draft.replace_node(place, vec![decoded]);
        draft.release(weight);
        Ok(())
    }

    /// The initializers that take the place of a weight, made if they are not there yet.
    fn planes(
        &mut self,
        draft: &mut Draft<'_>,
        (weight, info): (usize, &TensorInfo),
        form: Form,
    ) -> Result<Vec<String>> {
        if let Some(planes) = self.done.get(&(weight, form)) {
            return Ok(planes.clone());
        }
        let it = &draft.graphs.weights[weight];
        let (name, graph) = (it.name, it.graph);
        let stored = Stored::new(form, self.wish, info)?;
        let planes: Vec<_> = stored
            .planes(name)
            .into_iter()
            .map(|plane| PlaneInfo {
                name: draft.names.unique(&plane.name),
                ..plane
            })
            .collect();
        let names: Vec<_> = planes.iter().map(|plane| plane.name.clone()).collect();
        let tensor = OutputTensor {
            name: names[0].clone(),
            shape: stored.shape,
            encoding: Encoding::Affine(stored.spec),
            source: stored.source,
            importance: None,
        };
        draft.add(tensor, graph, planes)?;
        self.done.insert((weight, form), names.clone());
        Ok(names)
    }
}

impl Form {
    /// The key of the decoded value, which is the form's with no bits.
    fn decoded(self) -> Self {
        match self {
            Self::Blocks(bits, axis) => Self::Blocks(bits | 128, axis),
            Self::Channels(bits) => Self::Channels(bits | 128),
            other => other,
        }
    }
}

/// A weight as it is stored.
struct Stored {
    form: Form,
    spec: AffineSpec,
    layout: AffineLayout,
    /// The shape that the spec is about.
    shape: Vec<usize>,
    source: Expr,
}

impl Stored {
    fn new(form: Form, wish: &OnnxQuantization, info: &TensorInfo) -> Result<Self> {
        let (size, symmetric, dtype) = (wish.block_size, wish.symmetric, info.dtype);
        let (mut source, mut shape) = (Expr::input(&info.name), info.shape.clone());
        let spec = match form {
            Form::NBits(bits, is_transposed) => {
                if !is_transposed {
                    source = source.transpose([1, 0]);
                    shape.reverse();
                }
                AffineSpec::matmul_nbits(bits, size, symmetric, dtype)
            }
            Form::Blocks(bits, axis) => {
                let axis = isize::try_from(axis).unwrap_or_default();
                AffineSpec::qdq(bits, Group::Blocks(size), axis, symmetric, dtype)
            }
            Form::Channels(bits) => AffineSpec::qdq(bits, Group::Axis, 0, true, dtype),
            Form::Embedding => AffineSpec::gather_blocks(size, -1, symmetric, dtype),
        };
        Ok(Self {
            form,
            layout: AffineLayout::new(&spec, &shape)?,
            spec,
            shape,
            source,
        })
    }

    /// The initializers, with the names that onnxruntime's tool gives them.
    fn planes(&self, weight: &str) -> Vec<PlaneInfo> {
        let is_nbits = matches!(self.form, Form::NBits(..));
        let mark = match self.form {
            Form::NBits(..) | Form::Embedding => "",
            Form::Blocks(..) | Form::Channels(..) => "_DQ",
        };
        let scales = self.layout.scales();
        let scale_type = match self.spec.scale {
            DType::F16 => data_type::FLOAT16,
            _ => data_type::FLOAT,
        };
        let codes = match is_nbits {
            true => (data_type::UINT8, self.layout.codes().shape.clone()),
            false => (self.code_type(), self.shape.clone()),
        };
        let zeros = self.layout.zeros().map(|zeros| match is_nbits {
            true => (data_type::UINT8, zeros.shape.clone()),
            false => (self.code_type(), scales.shape.clone()),
        });
        let names = [
            format!("{weight}{mark}_Q{}", self.spec.bits),
            format!("{weight}{mark}_scales"),
            format!("{weight}{mark}_zero_points"),
        ];
        let planes = [Some(codes), Some((scale_type, scales.shape.clone())), zeros];
        let planes = names.into_iter().zip(planes).filter_map(|(name, plane)| {
            let (data_type, shape) = plane?;
            Some(PlaneInfo {
                name,
                data_type,
                shape,
            })
        });
        planes.collect()
    }

    fn code_type(&self) -> i64 {
        match (self.spec.bits, self.spec.symmetric) {
            (4, true) => data_type::INT4,
            (4, false) => data_type::UINT4,
            (_, true) => data_type::INT8,
            (_, false) => data_type::UINT8,
        }
    }
}

//! Weights of matrix products in few bits, in blocks; everything else stays as it is.

use super::draft::{Draft, PlaneInfo, need_version};
use super::{OnnxLayout, OnnxQuantization, OnnxRecipe};
use crate::affine::{AffineLayout, AffineSpec, Group};
use crate::dtype::DType;
use crate::error::Result;
use crate::format::onnx::{Use, data_type, make_node};
use crate::model::{Expr, OutputTensor, TensorInfo};
use crate::tensor::Encoding;

/// The operator set of onnxruntime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// Replaces the weights of every `MatMul`, as onnxruntime's `matmul_nbits_quantizer` does.
pub(super) fn apply(draft: &mut Draft<'_>, wish: &OnnxQuantization) -> Result<()> {
    match wish.layout {
        OnnxLayout::MatMulNBits => draft.need_opset(MICROSOFT, 1),
        OnnxLayout::Qdq => {
            need_version(draft.document, 21, "DequantizeLinear in blocks")?;
            draft.need_ir(10);
        }
    }
    draft.need_ir(4);
    for index in 0..draft.graphs.weights.len() {
        let products = products(draft, index, wish);
        if products.is_empty() {
            continue;
        }
        match suits(draft, index) {
            Ok(info) => quantize(draft, index, &info, &products, wish)?,
            Err(why) => {
                let name = draft.graphs.weights[index].name;
                let note = format!("'{name}' is left as it is: {why}");
                draft.note(note);
            }
        }
    }
    Ok(())
}

/// A `MatMul` that a weight is the right side of: its graph and its index there.
type Product = (usize, usize);

/// Those whose weight is to be quantized.
fn products(draft: &Draft<'_>, index: usize, wish: &OnnxQuantization) -> Vec<Product> {
    let uses = draft.graphs.weights[index].uses.iter();
    let products = uses.filter_map(|each| match *each {
        Use::Input {
            graph,
            node,
            input: 1,
        } => {
            let message = draft.graphs.node(graph, node)?;
            let wanted = message.is("MatMul") && !wish.excludes(message.name());
            wanted.then_some((graph, node))
        }
        _ => None,
    });
    products.collect()
}

/// The weight's type and shape, or why it cannot be quantized.
fn suits(draft: &Draft<'_>, index: usize) -> Result<TensorInfo, String> {
    let weight = &draft.graphs.weights[index];
    if !draft.is_constant(weight) {
        return Err("it is the default of an input, which callers may replace".to_owned());
    }
    let info = draft
        .info(index)
        .ok_or("its elements are no plain floats")?;
    match (info.dtype, &info.shape[..]) {
        (DType::F32 | DType::F16, [k, n]) if *k > 0 && *n > 0 => Ok(info.clone()),
        (DType::F32 | DType::F16, shape) => Err(format!("its shape is {shape:?}, no matrix")),
        (dtype, _) => Err(format!(
            "it is stored as {dtype}, and only f32 and f16 are quantized"
        )),
    }
}

fn quantize(
    draft: &mut Draft<'_>,
    index: usize,
    info: &TensorInfo,
    products: &[Product],
    wish: &OnnxQuantization,
) -> Result<()> {
    let weight = &draft.graphs.weights[index];
    let (name, graph, uses) = (weight.name, weight.graph, weight.uses.len());
    let form = Form::new(wish, info)?;
    let planes: Vec<_> = form
        .planes(name)
        .into_iter()
        .map(|plane| PlaneInfo {
            name: draft.names.unique(&plane.name),
            ..plane
        })
        .collect();
    let inputs: Vec<_> = planes.iter().map(|plane| plane.name.clone()).collect();
    let tensor = OutputTensor {
        name: inputs[0].clone(),
        shape: form.shape.clone(),
        encoding: Encoding::Affine(form.spec.clone()),
        source: form.source(Expr::input(&info.name)),
        importance: None,
    };
    draft.add(tensor, graph, planes)?;
    match wish.layout {
        OnnxLayout::MatMulNBits => {
            for &(graph, node) in products {
                put_nbits(draft, (graph, node), &inputs, info, wish);
            }
        }
        OnnxLayout::Qdq => put_dequantize(draft, graph, products, &inputs, wish),
    }
    if products.len() == uses {
        draft.drop_weight(index);
    } else {
        draft.note(format!(
            "'{name}' is stored twice: {} of its {uses} uses are no products to quantize",
            uses - products.len()
        ));
    }
    Ok(())
}

/// How a matrix [K, N] is stored.
struct Form {
    spec: AffineSpec,
    layout: AffineLayout,
    /// The shape that the spec is about.
    shape: Vec<usize>,
    is_transposed: bool,
    bits: u8,
    symmetric: bool,
}

impl Form {
    fn new(wish: &OnnxQuantization, info: &TensorInfo) -> Result<Self> {
        let bits = match wish.recipe {
            OnnxRecipe::Int8 => 8,
            OnnxRecipe::Copy | OnnxRecipe::Int4 => 4,
        };
        let (k, n) = (info.shape[0], info.shape[1]);
        let (size, symmetric, dtype) = (wish.block_size, wish.symmetric, info.dtype);
        let (spec, shape, is_transposed): (_, Vec<usize>, _) = match wish.layout {
            OnnxLayout::MatMulNBits => {
                let spec = AffineSpec::matmul_nbits(bits, size, symmetric, dtype);
                (spec, vec![n, k], true)
            }
            OnnxLayout::Qdq => {
                let spec = AffineSpec::qdq(bits, Group::Blocks(size), 0, symmetric, dtype);
                (spec, vec![k, n], false)
            }
        };
        Ok(Self {
            layout: AffineLayout::new(&spec, &shape)?,
            spec,
            shape,
            is_transposed,
            bits,
            symmetric,
        })
    }

    /// `MatMulNBits` has the transposed matrix.
    fn source(&self, weight: Expr) -> Expr {
        match self.is_transposed {
            true => weight.transpose([1, 0]),
            false => weight,
        }
    }

    /// The initializers, with the names that onnxruntime's tool gives them.
    fn planes(&self, weight: &str) -> Vec<PlaneInfo> {
        let mark = if self.is_transposed { "" } else { "_DQ" };
        let scales = self.layout.scales();
        let scale_type = match self.spec.scale {
            DType::F16 => data_type::FLOAT16,
            _ => data_type::FLOAT,
        };
        let codes = match self.is_transposed {
            true => (data_type::UINT8, self.layout.codes().shape.clone()),
            false => (self.code_type(), self.shape.clone()),
        };
        let zeros = self.layout.zeros().map(|zeros| match self.is_transposed {
            true => (data_type::UINT8, zeros.shape.clone()),
            false => (self.code_type(), scales.shape.clone()),
        });
        let names = [
            format!("{weight}{mark}_Q{}", self.bits),
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
        match (self.bits, self.symmetric) {
            (4, true) => data_type::INT4,
            (4, false) => data_type::UINT4,
            (_, true) => data_type::INT8,
            (_, false) => data_type::UINT8,
        }
    }
}

/// Puts a `MatMulNBits` in the place of a `MatMul`.
fn put_nbits(
    draft: &mut Draft<'_>,
    (graph, index): Product,
    planes: &[String],
    info: &TensorInfo,
    wish: &OnnxQuantization,
) {
    let Some(node) = draft.graphs.node(graph, index) else {
        return;
    };
    let bits = if wish.recipe == OnnxRecipe::Int8 {
        8
    } else {
        4
    };
    let mut attributes = vec![
        ("K", info.shape[0] as i64),
        ("N", info.shape[1] as i64),
        ("bits", bits),
        ("block_size", wish.block_size as i64),
    ];
    attributes.extend(wish.accuracy_level.map(|level| ("accuracy_level", level)));
    let mut inputs = vec![node.input(0)];
    inputs.extend(planes.iter().map(String::as_str));
    let outputs: Vec<_> = node.outputs().collect();
    let name = match node.name() {
        "" => String::new(),
        name => draft.names.unique(&format!("{name}_Q{bits}")),
    };
    let nbits = make_node(
        ["MatMulNBits", MICROSOFT, &name],
        &inputs,
        &outputs,
        &attributes,
    );
    draft.replace_node(graph, index, nbits);
}

/// Puts a `DequantizeLinear` into the graph of the weight, for all its products: onnxruntime does not
/// load one in a branch whose codes are outside.
fn put_dequantize(
    draft: &mut Draft<'_>,
    graph: usize,
    products: &[Product],
    planes: &[String],
    wish: &OnnxQuantization,
) {
    let output = draft.names.unique(&format!("{}_output", planes[0]));
    let name = draft
        .names
        .unique(&format!("{}_DequantizeLinear", planes[0]));
    let inputs: Vec<_> = planes.iter().map(String::as_str).collect();
    let attributes = [("axis", 0), ("block_size", wish.block_size as i64)];
    let names = ["DequantizeLinear", "", &name];
    draft.put_first(graph, make_node(names, &inputs, &[&output], &attributes));
    for &(graph, index) in products {
        if let Some(node) = draft.graphs.node(graph, index) {
            let product = node.with_input(1, &output);
            draft.replace_node(graph, index, product);
        }
    }
}

"""Weight-only recipes beyond MatMul: Gemm, embeddings, convolutions, stacks of matrices."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

import quantlib as ql


def model_of(nodes, weights, inputs, outputs, opset=21):
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(path, feed):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)[0]


def constants(model):
    return {t.name: (t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer}


def float_of(*shape, dtype=np.float32):
    return (helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))


def normal(rng, *shape, dtype=np.float32):
    w = rng.standard_normal(shape) * 0.1
    w[0], w[1], w[2] = 0, np.abs(w[1]), w[2] * 1e-7
    return w.astype(dtype)


def peer_nodes(model):
    return {node.name: (node.op_type, list(node.input), sorted((a.name, a.i) for a in node.attribute)) for node in model.graph.node}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("block_size", "cols"), [(16, 64), (32, 96), (64, 80), (128, 40), (16, 33)])
def test_embeddings_are_those_of_onnxruntime(rng, tmp_path, dtype, symmetric, block_size, cols):
    gather = helper.make_node("Gather", ["e", "ids"], ["y"], "embedding")
    inputs, outputs = {"ids": (TensorProto.INT64, ["n"])}, {"y": float_of("n", cols, dtype=dtype)}
    model = model_of([gather], {"e": normal(rng, 60, cols, dtype=dtype)}, inputs, outputs)
    src, out = tmp_path / "src.onnx", tmp_path / "out.onnx"
    onnx.save(model, src)
    ql.quantize_model(src, out, "int4", block_size=block_size, symmetric=symmetric, operators=["Gather"])
    config = DefaultWeightOnlyQuantConfig(
        block_size=block_size, is_symmetric=symmetric, bits=4, op_types_to_quantize=("Gather",)
    )
    peer = MatMulNBitsQuantizer(model, algo_config=config)
    peer.process()
    ours, theirs = onnx.load(out), peer.model.model
    assert constants(ours) == constants(theirs)
    assert peer_nodes(ours) == peer_nodes(theirs)
    if cols % 2 == 0:
        onnx.save(theirs, tmp_path / "peer.onnx")
        feed = {"ids": np.array([0, 59, 1, 2, 7])}
        assert run(out, feed).tobytes() == run(tmp_path / "peer.onnx", feed).tobytes()


@pytest.mark.parametrize("layout", ["matmulnbits", "qdq"])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_gemm_multiplies_with_what_matmul_does(rng, tmp_path, layout, bits, transposed, bias):
    w, b = normal(rng, 64, 48), normal(rng, 48)
    weights = {"w": w.T if transposed else w, "b": b}
    inputs = ["x", "w", *(["b"] if bias else [])]
    values = ({"x": float_of("n", 64)}, {"y": float_of("n", 48)})
    gemm = model_of([helper.make_node("Gemm", inputs, ["y"], "gemm", transB=transposed)], weights, *values)
    product = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], {"w": w}, *values)
    paths = []
    for name, model in [("gemm", gemm), ("product", product)]:
        src, out = tmp_path / f"{name}.onnx", tmp_path / f"{name}-out.onnx"
        onnx.save(model, src)
        report = ql.quantize_model(src, out, f"int{bits}", layout=layout)
        assert report.notes == []
        onnx.checker.check_model(str(out))
        paths.append(out)
    arrays = [{t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer} for path in paths]
    arrays[0].pop("b")
    lying = layout == "qdq" and transposed
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[1].items():
        np.testing.assert_array_equal(arrays[0][name], array.T if lying else array)
    x = rng.standard_normal((3, 64), dtype=np.float32)
    got, expected = (run(path, {"x": x}) for path in paths)
    # onnxruntime rounds activations where it can make a MatMulNBits of a DequantizeLinear.
    atol = 0.05 if layout == "qdq" else 1e-5
    np.testing.assert_allclose(got, expected + (b if bias else 0), rtol=1e-5, atol=atol)


@pytest.mark.parametrize("bits", [4, 8])
def test_convolutions_have_a_scale_for_each_channel(rng, tmp_path, bits):
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv")
    w = normal(rng, 8, 6, 3, 3)
    model = model_of([conv], {"w": w, "b": normal(rng, 8)}, {"x": float_of(1, 6, 9, 9)}, {"y": float_of(1, 8, 7, 7)})
    src, out = tmp_path / "src.onnx", tmp_path / "out.onnx"
    onnx.save(model, src)
    ql.quantize_model(src, out, f"int{bits}")
    assert [n.op_type for n in onnx.load(out).graph.node] == ["Conv"]
    ql.quantize_model(src, out, f"int{bits}", operators=["Conv"])
    q = ql.quantize_affine(w, bits, None, 0, symmetric=True, layout="qdq")
    made = constants(onnx.load(out))
    assert made[f"w_DQ_Q{bits}"][2] == q.codes.tobytes() and made["w_DQ_scales"][2] == q.scales.tobytes()
    decoded = tmp_path / "decoded.onnx"
    model.graph.initializer[0].raw_data = q.dequantize().tobytes()
    onnx.save(model, decoded)
    x = rng.standard_normal((1, 6, 9, 9), dtype=np.float32)
    np.testing.assert_allclose(run(out, {"x": x}), run(decoded, {"x": x}), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", ["matmulnbits", "qdq"])
def test_stacks_of_matrices_are_decoded_in_blocks(rng, tmp_path, layout):
    w = normal(rng, 3, 64, 16)
    product = helper.make_node("MatMul", ["x", "w"], ["y"], "stack")
    values = ({"x": float_of(3, 5, 64)}, {"y": float_of(3, 5, 16)})
    src, out = tmp_path / "src.onnx", tmp_path / "out.onnx"
    onnx.save(model_of([product], {"w": w}, *values), src)
    ql.quantize_model(src, out, "int8", layout=layout)
    x = rng.standard_normal((3, 5, 64), dtype=np.float32)
    assert [n.op_type for n in onnx.load(out).graph.node] == ["DequantizeLinear", "MatMul"]
    np.testing.assert_allclose(run(out, {"x": x}), x @ w, atol=0.02)
    onnx.save(model_of([product], {"w": w}, *values, opset=17), src)
    if layout == "matmulnbits":
        (note,) = ql.quantize_model(src, out, "int8").notes
        assert "stacks of matrices need operator set 21" in note


def test_odd_products_are_left_alone_or_decoded(rng, tmp_path):
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], "scaled", alpha=0.5, transA=1)
    w, x = normal(rng, 64, 16), rng.standard_normal((64, 3), dtype=np.float32)
    src, out = tmp_path / "src.onnx", tmp_path / "out.onnx"
    onnx.save(model_of([gemm], {"w": w}, {"x": float_of(64, "n")}, {"y": float_of("n", 16)}), src)
    (note,) = ql.quantize_model(src, out, "int8").notes
    assert "'scaled' (Gemm) is left as it is" in note and "qdq" in note
    assert ql.quantize_model(src, out, "int8", layout="qdq").notes == []
    np.testing.assert_allclose(run(out, {"x": x}), x.T @ w / 2, atol=0.02)

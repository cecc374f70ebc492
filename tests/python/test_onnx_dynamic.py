"""dynamic-int8: the same integers as onnxruntime's quantize_dynamic, and the same outputs."""

import logging

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantlib as ql

KINDS = [(symmetric, per_tensor, reduce_range) for symmetric in (False, True) for per_tensor in (False, True) for reduce_range in (False, True)]


def wish(kind):
    return dict(zip(["symmetric", "per_tensor", "reduce_range"], kind, strict=True))


def peer(src, out, kind, operators=("MatMul", "Conv"), **options):
    """What onnxruntime's tool makes of a model."""
    symmetric, per_tensor, reduce_range = kind
    logging.disable(logging.WARNING)
    quantize_dynamic(
        src,
        out,
        op_types_to_quantize=list(operators),
        per_channel=not per_tensor,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        **options,
    )
    logging.disable(logging.NOTSET)
    return out


def constants(path):
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}


def run(path, feed):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [y.tobytes() for y in session.run(None, feed)]


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def saved(path, nodes, weights, inputs, outputs, opset=17):
    """A model of nodes, weights by name, and inputs and outputs by name and shape."""
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def float_of(*shape):
    return (TensorProto.FLOAT, list(shape))


def weight(rng, *shape):
    """Normal, with columns of zeros, of one sign, and of tiny numbers."""
    w = rng.standard_normal(shape).astype(np.float32) * np.float32(0.1)
    w[..., 0], w[..., 1], w[..., 2] = 0, np.abs(w[..., 1]), w[..., 2] * np.float32(1e-39)
    return w


@pytest.fixture
def products(rng, tmp_path):
    """MatMul and Gemm in every form, a weight and an activation with two users."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "a"], ["ya"], "first"),
        node("MatMul", ["x", "b"], ["yb"], "second"),
        node("Add", ["ya", "yb"], ["s"], "add"),
        node("Gemm", ["s", "c", "bias"], ["g"], "gemm", transB=1),
        node("Gemm", ["g", "d"], ["h"], "plain"),
        node("MatMul", ["h", "a"], ["i"], "again"),
        node("MatMul", ["s", "i_t"], ["scores"], "no_weight"),
        node("Transpose", ["i"], ["i_t"], "transpose"),
    ]
    nodes[6], nodes[7] = nodes[7], nodes[6]
    weights = {
        "a": weight(rng, 40, 24),
        "b": weight(rng, 40, 24),
        "c": weight(rng, 33, 24),
        "bias": weight(rng, 33),
        "d": weight(rng, 33, 40),
    }
    inputs, outputs = {"x": float_of("n", 40)}, {"scores": float_of("n", "n"), "i": float_of("n", 24)}
    return saved(tmp_path / "products.onnx", nodes, weights, inputs, outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_onnxruntime(rng, products, tmp_path, kind):
    out = tmp_path / "out.onnx"
    ql.quantize_model(products, out, "dynamic-int8", **wish(kind))
    onnx.checker.check_model(str(out))
    theirs = peer(products, tmp_path / "peer.onnx", kind)
    assert constants(out) == constants(theirs)
    assert sorted(operators(out)) == sorted(operators(theirs))
    assert operators(out).count("DynamicQuantizeLinear") == 4
    feed = {"x": rng.standard_normal((5, 40), dtype=np.float32)}
    assert run(out, feed) == run(theirs, feed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions_are_those_of_onnxruntime(rng, tmp_path, kind, bias):
    inputs = ["x", "w", *(["b"] if bias else [])]
    conv = helper.make_node("Conv", inputs, ["y"], "conv", pads=[1, 1, 1, 1], strides=[2, 1], group=2)
    weights = {"w": weight(rng, 6, 4, 3, 3), **({"b": weight(rng, 6)} if bias else {})}
    src = saved(tmp_path / "src.onnx", [conv], weights, {"x": float_of(1, 8, 9, 9)}, {"y": float_of(1, 6, 5, 9)})
    out = tmp_path / "out.onnx"
    ql.quantize_model(src, out, "dynamic-int8", **wish(kind))
    theirs = peer(src, tmp_path / "peer.onnx", kind)
    ours, expected = ({(d, s, b) for d, s, b in constants(path).values()} for path in (out, theirs))
    assert ours == expected
    feed = {"x": rng.standard_normal((1, 8, 9, 9), dtype=np.float32)}
    assert run(out, feed) == run(theirs, feed)


@pytest.mark.parametrize("symmetric", [False, True])
def test_embeddings_are_those_of_onnxruntime(rng, tmp_path, symmetric):
    nodes = [
        helper.make_node("Gather", ["e", "ids"], ["x"], "embedding"),
        helper.make_node("Relu", ["x"], ["y"], "relu"),
    ]
    inputs = {"ids": (TensorProto.INT64, ["n"])}
    src = saved(tmp_path / "src.onnx", nodes, {"e": weight(rng, 50, 16)}, inputs, {"y": float_of("n", 16)})
    out = tmp_path / "out.onnx"
    ql.quantize_model(src, out, "dynamic-int8", symmetric=symmetric, operators=["Gather"])
    theirs = peer(src, tmp_path / "peer.onnx", (symmetric, False, False), ["Gather"])
    assert constants(out) == constants(theirs)
    feed = {"ids": np.array([1, 0, 49, 7])}
    assert run(out, feed) == run(theirs, feed)
    ql.quantize_model(src, out, "dynamic-int8")
    assert operators(out) == ["Gather", "Relu"]


def test_stacks_of_matrices(rng, tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "stack")]
    src = saved(tmp_path / "src.onnx", nodes, {"w": weight(rng, 3, 16, 8)}, {"x": float_of(3, 5, 16)}, {"y": float_of(3, 5, 8)})
    out = tmp_path / "out.onnx"
    feed = {"x": rng.standard_normal((3, 5, 16), dtype=np.float32)}
    for symmetric, per_tensor, reduce_range in KINDS:
        ql.quantize_model(src, out, "dynamic-int8", **wish((symmetric, per_tensor, reduce_range)))
        # onnxruntime does not run what its own tool writes of stacks with a scale for each column.
        theirs = peer(src, tmp_path / "peer.onnx", (symmetric, True, reduce_range))
        assert constants(out) == constants(theirs)
        assert run(out, feed) == run(theirs, feed)


def test_branches_quantize_their_own(rng, tmp_path):
    """Both branches use one weight and one activation of the graph around them."""
    node, info = helper.make_node, helper.make_tensor_value_info

    def branch(name, *nodes):
        return helper.make_graph(nodes, name, [], [info(f"{name}_y", TensorProto.FLOAT, None)])

    then = branch("then", node("MatMul", ["x", "w"], ["then_y"], "then_product"))
    product = node("MatMul", ["x", "w"], ["p"], "else_product")
    other = branch("else", product, node("Neg", ["p"], ["else_y"]))
    nodes = [node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other)]
    inputs = {"c": (TensorProto.BOOL, []), "x": float_of("n", 16)}
    src = saved(tmp_path / "src.onnx", nodes, {"w": weight(rng, 16, 8)}, inputs, {"y": float_of("n", 8)})
    out = tmp_path / "out.onnx"
    report = ql.quantize_model(src, out, "dynamic-int8")
    onnx.checker.check_model(str(out))
    assert set(constants(out)) == {"w_quantized", "w_scale", "w_zero_point"} and report.notes == []
    x = rng.standard_normal((4, 16), dtype=np.float32)
    (yes,), (no,) = (run(out, {"c": np.array(c), "x": x}) for c in (True, False))
    assert np.array_equal(np.frombuffer(yes, np.float32), -np.frombuffer(no, np.float32))


def test_nodes_left_alone_are_told(products, tmp_path):
    out = tmp_path / "out.onnx"
    options = {"exclude": ["^second$"], "exclude_operators": ["Gemm"], "nodes": {"first": "keep", "again": "int8"}}
    report = ql.quantize_model(products, out, "dynamic-int8", **options)
    notes = "\n".join(report.notes)
    for name, why in [("first", "override"), ("second", "excluded"), ("gemm", "excluded"), ("plain", "excluded")]:
        assert any(note.startswith(f"'{name}'") and why in note for note in report.notes), notes
    kinds = operators(out)
    assert kinds.count("MatMulNBits") == 1 and kinds.count("MatMul") == 3 and kinds.count("Gemm") == 2
    assert "'a' is stored twice: 1 of its 2 uses" in notes


def test_what_cannot_be_quantized_is_told(rng, tmp_path):
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "half"], ["h"], "half_product"),
        node("Cast", ["h"], ["f"], "cast", to=TensorProto.FLOAT),
        node("Gemm", ["f", "w"], ["y"], "scaled", alpha=0.5),
    ]
    weights = {"half": weight(rng, 16, 8).astype(np.float16), "w": weight(rng, 8, 4)}
    inputs = {"x": (TensorProto.FLOAT16, ["n", 16])}
    src = saved(tmp_path / "src.onnx", nodes, weights, inputs, {"y": float_of("n", 4)})
    report = ql.quantize_model(src, tmp_path / "out.onnx", "dynamic-int8")
    assert [note.split(":")[0] for note in report.notes] == [
        "'half_product' (MatMul) is left as it is",
        "'scaled' (Gemm) is left as it is",
    ]
    assert operators(tmp_path / "out.onnx") == operators(src)
    with pytest.raises(ql.MisuseError, match="no operator whose weights"):
        ql.quantize_model(src, tmp_path / "out.onnx", "dynamic-int8", operators=["Relu"])


def test_memory_limit_and_threads_change_nothing(products, tmp_path):
    outs = []
    for number, options in enumerate([{}, {"memory_limit": 1 << 17, "threads": 1}]):
        out = tmp_path / f"{number}.onnx"
        ql.quantize_model(products, out, "dynamic-int8", **options)
        outs.append(out.read_bytes())
    assert outs[0] == outs[1]

"""fp16: the numbers of onnxruntime's converter, and models that onnxruntime runs."""

import copy

import minilm
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

import quantlib as ql

F16, F32, I64 = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node


def info(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, list(shape) or None)


def scalar(name, kind):
    return helper.make_tensor_value_info(name, kind, [])


def model_of(nodes, weights, inputs, outputs, opset=17):
    tensors = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(path, feed):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)


def converted(model, folder, **options):
    onnx.checker.check_model(model, full_check=True)
    src, out = folder / "src.onnx", folder / "out.onnx"
    onnx.save(model, src)
    report = ql.quantize_model(src, out, "fp16", **options)
    onnx.checker.check_model(str(out), full_check=True)
    return out, report


def by_peer(model, folder, **options):
    path = folder / "peer.onnx"
    onnx.save(convert_float_to_float16(copy.deepcopy(model), **options), path)
    return path


def floats(path):
    """The initializers and constants that are f16 or f32, by name."""
    graph = onnx.load(path).graph
    tensors = {t.name: t for t in graph.initializer}
    tensors |= {n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant"}
    return {name: (t.data_type, numpy_helper.to_array(t).tobytes()) for name, t in tensors.items() if t.data_type in (F16, F32)}


def network(rng):
    """Products, a normalization, a constant, and numbers that f16 has not."""
    odd = np.array([0, 1e-9, -1e-9, 5.96e-8, 4e-8, 1e6, -1e6, np.inf, -np.inf, 65504, 65519, 65520, 1e-5, 1, -2, 3], np.float32)
    nodes = [
        node("MatMul", ["x", "w"], ["a"], "product"),
        node("Constant", [], ["c"], "constant", value=numpy_helper.from_array(np.float32(0.3))),
        node("Mul", ["a", "c"], ["b"], "scale"),
        node("LayerNormalization", ["b", "g", "s"], ["n"], "norm"),
        node("Where", ["mask", "n", "odd"], ["y"], "where"),
    ]
    weights = {
        "w": rng.standard_normal((32, 16)).astype(np.float32),
        "g": rng.standard_normal(16).astype(np.float32),
        "s": rng.standard_normal(16).astype(np.float32),
        "odd": odd,
        "mask": np.arange(16) % 2 == 0,
    }
    return model_of(nodes, weights, [info("x", F32, "n", 32)], [info("y", F32, "n", 16)])


@pytest.mark.parametrize("keep_io", [False, True])
def test_numbers_are_those_of_onnxruntime(rng, tmp_path, keep_io):
    model = network(rng)
    shift = next(weight for weight in model.graph.initializer if weight.name == "s")
    shift.CopyFrom(numpy_helper.from_array(np.float32([1e5, *range(15)]), "s"))
    out, report = converted(model, tmp_path, keep_io=keep_io)
    peer = by_peer(model, tmp_path, keep_io_types=keep_io)
    assert floats(out) == floats(peer)
    assert report.notes == [
        "'s' has a value beyond f16's range, which becomes ±65504",
        "'odd' has 4 values beyond f16's range, which become ±65504",
    ]
    x = rng.standard_normal((4, 32)).astype(np.float32 if keep_io else np.float16)
    (ours,), (theirs,) = run(out, {"x": x}), run(peer, {"x": x})
    assert ours.dtype == theirs.dtype == x.dtype
    assert ours.tobytes() == theirs.tobytes()


def test_operators_without_f16_stay_wide(rng, tmp_path):
    """Two of them in a row: what is between is never narrowed."""
    nodes = [
        node("Relu", ["x"], ["a"], "relu"),
        node("CumSum", ["a", "axis"], ["b"], "sum"),
        node("Max", ["b", "least"], ["c"], "max"),
        node("Add", ["c", "least"], ["y"], "add"),
        node("TopK", ["c", "k"], ["t", "i"], "top"),
    ]
    weights = {"axis": np.array(1), "least": np.array([0.1], np.float32), "k": np.array([2])}
    outputs = [info("y", F32, "n", 8), info("t", F32, "n", 2), info("i", I64, "n", 2)]
    model = model_of(nodes, weights, [info("x", F32, "n", 8)], outputs)
    out, report = converted(model, tmp_path)
    kinds = [n.op_type for n in onnx.load(out).graph.node]
    assert kinds == ["Relu", "Cast", "CumSum", "Cast", "Max", "Cast", "Add", "TopK", "Cast"]
    assert [n.split(":")[0] for n in report.notes] == [f"{op} has no f16" for op in ("CumSum", "Max", "TopK")]
    x = rng.standard_normal((3, 8)).astype(np.float16)
    expected = run(tmp_path / "src.onnx", {"x": x.astype(np.float32)})
    for ours, wide in zip(run(out, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(ours, wide, rtol=2e-3, atol=2e-3)


def test_nodes_can_be_kept(rng, tmp_path):
    model = network(rng)
    out, report = converted(model, tmp_path, exclude=["^product$"], nodes={"norm": "keep"}, exclude_operators=["Where"])
    kept = {note.split("'")[1] for note in report.notes if "excluded" in note}
    assert kept == {"product", "norm", "where"}
    wide = {name for name, (kind, _) in floats(out).items() if kind == F32}
    assert wide == {"w", "g", "s", "odd"}
    x = rng.standard_normal((4, 32)).astype(np.float16)
    (wide,) = run(tmp_path / "src.onnx", {"x": x.astype(np.float32)})
    (ours,) = run(out, {"x": x})
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours[:, ::2], wide[:, ::2], rtol=2e-2, atol=2e-2)


def test_attributes_that_name_f32(rng, tmp_path):
    nodes = [
        node("Cast", ["i"], ["a"], "cast", to=F32),
        node("Shape", ["i"], ["s"], "shape"),
        node("ConstantOfShape", ["s"], ["zeros"], "zeros"),
        node("ConstantOfShape", ["s"], ["twos"], "twos", value=helper.make_tensor("", F32, [1], [2.0])),
        node("ConstantOfShape", ["s"], ["ints"], "ints", value=helper.make_tensor("", I64, [1], [3])),
        node("Constant", [], ["half"], "half", value_float=0.5),
        node("Constant", [], ["list"], "list", value_floats=[1.0, 2.0, 3.0]),
        node("Sum", ["a", "zeros", "twos", "half", "list"], ["f"], "total"),
        node("Add", ["ints", "i"], ["j"], "integers"),
        node("Resize", ["image", "", "scales"], ["big"], "resize"),
    ]
    weights = {"scales": np.array([1, 1, 2, 2], np.float32)}
    outputs = [info("f", F32, "n", 3), info("j", I64, "n", 3), info("big", F32, 1, 1, 4, 4)]
    inputs = [info("i", I64, "n", 3), info("image", F32, 1, 1, 2, 2)]
    out, report = converted(model_of(nodes, weights, inputs, outputs), tmp_path)
    assert floats(out)["scales"][0] == F32 and report.notes == []
    image = np.arange(4, dtype=np.float16).reshape(1, 1, 2, 2)
    ids = np.array([[1, 2, 3]])
    f, j, big = run(out, {"i": ids, "image": image})
    assert f.tolist() == [[4.5, 6.5, 8.5]] and j.tolist() == [[4, 5, 6]] and f.dtype == big.dtype == np.float16


def test_branches_and_loops(rng, tmp_path):
    """A branch with a wide operator that yields the output, and a loop that carries a value."""
    then = helper.make_graph([node("Max", ["x", "w"], ["t"], "then_max")], "then", [], [info("t", F32)])
    other = helper.make_graph([node("Mul", ["x", "w"], ["e"], "else_mul")], "else", [], [info("e", F32)])
    body = helper.make_graph(
        [
            node("Add", ["carried", "w"], ["next"], "step"),
            node("Identity", ["on"], ["still"], "on"),
        ],
        "body",
        [scalar("turn", I64), scalar("on", TensorProto.BOOL), info("carried", F32, "n", 2)],
        [scalar("still", TensorProto.BOOL), info("next", F32, "n", 2)],
    )
    nodes = [
        node("If", ["c"], ["b"], "if", then_branch=then, else_branch=other),
        node("Loop", ["turns", "", "b"], ["y"], "loop", body=body),
    ]
    weights = {"w": np.array([0.5, 1.5], np.float32), "turns": np.array(3)}
    inputs = [scalar("c", TensorProto.BOOL), info("x", F32, "n", 2)]
    for keep_io in (False, True):
        out, _ = converted(model_of(nodes, weights, inputs, [info("y", F32, "n", 2)]), tmp_path, keep_io=keep_io)
        x = np.array([[1, 2], [-3, 4]], np.float32 if keep_io else np.float16)
        for flag in (True, False):
            (y,) = run(out, {"c": np.array(flag), "x": x})
            (wide,) = run(tmp_path / "src.onnx", {"c": np.array(flag), "x": x.astype(np.float32)})
            assert y.dtype == x.dtype and np.array_equal(y, wide)


@pytest.mark.skipif(not (minilm.FOLDER / "config.json").is_file(), reason="the model is not fetched: scripts/get-models")
def test_a_real_model_stays(tmp_path):
    model = minilm.build()
    onnx.save(model, tmp_path / "src.onnx")
    out = tmp_path / "out.onnx"
    ql.quantize_model(tmp_path / "src.onnx", out, "fp16", keep_io=True)
    assert out.stat().st_size < 0.51 * (tmp_path / "src.onnx").stat().st_size
    inputs = minilm.tokenize()
    sessions = [ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (out, tmp_path / "src.onnx")]
    assert minilm.cosines(*sessions, inputs).min() > 0.9999
    peer = by_peer(model, tmp_path, keep_io_types=True)
    assert floats(out) == floats(peer)
    # As written: what onnxruntime makes of equal graphs depends on the order of their parts.
    plain = ort.SessionOptions()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = [ort.InferenceSession(str(p), plain, providers=["CPUExecutionProvider"]) for p in (out, peer)]
    ours, theirs = (session.run(None, inputs) for session in sessions)
    assert [y.tobytes() for y in ours] == [y.tobytes() for y in theirs]

"""Forms of static quantization, and what stays out of it, run by onnxruntime."""

import collections
import subprocess
import sys

import numpy as np
import onnx
import pytest
from graphs import make, session
from onnx import TensorProto, helper

import quantlib as ql


def run(path, inputs):
    return session(path, precise=True).run(None, inputs)


def operators(path):
    return collections.Counter(node.op_type for node in onnx.load(path).graph.node)


def close(model, out, inputs, share):
    for a, b in zip(run(model, inputs), run(out, inputs), strict=True):
        assert np.abs(a - b).max() <= share * np.abs(a).max()


@pytest.fixture
def dense(tmp_path, rng):
    """MatMul → Add (bias) → Relu → MatMul, added to MatMul; Gemm (transposed, with a bias)."""
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"W1": normal(24, 40), "b1": normal(40), "W2": normal(40, 16), "W3": normal(24, 16)}
    weights |= {"W4": normal(8, 16), "b4": normal(8)}
    nodes = [
        helper.make_node("MatMul", ["x", "W1"], ["m"], "first"),
        helper.make_node("Add", ["m", "b1"], ["a"], "bias"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "W2"], ["s"], "second"),
        helper.make_node("MatMul", ["x", "W3"], ["t"], "third"),
        helper.make_node("Add", ["s", "t"], ["u"], "sum"),
        helper.make_node("Gemm", ["u", "W4", "b4"], ["y"], "last", transB=1),
    ]
    return make(tmp_path / "dense.onnx", nodes, weights, {"x": ["b", 24]}, {"y": ["b", 8], "s": ["b", 16]})


@pytest.fixture
def convolutions(tmp_path, rng):
    """Conv → Relu → Conv, added to a convolution of 1×1, → Relu → GlobalAveragePool."""
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"C1": normal(8, 3, 3, 3), "b1": normal(8), "C2": normal(6, 8, 3, 3), "C3": normal(6, 3, 1, 1)}
    weights["b3"] = normal(6)
    nodes = [
        helper.make_node("Conv", ["x", "C1", "b1"], ["c"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "C2"], ["d"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "C3", "b3"], ["e"], "third"),
        helper.make_node("Add", ["d", "e"], ["s"], "sum"),
        helper.make_node("Relu", ["s"], ["q"], "relu2"),
        helper.make_node("GlobalAveragePool", ["q"], ["y"], "pool"),
    ]
    return make(tmp_path / "conv.onnx", nodes, weights, {"x": ["b", 3, 9, 9]}, {"y": ["b", 6, 1, 1]})


def samples(rng, *shape, number=5):
    return [{"x": rng.standard_normal(shape, dtype=np.float32) * (i + 1) / number} for i in range(number)]


def test_products_and_sums_are_operators_on_codes(dense, tmp_path, rng):
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    ql.quantize_model(dense, out, "static-int8", calibration=inputs, format="qoperator")
    onnx.checker.check_model(onnx.load(out))
    found = operators(out)
    assert (found["QLinearMatMul"], found["QGemm"], found["QLinearAdd"]) == (3, 1, 2)
    assert not {"MatMul", "Gemm", "Add"} & set(found)
    # Codes for x and for what Relu yields; floats for Relu, and for the output s.
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (2, 2)
    kept = {tensor.name for tensor in onnx.load(out).graph.initializer if tensor.data_type == TensorProto.FLOAT}
    assert not {"W1", "W2", "W3", "W4", "b1", "b4"} & kept
    graph = onnx.load(out).graph
    assert {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}
    close(dense, out, inputs[-1], 0.04)


def test_convolutions_take_their_relu_in(convolutions, tmp_path, rng):
    out, inputs = tmp_path / "out.onnx", samples(rng, 1, 3, 9, 9)
    ql.quantize_model(convolutions, out, "static-int8", calibration=inputs, format="qoperator")
    onnx.checker.check_model(onnx.load(out))
    found = operators(out)
    assert (found["QLinearConv"], found["QLinearAdd"], found["Relu"]) == (3, 1, 1)
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, 1)
    close(convolutions, out, inputs[-1], 0.06)


def test_what_was_left_out_stays_floating_point(dense, tmp_path, rng):
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    report = ql.quantize_model(
        dense, out, "static-int8", calibration=inputs, format="qoperator", exclude=["^second$"]
    )
    found = operators(out)
    assert (found["MatMul"], found["QLinearMatMul"], found["Add"]) == (1, 2, 1)
    assert any("'second' is left as it is" in note for note in report.notes)
    close(dense, out, inputs[-1], 0.04)


def test_the_form_is_for_products_only(dense, tmp_path, rng):
    inputs = samples(rng, 4, 24)
    with pytest.raises(ql.MisuseError, match="qdq only"):
        ql.quantize_model(dense, tmp_path / "o.onnx", "a8w8", calibration=inputs, format="qoperator")
    with pytest.raises(ql.MisuseError, match="qoperator"):
        ql.quantize_model(dense, tmp_path / "o.onnx", "static-int8", calibration=inputs, format="qlinear")


def test_the_command_knows_the_form(dense, tmp_path, rng):
    np.savez(tmp_path / "x.npz", x=rng.standard_normal((6, 24), dtype=np.float32))
    ours, theirs = tmp_path / "command.onnx", tmp_path / "python.onnx"
    arguments = ["quantize", dense, "-o", ours, "-t", "static-int8", "--format", "qoperator"]
    arguments += ["--calibration", tmp_path / "x.npz"]
    command = [sys.executable, "-m", "quantlib", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ql.quantize_model(dense, theirs, "static-int8", calibration=tmp_path / "x.npz", format="qoperator")
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("recipe", ["static-int8", "a8w8"])
@pytest.mark.parametrize(
    ("other", "operator"), [("int4", "MatMulNBits"), ("int8", "MatMulNBits"), ("dynamic-int8", "MatMulInteger")]
)
def test_single_nodes_have_other_recipes(dense, tmp_path, rng, recipe, other, operator):
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    wishes = {"calibration": inputs, "nodes": {"^second$": other}}
    report = ql.quantize_model(dense, out, recipe, **wishes)
    onnx.checker.check_model(onnx.load(out))
    found = operators(out)
    assert (found[operator], found["MatMul"], found["Gemm"]) == (1, 2, 1)
    assert not [note for note in report.notes if "left as it is" in note]
    close(dense, out, inputs[-1], 0.2)
    ql.quantize_model(dense, out, recipe, calibration=inputs, nodes={"^second$": "keep"})
    assert operators(out)["MatMul"] == 3


def outliers(rng, rows):
    """Values of which two columns are two hundred times as large as the others."""
    x = rng.standard_normal((rows, 64), dtype=np.float32)
    x[:, :2] *= 200
    return x


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_activations_with_outliers_have_two_parts(tmp_path, rng, operator):
    weights = {"W": rng.standard_normal((64, 32), dtype=np.float32), "b": rng.standard_normal(32, dtype=np.float32)}
    weights["W"][:2] /= 200
    bias = ["b"] if operator == "Gemm" else []
    nodes = [helper.make_node("Neg", ["x"], ["n"], "neg"), helper.make_node(operator, ["n", "W", *bias], ["y"], "product")]
    if not bias:
        del weights["b"]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 64]}, {"y": ["b", 32]})
    out, pure = tmp_path / "out.onnx", tmp_path / "pure.onnx"
    inputs = [{"x": outliers(rng, 8)} for _ in range(4)]
    ranges = ql.calibrate(model, inputs)
    ranges = ql.Calibration({"n": {**ranges["n"], "signal_to_noise": 25.0}})
    report = ql.quantize_model(model, out, "static-int8", calibration=ranges)
    assert any("'product' multiply the codes of 'n' and, once more" in note for note in report.notes)
    onnx.checker.check_model(onnx.load(out))
    graph = onnx.load(out).graph
    products = [node for node in graph.node if node.op_type == operator]
    assert len(products) == 2 and products[0].input[1] == products[1].input[1], "one weight, stored once"
    assert all("DequantizeLinear" in name for node in products for name in node.input[:2])
    ql.quantize_model(model, pure, "static-int8", calibration=ranges, pure=True)
    expected = run(model, inputs[0])[0]
    error, alone = (np.square(run(path, inputs[0])[0] - expected).sum() for path in (out, pure))
    # Two bits more would be a sixteenth, but weights have their own error.
    assert error < alone / 5


def test_operators_with_weights_inside_are_told_of(tmp_path, rng):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"W": normal(1, 32, 24), "R": normal(1, 32, 8), "V": normal(8, 8)}
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R"], ["l"], "lstm", hidden_size=8),
        helper.make_node("MatMul", ["l", "V"], ["y"], "product"),
    ]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": [3, "b", 24]}, {"y": [3, 1, "b", 8]})
    out = tmp_path / "out.onnx"
    report = ql.quantize_model(model, out, "dynamic-int8")
    assert report.notes == ["1 LSTM are left as they are: their weights are not quantized"]
    close(model, out, {"x": normal(3, 2, 24)}, 0.05)


@pytest.mark.parametrize("ratio", [40.0, 20.0])
def test_models_of_f16_calculate_with_integers_between_casts(tmp_path, rng, ratio):
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float16)
    weights = {"W": normal(24, 40), "V": normal(16, 40), "U": normal(16, 8), "c": normal(8)}
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"], "first"),
        helper.make_node("Relu", ["m"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "V"], ["g"], "second", transB=1),
        helper.make_node("Gemm", ["g", "U", "c"], ["y"], "last"),
    ]
    shapes = ({"x": ["b", 24]}, {"y": ["b", 8]})
    model = make(tmp_path / "m.onnx", nodes, weights, *shapes, element=TensorProto.FLOAT16)
    out, inputs = tmp_path / "out.onnx", [{"x": normal(4, 24)} for _ in range(4)]
    ranges = ql.calibrate(model, inputs)
    assert sorted(ranges) == ["r", "x"]
    ranges = ql.Calibration({name: {**entry, "signal_to_noise": ratio} for name, entry in ranges.items()})
    report = ql.quantize_model(model, out, "static-int8", calibration=ranges)
    onnx.checker.check_model(onnx.load(out), full_check=True)
    products = [node for node in onnx.load(out).graph.node if node.op_type in ("MatMul", "Gemm")]
    assert len(products) == (3 if ratio > 30 else 5)
    integers = [node for node in products if "DequantizeLinear" in node.input[1]]
    assert len(integers) == len(products) - 1
    assert all("DequantizeLinear" in node.input[0] for node in integers)
    assert [note for note in report.notes if "'last' is left as it is: of f16" in note]
    found = run(out, inputs[0])[0]
    assert found.dtype == np.float16
    close(model, out, inputs[0], 0.04)


def test_products_in_branches_are_left_alone_and_named(tmp_path, rng):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"W": normal(24, 16), "V": normal(16, 16)}

    def branch(name, weight):
        product = helper.make_node("MatMul", ["m", weight], [f"{name}_y"], f"in_{name}")
        output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["b", 16])
        return helper.make_graph([product], name, [], [output])

    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"], "outside"),
        helper.make_node("ReduceSum", ["x"], ["s"], "total", keepdims=0),
        helper.make_node("Cast", ["s"], ["is"], "cast", to=TensorProto.BOOL),
        helper.make_node("If", ["is"], ["y"], "if", then_branch=branch("then", "V"), else_branch=branch("else", "V")),
    ]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 24]}, {"y": ["b", 16]})
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    for form in ("qdq", "qoperator"):
        report = ql.quantize_model(model, out, "static-int8", calibration=inputs, format=form)
        for name in ("in_then", "in_else"):
            assert any(f"'{name}' is left as it is: it is in a branch" in note for note in report.notes)
        assert "W" not in {tensor.name for tensor in onnx.load(out).graph.initializer}
        close(model, out, inputs[-1], 0.04)


def test_a_relu_that_a_branch_sees_behind_stays(tmp_path, rng):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"C": normal(4, 3, 3, 3), "is": np.array(True)}

    def branch(name):
        output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Neg", ["c"], [f"{name}_y"])], name, [], [output])

    nodes = [
        helper.make_node("Conv", ["x", "C"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("If", ["is"], ["n"], "if", then_branch=branch("then"), else_branch=branch("else")),
        helper.make_node("Add", ["r", "n"], ["y"], "sum"),
    ]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 3, 6, 6]}, {"y": ["b", 4, 4, 4]})
    out, inputs = tmp_path / "out.onnx", samples(rng, 2, 3, 6, 6)
    for form in ("qdq", "qoperator"):
        ql.quantize_model(model, out, "static-int8", calibration=inputs, format=form)
        assert operators(out)["Relu"] == 1
        close(model, out, inputs[-1], 0.04)


@pytest.mark.parametrize("keep_io", [False, True])
def test_devices_leave_f16_as_it_is(tmp_path, rng, dense, keep_io):
    half, out, inputs = tmp_path / "half.onnx", tmp_path / "out.onnx", samples(rng, 4, 24)
    ql.quantize_model(dense, half, "fp16", keep_io=keep_io)
    if not keep_io:
        inputs = [{"x": sample["x"].astype(np.float16)} for sample in inputs]
        assert not ql.calibrate(half, inputs, "a8w8")
        with pytest.raises(ql.UnsupportedError, match="quantize the f32 model"):
            ql.quantize_model(half, out, "a8w8", calibration=inputs)
        assert not out.exists()
        return
    report = ql.quantize_model(half, out, "a8w8", calibration=inputs)
    assert any("values are f16, and stay so" in note for note in report.notes)
    onnx.checker.check_model(onnx.load(out), full_check=True)
    close(half, out, inputs[-1], 0.04)

"""What the recipes for accelerators make of operators that Qualcomm's execution provider wants in forms of
their own. Whether it takes them is tried by hand: tests/peers/qnn_runs.py."""

import numpy as np
import onnx
import pytest
from graphs import make, session
from onnx import TensorProto, helper

import quantlib as ql

RECIPES = ["a8w8", "a16w8", "a16w4"]
EIGHT, THIRTY_TWO, FLOAT = TensorProto.UINT8, TensorProto.INT32, TensorProto.FLOAT


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def stored(path, op):
    """The element types of an operator's constants, as they are stored before DequantizeLinear."""
    graph = onnx.load(path).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    (node,) = [node for node in graph.node if node.op_type == op]
    kept = lambda name: kinds.get(name) or kinds.get(makers[name].input[0])
    return [kept(name) for name in node.input]


def close(model, out, inputs, share=0.05):
    a, b = (session(path, precise=True).run(None, inputs)[0] for path in (model, out))
    assert np.abs(a - b).max() <= share * np.abs(a).max()


def gelu(form):
    """x → GELU in one of the orders that exporters write."""
    node = lambda op, inputs, output: helper.make_node(op, inputs, [output], f"{output}_node")
    nodes = [node("Mul", ["x", "inverse"], "d") if form == "late" else node("Div", ["x", "root"], "d")]
    nodes += [node("Erf", ["d"], "e"), node("Add", ["e", "one"], "a")]
    match form:
        case "before":
            nodes += [node("Mul", ["half", "x"], "h"), node("Mul", ["h", "a"], "y")]
        case "last":
            nodes += [node("Mul", ["x", "a"], "h"), node("Mul", ["h", "half"], "y")]
        case _:
            nodes += [node("Mul", ["a", "half"], "h"), node("Mul", ["x", "h"], "y")]
    numbers = {"root": 2**0.5, "inverse": 0.5**0.5, "one": 1, "half": 0.5}
    return nodes, {name: np.float32(number) for name, number in numbers.items()}


@pytest.mark.parametrize(("opset", "domain"), [(17, "com.microsoft"), (21, "")])
@pytest.mark.parametrize("form", ["before", "last", "late"])
def test_gelu_is_one_node(tmp_path, rng, form, opset, domain):
    nodes, weights = gelu(form)
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 8]}, {"y": ["b", 8]}, opset=opset)
    out, inputs = tmp_path / "out.onnx", [{"x": rng.standard_normal((4, 8), dtype=np.float32)} for _ in range(4)]
    report = ql.quantize_model(model, out, "a16w8", calibration=inputs)
    graph = onnx.load(out).graph
    (node,) = [node for node in graph.node if node.op_type == "Gelu"]
    assert node.domain == domain
    assert not {"Erf", "Div", "Mul", "Add"} & set(operators(out))
    used = {name for node in nodes for name in node.input}
    assert not used & {tensor.name for tensor in graph.initializer}
    assert any("one Gelu" in note for note in report.notes)
    close(model, out, inputs[0], 0.001)


def test_what_only_looks_like_gelu_stays(tmp_path, rng):
    inputs = [{"x": rng.standard_normal((4, 8), dtype=np.float32)} for _ in range(4)]
    for change in ({"half": np.float32(0.4)}, {"one": np.float32(2)}, {"root": np.float32(1.5)}):
        nodes, weights = gelu("last")
        model = make(tmp_path / "m.onnx", nodes, weights | change, {"x": ["b", 8]}, {"y": ["b", 8]})
        ql.quantize_model(model, tmp_path / "o.onnx", "a16w8", calibration=inputs)
        assert "Gelu" not in operators(tmp_path / "o.onnx") and "Erf" in operators(tmp_path / "o.onnx")
    # Somebody else reads what is inside; a node is to be left alone.
    nodes, weights = gelu("last")
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 8]}, {"y": ["b", 8], "a": ["b", 8]})
    ql.quantize_model(model, tmp_path / "o.onnx", "a16w8", calibration=inputs)
    assert "Erf" in operators(tmp_path / "o.onnx")
    model = make(tmp_path / "m.onnx", *gelu("last"), {"x": ["b", 8]}, {"y": ["b", 8]})
    ql.quantize_model(model, tmp_path / "o.onnx", "a16w8", calibration=inputs, exclude=["^e_node$"])
    assert "Erf" in operators(tmp_path / "o.onnx")


@pytest.mark.parametrize("recipe", RECIPES)
def test_constants_have_the_types_that_are_wanted(tmp_path, rng, recipe):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    values = {"s": 1 + normal(4) / 10, "b": normal(4), "m": normal(4), "v": 1 + normal(4) ** 2}
    image, inputs = {"x": [1, 4, 6, 6]}, [{"x": normal(1, 4, 6, 6)} for _ in range(4)]
    cases = [
        ("BatchNormalization", ["s", "b", "m", "v"], values, [EIGHT, THIRTY_TWO, FLOAT, FLOAT], {}),
        ("InstanceNormalization", ["s", "b"], {"s": values["s"], "b": values["b"]}, [EIGHT, THIRTY_TWO], {}),
        ("ConvTranspose", ["w", "b"], {"w": normal(4, 4, 2, 2), "b": values["b"]}, [EIGHT, THIRTY_TWO], {"strides": [2, 2]}),
        ("PRelu", ["s"], {"s": normal(4, 1, 1)}, [EIGHT], {}),
        ("MatMul", ["w"], {"w": normal(4, 6, 5)}, [EIGHT], {}),
    ]
    for op, names, weights, kinds, attributes in cases:
        model, out = tmp_path / f"{op}.onnx", tmp_path / "out.onnx"
        make(model, [helper.make_node(op, ["x", *names], ["y"], "n", **attributes)], weights, image, {"y": list("abcd")})
        report = ql.quantize_model(model, out, recipe, calibration=inputs)
        assert stored(out, op)[1:] == kinds, op
        assert not [note for note in report.notes if "left as they are" in note]
        close(model, out, inputs[0])


def test_convolutions_of_volumes_keep_eight_bits(tmp_path, rng):
    weights = {"w": rng.standard_normal((6, 4, 3, 3, 3), dtype=np.float32)}
    model = tmp_path / "m.onnx"
    make(model, [helper.make_node("Conv", ["x", "w"], ["y"], "c")], weights, {"x": [1, 4, 5, 5, 5]}, {"y": list("abcde")})
    inputs = [{"x": rng.standard_normal((1, 4, 5, 5, 5), dtype=np.float32)} for _ in range(2)]
    ql.quantize_model(model, tmp_path / "o.onnx", "a16w4", calibration=inputs)
    assert stored(tmp_path / "o.onnx", "Conv")[1] == TensorProto.INT8

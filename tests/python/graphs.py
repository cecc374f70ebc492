"""Small ONNX models, and sessions that run them."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

# The oldest IR version that may have each operator set.
IR_VERSIONS = {13: 7, 17: 8, 21: 10}


def make(path, nodes, weights, inputs, outputs, opset=17, element=TensorProto.FLOAT):
    """A model of these nodes; weights are arrays by name, inputs and outputs shapes by name."""
    value = lambda name, shape: helper.make_tensor_value_info(name, element, shape)
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, shape) for name, shape in inputs.items()],
        [value(name, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSIONS[opset])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def session(path, precise=False):
    options = ort.SessionOptions()
    if precise:
        # Products of u8 and s8 do not saturate, on older CPUs either.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def classifier(path):
    """Conv → Relu → mean → MatMul → LayerNormalization → Softmax; the same wherever it is made."""
    rng = np.random.default_rng(20250101)
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"C": normal(8, 3, 3, 3) / 5, "cb": normal(8) / 9, "W": normal(8, 10)}
    weights |= {"s": 1 + normal(10) / 9, "b": normal(10) / 9}
    node = lambda op, inputs, output, **more: helper.make_node(op, inputs, [output], f"{output}_node", **more)
    nodes = [
        node("Conv", ["x", "C", "cb"], "c", pads=[1] * 4),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f"),
        node("MatMul", ["f", "W"], "m"),
        node("LayerNormalization", ["m", "s", "b"], "l"),
        node("Softmax", ["l"], "y"),
    ]
    return make(path, nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 10]})


def images(number):
    """Inputs of the classifier."""
    rng = np.random.default_rng(7)
    return [{"x": rng.standard_normal((1, 3, 8, 8), dtype=np.float32)} for _ in range(number)]

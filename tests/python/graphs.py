"""Small ONNX models, and sessions that run them."""

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

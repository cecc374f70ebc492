"""Runs a8w8, a16w8 and a16w4 models on Qualcomm's execution provider, all of them: nothing may fall back.

By hand, for the wheel is large and of its own licence: in an environment with this package,
`pip install onnxruntime-qnn==2.7.0 onnx`, then `python tests/peers/qnn_runs.py [NAME ...]`. Its HTP library
emulates the accelerator on x86-64 Linux; it says nothing about speed. Shapes must be static.

Of each model: the least cosine of the first output to the float model's, with onnxruntime's CPU and with the
execution provider; for all-MiniLM-L6-v2 (scripts/get-models) that of sentence embeddings. Exits with 1 if
a model is refused.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import onnxruntime_qnn
from onnx import helper, numpy_helper
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

import quantlib as ql

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import minilm  # noqa: E402

RECIPES = ["a8w8", "a16w8", "a16w4"]
PROVIDER = "QNNExecutionProvider"
# Tokens of a sentence, and sentences that calibrate and that are compared.
TOKENS, SAMPLES, COMPARED = 16, 8, 4

rng = np.random.default_rng(20250101)


def normal(*shape):
    """Weights that keep the size of what goes through them."""
    fan_in = max(1, int(np.prod(shape[1:])))
    return rng.standard_normal(shape, dtype=np.float32) / np.float32(fan_in**0.5)


def model(nodes, weights, inputs, outputs, opset=17):
    value = lambda name, shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, shape) for name, shape in inputs.items()],
        [value(name, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, check_type=True)


class Chain:
    """Nodes one after the other; a call yields the name of what it makes."""

    def __init__(self):
        self.nodes, self.weights = [], {}

    def __call__(self, op, *inputs, **attributes):
        output = f"{op}_{len(self.nodes)}"
        names = [name if isinstance(name, str) else self.weight(name) for name in inputs]
        self.nodes.append(helper.make_node(op, names, [output], f"{output}_node", **attributes))
        return output

    def weight(self, array):
        name = f"weight_{len(self.weights)}"
        self.weights[name] = array
        return name

    def model(self, inputs, output, shape):
        self.nodes.append(helper.make_node("Identity", [output], ["y"], "last"))
        return model(self.nodes, self.weights, inputs, {"y": shape})


def convolutions():
    """Convolutions, one of them depthwise, a normalization, activations and pools, and a head."""
    add = Chain()
    x = add("Relu", add("Conv", "x", normal(8, 3, 3, 3), normal(8), pads=[1] * 4))
    x = add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = add("Conv", x, normal(8, 1, 3, 3), pads=[1] * 4, group=8)
    y = add("BatchNormalization", y, 1 + normal(8) / 10, normal(8), normal(8), np.abs(normal(8)) + np.float32(0.5))
    x = add("Add", add("Clip", y, np.float32(0), np.float32(6)), x)
    x = add("HardSwish", add("Conv", x, normal(16, 8, 1, 1), normal(16)))
    x = add("Mul", x, add("Sigmoid", x))
    x = add("ConvTranspose", x, normal(16, 4, 2, 2), normal(4), strides=[2, 2])
    x = add("InstanceNormalization", x, 1 + normal(4) / 10, normal(4))
    x = add("Flatten", add("GlobalAveragePool", add("PRelu", x, np.full((4, 1, 1), 0.1, np.float32))))
    return add.model({"x": [1, 3, 16, 16]}, add("Gemm", x, normal(10, 4), normal(10), transB=1), [1, 10])


def transformer():
    """One layer with RMS norms in their parts, a causal mask, rotations, and SiLU."""
    width, heads, length = 32, 4, 8
    size = width // heads
    add = Chain()

    def norm(x):
        mean = add("ReduceMean", add("Pow", x, np.float32(2)), axes=[-1], keepdims=1)
        root = add("Sqrt", add("Add", mean, np.float32(1e-5)))
        return add("Mul", add("Mul", x, add("Reciprocal", root)), 1 + normal(width) / 10)

    def rotated(x, cosine, sine):
        parts = [np.array([n]) for n in (0, size // 2, size, 3)]
        low, high = add("Slice", x, parts[0], parts[1], parts[3]), add("Slice", x, parts[1], parts[2], parts[3])
        turned = add("Concat", add("Neg", high), low, axis=3)
        return add("Add", add("Mul", x, cosine), add("Mul", turned, sine))

    def part(x):
        split = add("Reshape", add("MatMul", x, normal(width, width)), np.array([1, length, heads, size]))
        return add("Transpose", split, perm=[0, 2, 1, 3])

    angles = rng.standard_normal((1, 1, length, size), dtype=np.float32)
    turns = np.cos(angles), np.sin(angles)
    inner = norm("x")
    query, key, value = (part(inner) for _ in range(3))
    scores = add("MatMul", rotated(query, *turns), add("Transpose", rotated(key, *turns), perm=[0, 1, 3, 2]))
    causal = np.triu(np.full((1, 1, length, length), np.finfo(np.float32).min), 1)
    scores = add("Add", add("Div", scores, np.float32(size**0.5)), causal)
    context = add("Transpose", add("MatMul", add("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    context = add("Reshape", context, np.array([1, length, width]))
    x = add("Add", "x", add("MatMul", context, normal(width, width)))
    inner = norm(x)
    gate = add("MatMul", inner, normal(width, 64))
    wide = add("Mul", add("Mul", gate, add("Sigmoid", gate)), add("MatMul", inner, normal(width, 64)))
    x = add("Add", x, add("MatMul", wide, normal(64, width)))
    return add.model({"x": [1, length, width]}, x, [1, length, width])


def random_samples(made):
    (given,) = made.graph.input
    shape = [dimension.dim_value for dimension in given.type.tensor_type.shape.dim]
    return [{given.name: rng.standard_normal(shape, dtype=np.float32)} for _ in range(SAMPLES + COMPARED)]


def sentences():
    """all-MiniLM-L6-v2 for one sentence of so many tokens, and sentences that fit."""
    made = minilm.build()
    make_dim_param_fixed(made.graph, "batch", 1)
    make_dim_param_fixed(made.graph, "sequence", TOKENS)
    inputs = minilm.tokenize()
    fitting = np.flatnonzero(inputs["attention_mask"].sum(1) <= TOKENS)
    more = minilm.tokenize(minilm.MORE_SENTENCES[len(minilm.SENTENCES) :])
    others = np.flatnonzero(more["attention_mask"].sum(1) <= TOKENS)
    rows = lambda arrays, which: [{key: array[[row], :TOKENS] for key, array in arrays.items()} for row in which]
    found = rows(inputs, fitting) + rows(more, others)
    return made, found[: SAMPLES + COMPARED]


def cosine(a, b):
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    return a @ b / np.sqrt((a @ a) * (b @ b))


def first_output(session, inputs):
    return session.run(None, inputs)[0]


def embedding(session, inputs):
    return minilm.embed(session, inputs)


def on_provider(path):
    """A session of which every node is the execution provider's."""
    devices = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {"backend_path": onnxruntime_qnn.get_qnn_htp_path(), "offload_graph_io_quantization": "0"}
    options.add_provider_for_devices(devices[:1], settings)
    return ort.InferenceSession(str(path), options)


def compare(name, made, samples, result, folder):
    """Prints a line for each recipe; whether all of them ran."""
    path, accepted = folder / f"{name}.onnx", True
    onnx.save(made, path)
    original = ort.InferenceSession(str(path))
    compared = samples[-COMPARED:]
    for recipe in RECIPES:
        out = folder / f"{name}-{recipe}.onnx"
        ql.quantize_model(path, out, recipe, calibration=samples[:-COMPARED])
        cosines = lambda session: min(cosine(result(session, x), result(original, x)) for x in compared)
        line = f"{name} {recipe}: CPU {cosines(ort.InferenceSession(str(out))):.5f}"
        try:
            print(f"{line}, QNN {cosines(on_provider(out)):.5f}", flush=True)
        except Exception as error:
            accepted = False
            print(f"{line}, QNN refuses: {str(error)[:300]}", flush=True)
    return accepted


def main(names):
    ort.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    cases = {
        "convolutions": lambda: (convolutions(), None, first_output),
        "transformer": lambda: (transformer(), None, first_output),
        "minilm": lambda: (*sentences(), embedding),
    }
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names or cases:
            made, samples, result = cases[name]()
            done.append(compare(name, made, samples or random_samples(made), result, Path(folder)))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

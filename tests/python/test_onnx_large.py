"""ONNX models with more weights than protobuf, or a small machine's memory, holds."""

import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

WIDTH, COUNT = 8192, 9

QUANTIZE = """
import sys
import quantlib as ql

def peak():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) * 1024

before = peak()
ql.quantize_model(sys.argv[1], sys.argv[2], "int4")
print(peak() - before)
"""


def sparse_model(path, weight):
    """Products of one input with matrices in external data, 2.25 GiB of zeros but for the last one's first rows,
    which take room only where they are not zero."""
    size = 4 * WIDTH * WIDTH
    with open(f"{path}.data", "wb") as file:
        file.seek((COUNT - 1) * size)
        file.write(weight.tobytes())
        file.truncate(COUNT * size)
    weights = []
    for index in range(COUNT):
        tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in [("location", f"{path.name}.data"), ("offset", index * size), ("length", size)]:
            tensor.external_data.add(key=key, value=str(value))
        weights.append(tensor)
    nodes = [helper.make_node("MatMul", ["x", f"w{index}"], [f"y{index}"], f"product{index}") for index in range(COUNT)]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH])
    outputs = [value(f"y{index}") for index in range(COUNT)]
    graph = helper.make_graph(nodes, "products", [value("x")], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and Linux's VmHWM")
def test_int4_of_more_than_two_gigabytes_in_bounded_memory(tmp_path, rng):
    if shutil.disk_usage(tmp_path).free < 2**30:
        pytest.skip("needs a gigabyte of disk")
    source, out = tmp_path / "model.onnx", tmp_path / "int4.onnx"
    weight = rng.standard_normal((64, WIDTH), dtype=np.float32)
    sparse_model(source, weight)
    taken = int(subprocess.check_output([sys.executable, "-c", QUANTIZE, source, out], text=True))
    # The memory limit is 128 MiB; one matrix takes 256.
    assert taken < 160 << 20
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    x = rng.standard_normal((2, WIDTH), dtype=np.float32)
    first, last = session.run(["y0", f"y{COUNT - 1}"], {"x": x})
    assert not first.any()
    exact = x[:, :64] @ weight
    assert np.linalg.norm(last - exact) < 0.15 * np.linalg.norm(exact)

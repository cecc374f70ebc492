"""ONNX recipes beside onnxruntime's tools, on a model that is made for it: wall time, peak memory, error.

    python benches/onnx_models.py QUANTLIB [RECIPE...] [--megabytes 1024] [--runs 3] [--folder DIR]

QUANTLIB is the command to measure, such as target/release/quantlib; the recipes are all of those below unless some
are named. Every run is a process of its own, and both read and write files in the same folder, ours first. The
weights that both write are compared. The error is that of four rows of outputs, relative to their norm.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from processes import apart, timed

WIDTH = 4096

NBITS = """
import onnx, sys
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=False, bits={bits})
quantizer = MatMulNBitsQuantizer(onnx.load(sys.argv[1]), algo_config=config)
quantizer.process()
quantizer.model.save_model_to_file(sys.argv[2], False)
"""

DYNAMIC = """
import sys
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[1], sys.argv[2], per_channel=True, weight_type=QuantType.QUInt8)
"""

FP16 = """
import onnx, sys
from onnxruntime.transformers.float16 import convert_float_to_float16
onnx.save(convert_float_to_float16(onnx.load(sys.argv[1])), sys.argv[2])
"""

PEERS = {
    "int4": NBITS.format(bits=4),
    "int8": NBITS.format(bits=8),
    "dynamic-int8": DYNAMIC,
    "fp16": FP16,
}


def make(path, megabytes):
    """Products with square matrices, one after the other."""
    random, count = np.random.default_rng(0), max(1, megabytes * 2**18 // WIDTH**2)
    nodes = [helper.make_node("MatMul", [f"y{i}", f"w{i}"], [f"y{i + 1}"], f"product{i}") for i in range(count)]
    weights = [
        numpy_helper.from_array(random.standard_normal((WIDTH, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5), f"w{i}")
        for i in range(count)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("y0", f"y{count}")]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def measure(command, out, runs):
    """Seconds (the median), and the most memory in MiB."""
    seconds, memory = [], 0
    for _ in range(runs):
        out.unlink(missing_ok=True)
        taken, peak = timed(command)
        seconds.append(taken)
        memory = max(memory, peak)
    return statistics.median(seconds), memory


def constants(path):
    return {t.name: hashlib.sha256(numpy_helper.to_array(t).tobytes()).digest() for t in onnx.load(path).graph.initializer}


def output(path):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((4, WIDTH), dtype=np.float32)
    if session.get_inputs()[0].type == "tensor(float16)":
        x = x.astype(np.float16)
    return session.run(None, {"y0": x})[0].astype(np.float64)


def error(path, original):
    return np.linalg.norm(output(path) - original) / np.linalg.norm(original)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(PEERS))
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        src, ours, theirs = (Path(folder) / f"{name}.onnx" for name in ("src", "ours", "theirs"))
        apart(make, src, options.megabytes)
        original = apart(output, src)
        copied = measure([options.command, "convert", src, "-o", ours], ours, options.runs)
        print(f"{src.stat().st_size / 2**20:.0f} MiB, {os.cpu_count()} CPUs; a copy takes {copied[0]:.1f} s")
        print("| | seconds | peer's | times faster | MiB | peer's | share | error | peer's |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in options.recipes or PEERS:
            peer = PEERS[name]
            seconds, memory = measure([options.command, "quantize", src, "-o", ours, "-t", name], ours, options.runs)
            peers, much = measure([sys.executable, "-c", peer, src, theirs], theirs, options.runs)
            assert apart(constants, ours) == apart(constants, theirs), name
            errors = [apart(error, path, original) for path in (ours, theirs)]
            print(
                f"| {name} | {seconds:.1f} | {peers:.1f} | {peers / seconds:.1f} | {memory:.0f} | {much:.0f} |"
                f" 1/{much / memory:.0f} | {errors[0]:.4f} | {errors[1]:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

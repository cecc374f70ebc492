"""Static quantization to 8 bits: quantlib beside onnxruntime's quantize_static, on one model and the same samples.

    python benches/calibration.py [--gigabytes 1] [--samples 8 32] [--only quantlib] [--command PATH]
                                  [--folder DIR]

needs the quantlib package (a release build), onnx and onnxruntime; --only leaves quantize_static out, --command runs
the command in the package's place, such as target/release/quantlib. Each runs in a process of its own, for its time
and its peak of memory; so does a float session that runs the same samples, whose peak is the measure. Samples have 64
rows. Prints Markdown. The error is that of the outputs, as a share of their standard deviation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import apart

WORK = """
import json, resource, subprocess, sys, time
import numpy as np
what, model, out, count, columns = sys.argv[1:3] + sys.argv[3:4] + [int(n) for n in sys.argv[4:6]]
who = resource.RUSAGE_SELF
samples = [{"x": np.random.default_rng(i).standard_normal((1, 64, columns), dtype=np.float32)} for i in range(count)]
if what == "quantlib" and sys.argv[6:]:
    np.savez(out + ".npz", x=np.concatenate([sample["x"] for sample in samples]))
    who = resource.RUSAGE_CHILDREN
    begin = time.perf_counter()
    command = [sys.argv[6], "quantize", model, "-o", out, "-t", "static-int8", "--calibration", out + ".npz"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
elif what == "quantlib":
    import quantlib as ql, onnxruntime
    begin = time.perf_counter()
    ql.quantize_model(model, out, "static-int8", calibration=samples)
elif what == "onnxruntime":
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    class Reader(CalibrationDataReader):
        left = iter(samples)
        def get_next(self):
            return next(self.left, None)
    begin = time.perf_counter()
    quantize_static(model, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["MatMul"], use_external_data_format=True)
else:
    import onnxruntime as ort
    begin = time.perf_counter()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = [session.run(None, sample)[0] for sample in samples]
    np.save(out, outputs)
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(who).ru_maxrss / 1024]))
"""


def make(path, gigabytes, columns):
    """Layers of a feed-forward network with LayerNormalization and a residual, of random weights."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    scale = np.ones(columns, np.float32)
    weights.append(numpy_helper.from_array(scale, "scale"))
    layers = max(1, round(gigabytes * 2**30 / (8 * columns * columns * 4)))
    for layer in range(layers):
        up = rng.standard_normal((columns, 4 * columns), dtype=np.float32) / columns**0.5
        down = rng.standard_normal((4 * columns, columns), dtype=np.float32) / (4 * columns) ** 0.5
        weights += [numpy_helper.from_array(up, f"up{layer}"), numpy_helper.from_array(down, f"down{layer}")]
        names = [f"{part}{layer}" for part in ("n", "u", "r", "d", "x")]
        nodes += [
            helper.make_node("LayerNormalization", [x, "scale"], names[:1], f"norm{layer}"),
            helper.make_node("MatMul", [names[0], f"up{layer}"], names[1:2], f"up{layer}"),
            helper.make_node("Relu", names[1:2], names[2:3], f"relu{layer}"),
            helper.make_node("MatMul", [names[2], f"down{layer}"], names[3:4], f"down{layer}"),
            helper.make_node("Add", [x, names[3]], names[4:], f"add{layer}"),
        ]
        x = names[4]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, columns])
    graph = helper.make_graph(nodes, "graph", [value("x")], [value(x)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location=path.name + ".data")


def measure(what, model, out, count, wish):
    command = [sys.executable, "-c", WORK, what, str(model), str(out), str(count), str(wish.columns)]
    if wish.command:
        command.append(str(Path(wish.command).resolve()))
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{what} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def error(path, reference):
    import numpy as np

    reference = np.load(reference)
    return np.std(np.load(path) - reference) / np.std(reference)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--samples", type=int, nargs="+", default=[8])
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--only", choices=["quantlib"])
    parser.add_argument("--command")
    parser.add_argument("--folder")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wish.folder) as folder:
        folder = Path(folder)
        model = folder / "model.onnx"
        apart(make, model, wish.gigabytes, wish.columns)
        print(f"{wish.gigabytes} GiB\n\n| | samples | seconds | peak MiB | error |\n|---|---|---|---|---|", flush=True)
        notes = [compare(folder, model, samples, wish) for samples in wish.samples]
        print("", *notes, sep="\n")


def compare(folder, model, samples, wish):
    """Prints rows of the table for so many samples; what follows from them."""
    reference = folder / "reference.npy"
    seconds, peak = measure("float", model, reference, samples, wish)
    print(f"| float session | {samples} | {seconds:.1f} | {peak:.0f} | |", flush=True)
    rows = {}
    for what in ["quantlib"] if wish.only else ["quantlib", "onnxruntime"]:
        out, outputs = folder / f"{what}.onnx", folder / "outputs.npy"
        rows[what] = measure(what, model, out, samples, wish)
        measure("float", out, outputs, samples, wish)
        lost = error(outputs, reference)
        print(f"| {what} | {samples} | {rows[what][0]:.1f} | {rows[what][1]:.0f} | {lost:.4f} |", flush=True)
    note = f"{samples} samples: {rows['quantlib'][1] - peak:+.0f} MiB to the float session"
    if not wish.only:
        note += f", {rows['onnxruntime'][0] / rows['quantlib'][0]:.1f} times as fast as quantize_static"
    return f"- {note}"


if __name__ == "__main__":
    main()

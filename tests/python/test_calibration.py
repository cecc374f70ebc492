"""Calibration and static quantization of ONNX models, beside onnxruntime's own."""

import json
import subprocess
import sys

import minilm
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from graphs import make, session
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import quantlib as ql


@pytest.fixture
def dense(tmp_path, rng):
    """MatMul → Add → Relu → Gemm (transposed) → Gemm; one weight used twice."""
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {
        "W1": normal(24, 40),
        "b1": normal(40),
        "W2": normal(32, 40) * np.linspace(0.01, 3, 32, dtype=np.float32)[:, None],
        "b2": normal(32),
        "W3": normal(32, 16),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "W1"], ["m"], "first"),
        helper.make_node("Add", ["m", "b1"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "W2", "b2"], ["g"], "second", transB=1),
        helper.make_node("MatMul", ["g", "W3"], ["y"], "third"),
        helper.make_node("Neg", ["g"], ["n"], "neg"),
        helper.make_node("MatMul", ["n", "W3"], ["z"], "fourth"),
    ]
    shapes = ({"x": ["batch", 24]}, {"y": ["batch", 16], "z": ["batch", 16]})
    return make(tmp_path / "dense.onnx", nodes, weights, *shapes)


@pytest.fixture
def convolutions(tmp_path, rng):
    """Conv → Relu → Conv → GlobalAveragePool."""
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"C1": normal(8, 3, 3, 3), "b1": normal(8), "C2": normal(6, 8, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "C1", "b1"], ["c"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "C2"], ["d"], "second"),
        helper.make_node("GlobalAveragePool", ["d"], ["y"], "pool"),
    ]
    shapes = ({"x": ["batch", 3, 10, 10]}, {"y": ["batch", 6, 1, 1]})
    return make(tmp_path / "conv.onnx", nodes, weights, *shapes)


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        return next(self.samples, None)


def constants(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def samples(rng, *shape, number=5):
    return [{"x": rng.standard_normal(shape, dtype=np.float32) * (i + 1)} for i in range(number)]


@pytest.mark.parametrize(("name", "shape"), [("dense", (4, 24)), ("convolutions", (1, 3, 10, 10))])
def test_scales_zero_points_and_codes_are_those_of_quantize_static(request, tmp_path, rng, name, shape):
    model, inputs = request.getfixturevalue(name), samples(rng, *shape)
    theirs, ours = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    quantize_static(
        str(model),
        str(theirs),
        Reader(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm", "Conv", "Relu"],
    )
    ql.quantize_model(model, ours, "static-int8", calibration=inputs, calibration_method="minmax")
    onnx.checker.check_model(onnx.load(ours))
    expected, found = constants(theirs), constants(ours)
    compared = [name for name in found if name in expected]
    for name in compared:
        if name in ("r_scale", "d_scale"):
            # What convolutions sum up depends on the graph that onnxruntime makes of the model.
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], expected[name], name)
        assert found[name].dtype == expected[name].dtype
    quantized = {node.input[1] for node in onnx.load(model).graph.node if node.op_type in ("MatMul", "Gemm", "Conv")}
    for weight in quantized:
        assert {f"{weight}_{part}" for part in ("quantized", "scale", "zero_point")} <= set(compared)
    assert {"x_scale", "x_zero_point", "r_scale", "r_zero_point"} <= set(compared)
    assert len([name for name in compared if name.endswith("_quantized_scale")]) == 1, "a bias"
    a, b = (session(path).run(["y"], inputs[-1])[0] for path in (model, ours))
    assert np.abs(a - b).max() < 0.05 * np.abs(a).max()


def test_products_run_with_integers(dense, tmp_path, rng):
    out, fused = tmp_path / "out.onnx", tmp_path / "fused.onnx"
    report = ql.quantize_model(dense, out, "static-int8", calibration=samples(rng, 4, 24))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(fused)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    ort.InferenceSession(str(out), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(fused).graph.node]
    assert operators.count("MatMulIntegerToFloat") == 2
    assert operators.count("QGemm") == 1
    # onnxruntime makes a Gemm of MatMul and Add, whose bias is no integer.
    assert operators.count("Gemm") == 1 and "MatMul" not in operators
    assert "W1" not in constants(out)
    assert any("4 nodes calculate with integers" in note for note in report.notes)


@pytest.mark.parametrize("method", ["mse", "minmax", "moving-average", "percentile", "percentile:99.9", "entropy"])
def test_every_method_finds_ranges(dense, tmp_path, rng, method):
    inputs = samples(rng, 4, 24)
    ranges = ql.calibrate(dense, iter(inputs), method=method)
    assert sorted(ranges) == ["g", "n", "r", "x"]
    assert ranges.method == method.split(":")[0]
    least, greatest = (f(float(s["x"].min() if f is min else s["x"].max()) for s in inputs) for f in (min, max))
    entry = ranges["x"]
    assert (entry["least"], entry["greatest"]) == pytest.approx((least, greatest))
    assert least <= entry["low"] < 0 < entry["high"] <= greatest
    assert entry["values"] == sum(s["x"].size for s in inputs)
    path = tmp_path / "ranges.json"
    ranges.save(path)
    assert dict(ql.Calibration.load(path)) == dict(ranges)
    ql.quantize_model(dense, tmp_path / "a.onnx", "static-int8", calibration=ranges)
    ql.quantize_model(dense, tmp_path / "b.onnx", "static-int8", calibration=path)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_order_and_grouping_of_samples_do_not_matter(dense, rng):
    inputs = samples(rng, 4, 24, number=12)
    assert dict(ql.calibrate(dense, inputs)) == dict(ql.calibrate(dense, inputs[::-1]))


def test_masks_are_recognized(tmp_path, rng):
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["a"], "add"),
        helper.make_node("MatMul", ["a", "W"], ["y"], "product"),
    ]
    mask = np.where(np.arange(24) < 20, 0, np.finfo(np.float32).min).astype(np.float32)
    weights = {"mask": mask, "W": rng.standard_normal((24, 8), dtype=np.float32)}
    weights["W"][20:] = 0
    model = make(tmp_path / "model.onnx", nodes, weights, {"x": ["b", 24]}, {"y": ["b", 8]})
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    report = ql.quantize_model(model, out, "static-int8", calibration=inputs)
    assert any("absurdly large" in note and "'a'" in note for note in report.notes)
    a, b = (session(path).run(None, inputs[-1])[0] for path in (model, out))
    assert np.abs(a - b).max() < 0.03 * np.abs(a).max()


def test_sensitive_nodes_are_left_alone_and_named(dense, tmp_path, rng):
    ranges = ql.calibrate(dense, samples(rng, 4, 24))
    poor = ql.Calibration({**ranges, "r": {**ranges["r"], "signal_to_noise": 3.0}})
    out = tmp_path / "out.onnx"
    report = ql.quantize_model(dense, out, "static-int8", calibration=poor)
    assert any("'second' is left as it is" in note and "3.0 dB" in note for note in report.notes)
    assert {"W2", "b2"} <= set(constants(out))
    report = ql.quantize_model(dense, out, "static-int8", calibration=ranges, exclude=["^first$"])
    assert {"W1"} <= set(constants(out)) and "x_scale" not in constants(out)


def test_errors_say_what_to_do(dense, tmp_path, rng):
    out = tmp_path / "out.onnx"
    with pytest.raises(ql.MisuseError, match="samples"):
        ql.quantize_model(dense, out, "static-int8")
    with pytest.raises(ql.MisuseError, match="at least one"):
        ql.quantize_model(dense, out, "static-int8", calibration=[])
    with pytest.raises(ql.MisuseError, match="list of them"):
        ql.calibrate(dense, {"x": np.zeros((1, 24), np.float32)})
    with pytest.raises(ql.MisuseError, match="minmax"):
        ql.calibrate(dense, samples(rng, 4, 24), method="best")
    with pytest.raises(ql.MalformedError, match="range"):
        ql.Calibration({"x": {"low": 1.0, "high": 0.0}})
    np.savez(tmp_path / "uneven.npz", x=np.zeros((2, 24)), y=np.zeros(3))
    with pytest.raises(ql.MisuseError, match="sizes"):
        ql.calibrate(dense, tmp_path / "uneven.npz")
    assert not out.exists()


def test_samples_come_from_files(dense, tmp_path, rng):
    x = rng.standard_normal((6, 24), dtype=np.float32)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder/x.npy", x)
    expected = dict(ql.calibrate(dense, [{"x": row[None]} for row in x]))
    assert dict(ql.calibrate(dense, tmp_path / "x.npz")) == expected
    assert dict(ql.calibrate(dense, tmp_path / "folder")) == expected


@pytest.mark.skipif(not (minilm.FOLDER / "config.json").is_file(), reason="the model is not fetched: scripts/get-models")
class TestMiniLM:
    SENTENCES = (
        "The cat sat on the mat and looked at the rain outside.",
        "How much does the annual subscription cost?",
        "Quarterly revenue rose by 12 percent, beating expectations.",
        "Photosynthesis converts light into chemical energy.",
        "He plays the violin in a small orchestra.",
        "for i in range(10): print(i)",
        "The train to Berlin leaves at 7:45 from platform nine.",
        "I love this restaurant; the pasta is fantastic!",
    )

    @pytest.fixture(scope="class")
    @classmethod
    def original(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("minilm") / "model.onnx"
        onnx.save(minilm.build(), path)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def calibration(cls):
        return [minilm.tokenize([sentence]) for sentence in cls.SENTENCES]

    def test_static_int8_is_good_by_default(self, original, calibration, tmp_path):
        out = tmp_path / "out.onnx"
        report = ql.quantize_model(original, out, "static-int8", calibration=calibration)
        graph = onnx.load(out).graph
        kept = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 2}
        assert not [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in kept]
        assert not [note for note in report.notes if "left as it is" in note]
        assert [note for note in report.notes if "once more" in note]
        for node in graph.node:
            if node.op_type in ("MatMul", "Gemm") and "DequantizeLinear" in node.input[1]:
                assert "DequantizeLinear" in node.input[0], node.name
        inputs = minilm.tokenize(minilm.MORE_SENTENCES)
        cosines = minilm.cosines(session(out, precise=True), session(original), inputs)
        assert cosines.min() >= 0.97, minilm.MORE_SENTENCES[cosines.argmin()]

    def test_static_int8_of_f16_is_as_good(self, original, calibration, tmp_path):
        half, out = tmp_path / "half.onnx", tmp_path / "out.onnx"
        ql.quantize_model(original, half, "fp16")
        report = ql.quantize_model(half, out, "static-int8", calibration=calibration)
        graph = onnx.load(out).graph
        onnx.checker.check_model(onnx.load(out))
        kept = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16 and len(t.dims) == 2}
        wide = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in kept]
        # The pooler has a bias, and no embedding comes from it.
        assert wide == ["/pooler.dense/Gemm"]
        assert any("/pooler.dense/Gemm' is left as it is" in note for note in report.notes)
        inputs = minilm.tokenize(minilm.MORE_SENTENCES)
        cosines = minilm.cosines(session(out, precise=True), session(original), inputs)
        assert cosines.min() >= 0.97, minilm.MORE_SENTENCES[cosines.argmin()]

    @pytest.mark.parametrize(("recipe", "least"), [("a16w8", 0.99), ("a16w4", 0.7), ("a8w8", 0.6)])
    def test_whole_models_in_integers(self, original, calibration, tmp_path, recipe, least):
        out = tmp_path / "out.onnx"
        report = ql.quantize_model(original, out, recipe, calibration=calibration)
        check_whole(out)
        assert any("absurdly large" in note for note in report.notes), "the mask is recognized"
        # Padded, as no sample is.
        inputs = minilm.tokenize()
        assert minilm.cosines(session(out), session(original), inputs).min() >= least


def check_whole(path):
    """Every float that is read comes from a DequantizeLinear, and every one that is made is quantized."""
    graph = onnx.load(path).graph
    types = {t.name: t.data_type for t in graph.initializer}
    pairs = ("QuantizeLinear", "DequantizeLinear")
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    quantized = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    moved = ("Cast", "Shape", "Constant")
    integers = {"Shape", "Cast", "Slice", "Gather", "Unsqueeze"}
    for node in graph.node:
        if node.op_type in pairs or node.op_type in moved:
            continue
        for name in node.input:
            assert types.get(name) != TensorProto.FLOAT, f"{node.name} reads the constant {name}"
        for name in node.output:
            assert name in quantized or node.op_type in integers, f"{node.name} makes {name}"
    assert dequantized


@pytest.mark.parametrize(("opset", "domain"), [(17, "com.microsoft"), (21, "")])
@pytest.mark.parametrize(("recipe", "bound"), [("a8w8", 0.1), ("a16w8", 0.05), ("a16w4", 0.4)])
def test_whole_graphs_in_integers(tmp_path, rng, recipe, bound, opset, domain):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"W": normal(24, 40), "b": normal(40), "s": 1 + normal(40) / 9, "t": normal(40), "V": normal(8, 40)}
    weights["c"] = normal(8)
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"], "product"),
        helper.make_node("Add", ["b", "m"], ["a"], "add"),
        helper.make_node("LayerNormalization", ["a", "s", "t"], ["n"], "norm"),
        helper.make_node("Tanh", ["n"], ["h"], "tanh"),
        helper.make_node("Gemm", ["h", "V", "c"], ["g"], "gemm", transB=1),
        helper.make_node("Softmax", ["g"], ["p"], "softmax"),
        helper.make_node("Transpose", ["p"], ["y"], "turn"),
    ]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": ["b", 24]}, {"y": [8, "b"]}, opset)
    out, inputs = tmp_path / "out.onnx", samples(rng, 4, 24)
    ql.quantize_model(model, out, recipe, calibration=inputs)
    onnx.checker.check_model(onnx.load(out))
    check_whole(out)
    found = onnx.load(out).graph.node
    expected = domain if recipe != "a8w8" else ""
    assert {node.domain for node in found if "quantizeLinear" in node.op_type.replace("Q", "q")} == {expected}
    values = constants(out)
    assert values["y_scale"] == values["p_scale"] == np.float32(1 / (255 if recipe == "a8w8" else 65535))
    if recipe != "a8w8":
        assert (values["h_scale"], values["h_zero_point"]) == (np.float32(1 / 32768), 32768)
    a, b = (session(path).run(None, inputs[0])[0] for path in (model, out))
    assert np.abs(a - b).max() < bound


def test_encodings_are_read_in_place_of_ranges(dense, tmp_path, rng):
    ranges = ql.calibrate(dense, samples(rng, 4, 24))
    path, out = tmp_path / "encodings.json", tmp_path / "out.onnx"
    path.write_text(ranges.to_encodings(8))
    ql.quantize_model(dense, out, "static-int8", calibration=path)
    found = constants(out)
    for entry in json.loads(path.read_text())["activation_encodings"]:
        name = entry["name"]
        np.testing.assert_allclose(found[f"{name}_scale"], entry["scale"][0], rtol=1e-6)
        assert found[f"{name}_zero_point"] == -entry["offset"][0]


def run(*arguments, **kwargs):
    command = [sys.executable, "-m", "quantlib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def test_the_command_runs_onnxruntime(dense, tmp_path, rng):
    x = rng.standard_normal((6, 24), dtype=np.float32)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    ours, theirs = tmp_path / "command.onnx", tmp_path / "python.onnx"
    arguments = ("quantize", dense, "-o", ours, "-t", "static-int8")
    done = run(*arguments, "--calibration", tmp_path / "x.npz")
    assert done.returncode == 0, done.stderr
    ql.quantize_model(dense, theirs, "static-int8", calibration=tmp_path / "x.npz")
    assert ours.read_bytes() == theirs.read_bytes()
    done = run(*arguments)
    assert done.returncode == 1 and "samples" in done.stderr
    done = run(*arguments, "--calibration", tmp_path / "missing.npz")
    assert done.returncode == 1 and "missing.npz" in done.stderr
    environment = {"ORT_DYLIB_PATH": str(tmp_path / "none.so"), "PATH": ""}
    done = run(*arguments, "--calibration", tmp_path / "x.npz", env=environment)
    assert done.returncode == 1 and "pip install onnxruntime" in done.stderr

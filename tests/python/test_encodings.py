"""Encodings of AIMET and Qualcomm's tools: written beside models, and read as what models must have."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import classifier, images, make, session
from onnx import TensorProto, helper, numpy_helper

import quantlib as ql

RECIPES = ["a8w8", "a16w8", "a16w4"]
GOLDEN = Path(__file__).resolve().parents[1] / "data/golden/encodings"
VERSIONS = ["0.6.1", "1.0.0", "2.0.0"]


@pytest.fixture
def model(tmp_path, rng):
    """Conv, ConvTranspose, MatMul and LayerNormalization, with constants that are initializers and nodes."""
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    weights = {"C": normal(6, 3, 3, 3), "cb": normal(6), "T": normal(6, 1, 2, 2), "tb": normal(1)}
    weights |= {"W": normal(8, 10), "s": 1 + normal(10) / 10, "b": normal(10), "k": normal(10)}
    node = lambda op, inputs, output, **more: helper.make_node(op, inputs, [output], f"{output}_node", **more)
    nodes = [
        node("Constant", [], "five", value=numpy_helper.from_array(np.float32([5, -3]).reshape(2, 1), "v")),
        node("Conv", ["x", "C", "cb"], "c", pads=[1] * 4),
        node("Relu", ["c"], "r"),
        node("ConvTranspose", ["r", "T", "tb"], "t"),
        node("Reshape", ["t", "shape"], "f"),
        node("Mul", ["f", "five"], "z"),
        node("MatMul", ["z", "W"], "m"),
        node("LayerNormalization", ["m", "s", "b"], "l"),
        node("Add", ["l", "k"], "y"),
    ]
    weights["shape"] = np.int64([2, 8])
    return make(tmp_path / "m.onnx", nodes, weights, {"x": [1, 3, 3, 3]}, {"y": [2, 10]})


@pytest.fixture
def samples(rng):
    return [{"x": rng.standard_normal((1, 3, 3, 3), dtype=np.float32)} for _ in range(4)]


def constants(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def by_name(path):
    """The entries of a file of any version, by the names of tensors."""
    read = json.loads(path.read_text())
    entries = {}
    for section in ("activation_encodings", "param_encodings", "encodings"):
        found = read.get(section, {})
        entries |= found if isinstance(found, dict) else {entry["name"]: entry for entry in found}
    return entries


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_written_gives_the_same_model(model, samples, tmp_path, recipe, version):
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    files = [tmp_path / "first.encodings", tmp_path / "second.json"]
    more = {"save_encodings": files[0], "encodings_version": version}
    report = ql.quantize_model(model, first, recipe, calibration=samples, **more)
    assert [file["path"] for file in report.files] == [str(first), str(files[0])]
    entries = by_name(files[0])
    assert {"x", "c", "r", "t", "f", "z", "m", "l", "y", "C", "T", "W", "s", "k", "five"} <= set(entries)
    assert json.loads(files[0].read_text())["version"] == version
    more = {"save_encodings": files[1], "encodings_version": version}
    ql.quantize_model(model, second, recipe, calibration=files[0], **more)
    assert first.read_bytes() == second.read_bytes()
    assert files[0].read_bytes() == files[1].read_bytes()
    # Kept by the class, too.
    ranges = ql.Calibration.load(files[0])
    assert ranges.encodings["W"]["bits"] == int(recipe[-1])
    ranges.save(tmp_path / "ranges.json")
    ql.quantize_model(model, second, recipe, calibration=tmp_path / "ranges.json")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_written_is_what_the_model_has(model, samples, tmp_path, recipe):
    out, file = tmp_path / "out.onnx", tmp_path / "out.encodings"
    ql.quantize_model(model, out, recipe, calibration=samples, save_encodings=file, encodings_version="2.0.0")
    found = constants(out)
    for name, entry in by_name(file).items():
        np.testing.assert_array_equal(found[f"{name}_scale"], np.float32(entry["y_scale"]), name)
        zeros = found[f"{name}_zero_point"].astype(np.int64)
        np.testing.assert_array_equal(zeros, np.broadcast_to(entry.get("y_zero_point", 0), zeros.shape), name)
    assert len([name for name in found if name.endswith("_scale")]) == len(by_name(file)) + 3, "and three biases"


@pytest.mark.parametrize("recipe", ["a8w8", "a16w8"])
def test_long_constants_and_single_channels_come_back(tmp_path, rng, recipe):
    weights = {"K": rng.standard_normal((300, 300), dtype=np.float32), "W": rng.standard_normal((300, 1), dtype=np.float32)}
    nodes = [helper.make_node("Add", ["x", "K"], ["a"], "add"), helper.make_node("MatMul", ["a", "W"], ["y"], "product")]
    model = make(tmp_path / "m.onnx", nodes, weights, {"x": [300, 300]}, {"y": [300, 1]})
    inputs = [{"x": rng.standard_normal((300, 300), dtype=np.float32)}]
    outs, files = ([tmp_path / f"{name}.{ending}" for name in "ab"] for ending in ("onnx", "json"))
    ql.quantize_model(model, outs[0], recipe, calibration=inputs, save_encodings=files[0])
    assert by_name(files[0])["W"]["enc_type"] == "PER_CHANNEL"
    assert constants(outs[0])["K_scale"] == np.float32(by_name(files[0])["K"]["scale"][0])
    ql.quantize_model(model, outs[1], recipe, calibration=files[0], save_encodings=files[1])
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert files[0].read_bytes() == files[1].read_bytes()


def rounded(values, scale, least, most, zero=0):
    return np.clip(np.round(values / scale) + zero, least, most)


@pytest.mark.parametrize("recipe", RECIPES)
def test_given_weights_are_taken_as_they_are(model, samples, tmp_path, rng, recipe):
    file, out = tmp_path / "given.json", tmp_path / "out.onnx"
    ql.quantize_model(model, out, recipe, calibration=samples, save_encodings=file)
    given = json.loads(file.read_text())
    params = {entry["name"]: entry for entry in given["param_encodings"]}
    channels = rng.uniform(0.01, 0.1, 10).astype(np.float32)
    strict = rng.uniform(0.01, 0.02, 6).astype(np.float32)
    params["W"] |= {"bw": 8, "is_sym": True, "scale": channels.tolist(), "offset": [-128] * 10}
    params["C"] |= {"bw": 16, "scale": strict.tolist(), "offset": [-32767] * 6}
    params["T"] |= {"bw": 4, "is_sym": False, "enc_type": "PER_TENSOR", "scale": [0.25], "offset": [-5]}
    params["k"] |= {"bw": 8, "is_sym": False, "scale": [0.125], "offset": [-100]}
    file.write_text(json.dumps(given))
    ql.quantize_model(model, out, recipe, calibration=file)
    found, weights = constants(out), constants(model)
    expected = {
        "W": (channels, 0, rounded(weights["W"], channels, -128, 127), TensorProto.INT8),
        "C": (strict, 0, rounded(weights["C"], strict[:, None, None, None], -32767, 32767), TensorProto.INT16),
        "T": ([0.25], 5, rounded(weights["T"], 0.25, 0, 15, 5), TensorProto.UINT4),
        "k": (0.125, 100, rounded(weights["k"], 0.125, 0, 255, 100), TensorProto.UINT8),
    }
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(out).graph.initializer}
    for name, (scale, zero, codes, kind) in expected.items():
        np.testing.assert_array_equal(found[f"{name}_scale"].ravel(), np.float32(scale), name)
        assert (found[f"{name}_zero_point"].astype(int) == zero).all(), name
        np.testing.assert_array_equal(found[f"{name}_quantized"].astype(np.int64), codes.astype(np.int64), name)
        assert kinds[f"{name}_quantized"] == kinds[f"{name}_zero_point"] == kind, name
    np.testing.assert_array_equal(found["cb_quantized_scale"], found["x_scale"] * strict)
    a, b = (session(path, precise=True).run(None, samples[0])[0] for path in (model, out))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9


def test_one_scale_for_a_product_of_channels(model, samples, tmp_path):
    file, out = tmp_path / "given.json", tmp_path / "out.onnx"
    entry = {"name": "C", "bw": 8, "dtype": "INT", "is_sym": True, "scale": [0.03], "offset": [-128]}
    ranges = json.loads(ql.calibrate(model, samples, "a8w8").to_encodings(8))
    file.write_text(json.dumps({**ranges, "param_encodings": [entry]}))
    ql.quantize_model(model, out, "a8w8", calibration=file)
    found = constants(out)
    assert found["C_scale"].shape == () and found["C_scale"] == np.float32(0.03)
    codes = np.round(constants(model)["cb"] / (found["x_scale"] * np.float32(0.03)))
    np.testing.assert_array_equal(found["cb_quantized"], codes)
    a, b = (session(path, precise=True).run(None, samples[0])[0] for path in (model, out))
    assert np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_static_int8_takes_given_weights(model, samples, tmp_path):
    file, out = tmp_path / "given.json", tmp_path / "out.onnx"
    scales = np.linspace(0.02, 0.04, 10, dtype=np.float32)
    entry = {"name": "W", "output_dtype": "int8", "y_scale": scales.tolist(), "axis": 1}
    activation = {"name": "z", "output_dtype": "uint8", "y_scale": 0.25, "y_zero_point": 90}
    file.write_text(json.dumps({"version": "2.0.0", "encodings": [entry, activation]}))
    ql.quantize_model(model, out, "static-int8", calibration=file)
    found = constants(out)
    np.testing.assert_array_equal(found["W_scale"], scales)
    codes = rounded(constants(model)["W"], scales, -128, 127)
    np.testing.assert_array_equal(found["W_quantized"], codes)
    assert (found["z_scale"], found["z_zero_point"]) == (np.float32(0.25), 90)
    session(out).run(None, samples[0])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("recipe", ["a16w8", "a16w4"])
def test_what_aimet_writes_is_taken_as_it_is(tmp_path, recipe, version):
    """Files of tests/peers/golden_encodings.py."""
    model, out = classifier(tmp_path / "m.onnx"), tmp_path / "out.onnx"
    ql.quantize_model(model, out, recipe, calibration=GOLDEN / f"{recipe}-{version}.encodings")
    found, weights = constants(out), constants(model)
    # The newest version says most: zero points with their sign, and what is only moved.
    expected = by_name(GOLDEN / f"{recipe}-2.0.0.encodings")
    names = {"x", "r", "p", "f", "m", "l", "y", "C", "W", "s"}
    assert names <= set(expected)
    for name in names:
        entry = expected[name]
        np.testing.assert_array_equal(found[f"{name}_scale"], np.float32(entry["y_scale"]), name)
        assert (found[f"{name}_zero_point"].astype(int) == entry.get("y_zero_point", 0)).all(), name
    least = -(2 ** (int(recipe[-1]) - 1))
    for name, shape in (("C", (-1, 1, 1, 1)), ("W", (1, -1))):
        scale = np.float32(expected[name]["y_scale"]).reshape(shape)
        codes = rounded(weights[name], scale, least, -least - 1)
        np.testing.assert_array_equal(found[f"{name}_quantized"].astype(int), codes, name)
    bound = 0.02 if recipe == "a16w8" else 0.2
    for sample in images(4):
        a, b = (session(path).run(None, sample)[0] for path in (model, out))
        assert np.abs(a - b).max() < bound


def entry(**changed):
    return {"name": "W", "bw": 8, "dtype": "INT", "is_sym": True, "scale": [0.1], "offset": [-128]} | changed


WRONG_IN_THEMSELVES = [
    ("{", "JSON"),
    ('{"encodings": ' + "[" * 100_000, "JSON"),
    ({"activation_encodings": 7}, "activation_encodings"),
    ({"param_encodings": [{"bw": 8}]}, "no name"),
    ({"param_encodings": [entry(scale=[0.1, "x"])]}, "'scale'"),
    ({"param_encodings": [entry(scale=[])]}, "0 scales"),
    ({"param_encodings": [entry(scale=[1e-60])]}, "scale"),
    ({"param_encodings": [entry(scale=[-1.0])]}, "scale"),
    ({"param_encodings": [entry(offset=[-1e300])]}, "'offset'"),
    ({"param_encodings": [entry(offset=[-256])]}, "offset"),
    ({"param_encodings": [entry(bw=2**40)]}, "bits"),
    ({"param_encodings": [entry(enc_type="LPBQ", block_size=16)]}, "blocks"),
    ({"param_encodings": {"W": [entry(), entry(bw=4, offset=[-8])]}}, "several types"),
    ({"encodings": [{"name": "W", "output_dtype": "int-8", "y_scale": 0.1}]}, "output_dtype"),
]
WRONG_FOR_THE_MODEL = [
    (entry(bw=5, offset=[-16]), "5 bits"),
    (entry(scale=[0.1] * 9, offset=[-128] * 9), "9 scales"),
    ({"name": "W", "output_dtype": "int8", "y_scale": [0.1] * 8, "axis": 0}, "axis 0"),
    ({"name": "W", "output_dtype": "int8", "y_scale": [0.1] * 8, "axis": 2**60}, "axis"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG_IN_THEMSELVES)
def test_nonsense_names_the_file(model, tmp_path, wrong, said):
    file, out, beside = tmp_path / "bad.json", tmp_path / "out.onnx", tmp_path / "out.encodings"
    file.write_text(wrong if isinstance(wrong, str) else json.dumps(wrong))
    with pytest.raises((ql.MalformedError, ql.UnsupportedError)) as caught:
        ql.quantize_model(model, out, "a8w8", calibration=file, save_encodings=beside)
    assert str(file) in str(caught.value) and said in str(caught.value)
    assert ("'W'" in str(caught.value)) == ('"W"' in file.read_text())
    assert not out.exists() and not beside.exists()


@pytest.mark.parametrize(("wrong", "said"), WRONG_FOR_THE_MODEL)
def test_what_does_not_fit_the_model_names_the_tensor(model, tmp_path, wrong, said):
    file, out, beside = tmp_path / "bad.json", tmp_path / "out.onnx", tmp_path / "out.encodings"
    section = "encodings" if "y_scale" in wrong else "param_encodings"
    known = entry(name="z", is_sym=False, offset=[-7])
    file.write_text(json.dumps({section: [wrong], "activation_encodings": [known]}))
    with pytest.raises((ql.MalformedError, ql.UnsupportedError)) as caught:
        ql.quantize_model(model, out, "a8w8", calibration=file, save_encodings=beside)
    assert "'W'" in str(caught.value) and said in str(caught.value)
    assert not out.exists() and not beside.exists()


def run(*arguments):
    command = [sys.executable, "-m", "quantlib", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_does_the_same(model, samples, tmp_path):
    ranges, ours, theirs = tmp_path / "ranges.json", tmp_path / "a.onnx", tmp_path / "b.onnx"
    ql.calibrate(model, samples, "a16w8").save(ranges)
    files = [tmp_path / "a.encodings", tmp_path / "b.encodings"]
    more = {"save_encodings": files[0], "encodings_version": "2.0.0"}
    ql.quantize_model(model, ours, "a16w8", calibration=ranges, **more)
    common = ("quantize", model, "-o", theirs, "--calibration", ranges, "--save-encodings", files[1])
    done = run(*common, "-t", "a16w8", "--encodings-version", "2.0.0")
    assert done.returncode == 0, done.stderr
    assert ours.read_bytes() == theirs.read_bytes()
    assert files[0].read_bytes() == files[1].read_bytes()
    done = run(*common[:4], "--calibration", files[1], "-t", "a16w8")
    assert done.returncode == 0, done.stderr
    assert ours.read_bytes() == theirs.read_bytes()
    for recipe, said in (("static-int8", "a16w4"), ("int4", "a16w4"), ("q4_k_m", "ONNX")):
        done = run(*common, "-t", recipe)
        assert done.returncode == 1 and said in done.stderr, recipe
    assert run(*common, "-t", "a8w8", "--encodings-version", "3").returncode == 2


def test_other_recipes_have_none_to_write(model, samples, tmp_path):
    file, out = tmp_path / "e.json", tmp_path / "out.onnx"
    for recipe in ("static-int8", "int4", "fp16", "q4_k_m"):
        ranges = samples if recipe == "static-int8" else None
        with pytest.raises(ql.MisuseError, match="a16w4"):
            ql.quantize_model(model, out, recipe, calibration=ranges, save_encodings=file)
    with pytest.raises(ql.MisuseError, match=r"2\.0\.0"):
        ql.quantize_model(model, out, "a8w8", calibration=samples, save_encodings=file, encodings_version="3")
    with pytest.raises(ql.MisuseError, match="save_encodings"):
        ql.quantize_model(model, out, "a8w8", calibration=samples, encodings_version="1.0.0")
    with pytest.raises(ql.MisuseError):
        ql.quantize_model(model, out, "a8w8", calibration=samples, save_encodings=out)
    assert not file.exists() and not out.exists()
    ql.quantize_model(model, out, "a8w8", calibration=samples, save_encodings=file, dry_run=True)
    assert not file.exists() and not out.exists()
    with pytest.raises(ql.IoError, match="missing.json"):
        ql.Calibration.load(tmp_path / "missing.json")

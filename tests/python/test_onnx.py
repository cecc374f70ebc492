"""ONNX models: onnx and onnxruntime read what is written, and their own tools write the same weights."""

import json
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.model import collect_testcases as model_cases
from onnx.backend.test.case.node import collect_testcases as node_cases
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)
from onnxruntime.quantization.quant_utils import QuantFormat

import quantlib as ql

RANDOM = np.random.default_rng(7)


@pytest.fixture(scope="session")
def backend_models(tmp_path_factory):
    """The models of ONNX's backend tests: those in the wheel, and one for every case of a node."""
    folder = tmp_path_factory.mktemp("backend")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [*model_cases(), *node_cases(None)]
    paths = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))
    for number, case in enumerate(cases):
        if case.model is not None:
            path = folder / f"{number}.onnx"
            path.write_bytes(case.model.SerializeToString())
            paths.append(path)
    assert len(paths) > 1500
    return paths


def test_models_that_nobody_edits_come_back_byte_for_byte(backend_models, tmp_path):
    def copy(path):
        out = tmp_path / f"{abs(hash(path))}.onnx"
        ql.convert_model(path, out)
        same = out.read_bytes() == path.read_bytes()
        out.unlink()
        return same

    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(copy, backend_models))
    assert [str(p) for p, ok in zip(backend_models, same, strict=True) if not ok] == []


def test_initializers_are_what_onnx_reads(backend_models):
    compared = 0
    for path in backend_models:
        graph = onnx.load(path, load_external_data=False).graph
        if not graph.initializer:
            continue
        with ql.open(path) as model:
            for tensor in graph.initializer:
                if tensor.name in model and tensor.data_type != TensorProto.BFLOAT16:
                    expected = numpy_helper.to_array(tensor)
                    got = model[tensor.name].read()
                    assert got.shape == expected.shape
                    assert got.tobytes() == expected.tobytes()
                    compared += 1
    assert compared > 50


def matrices(shapes, dtype=np.float32, opset=21):
    """A model that multiplies with one matrix after the other."""
    nodes, weights, value = [], [], "x"
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for number, shape in enumerate(shapes):
        weight = (RANDOM.standard_normal(shape) * 0.1).astype(dtype)
        weights.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{number}"], [f"y{number}"], f"product{number}"))
        value = f"y{number}"
    inputs = [helper.make_tensor_value_info("x", element, ["n", shapes[0][0]])]
    outputs = [helper.make_tensor_value_info(value, element, ["n", shapes[-1][1]])]
    return model_of(helper.make_graph(nodes, "matrices", inputs, outputs, weights), opset)


def model_of(graph, opset=21):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def saved(model, path):
    onnx.save(model, path)
    return path


def run(path, feed):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)


def constants(model):
    return {t.name: (t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("block_size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_matmulnbits_is_that_of_onnxruntime(tmp_path, bits, symmetric, block_size, dtype):
    model = matrices([(256, 96), (96, 40), (40, 33)], dtype)
    src, out = saved(model, tmp_path / "src.onnx"), tmp_path / "out.onnx"
    ql.quantize_model(src, out, f"int{bits}", block_size=block_size, symmetric=symmetric)
    config = DefaultWeightOnlyQuantConfig(block_size=block_size, is_symmetric=symmetric, bits=bits)
    peer = MatMulNBitsQuantizer(model, algo_config=config)
    peer.process()
    ours, theirs = onnx.load(out), peer.model.model
    onnx.checker.check_model(str(out))
    assert constants(ours) == constants(theirs)
    assert [n.SerializeToString() for n in sorted_nodes(ours)] == [n.SerializeToString() for n in sorted_nodes(theirs)]
    x = RANDOM.standard_normal((3, 256)).astype(dtype)
    peer_path = saved(theirs, tmp_path / "peer.onnx")
    assert run(out, {"x": x})[0].tobytes() == run(peer_path, {"x": x})[0].tobytes()


def sorted_nodes(model):
    """Nodes with their attributes in the order of names, which has no meaning."""
    for node in model.graph.node:
        attributes = sorted(node.attribute, key=lambda a: a.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    return list(model.graph.node)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("block_size", [16, 32, 128])
def test_dequantizelinear_is_that_of_onnxruntime(tmp_path, symmetric, block_size):
    model = matrices([(256, 96), (96, 40), (40, 33)])
    src, out = saved(model, tmp_path / "src.onnx"), tmp_path / "out.onnx"
    ql.quantize_model(src, out, "int4", block_size=block_size, symmetric=symmetric, layout="qdq")
    config = DefaultWeightOnlyQuantConfig(
        block_size=block_size, is_symmetric=symmetric, quant_format=QuantFormat.QDQ
    )
    peer = MatMulNBitsQuantizer(model, algo_config=config)
    peer.process()
    onnx.checker.check_model(str(out))
    assert constants(onnx.load(out)) == constants(peer.model.model)
    x = RANDOM.standard_normal((3, 256)).astype(np.float32)
    peer_path = saved(peer.model.model, tmp_path / "peer.onnx")
    assert run(out, {"x": x})[0].tobytes() == run(peer_path, {"x": x})[0].tobytes()


def test_8_bits_in_dequantizelinear_stay_close(tmp_path):
    src = saved(matrices([(100, 64)]), tmp_path / "src.onnx")
    out = tmp_path / "out.onnx"
    ql.quantize_model(src, out, "int8", layout="qdq")
    onnx.checker.check_model(str(out))
    x = RANDOM.standard_normal((3, 100)).astype(np.float32)
    expected, got = run(src, {"x": x})[0], run(out, {"x": x})[0]
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def awkward():
    """A weight in a branch and in the main graph, a Constant, a weight that is gathered too, one that
    callers may replace, and a stack of matrices."""
    f32 = TensorProto.FLOAT
    weight = lambda name, *shape: numpy_helper.from_array(  # noqa: E731
        (RANDOM.standard_normal(shape) * 0.2).astype(np.float32), name
    )
    inner = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "shared"], ["t0"], "in_branch"),
            helper.make_node("MatMul", ["t0", "own"], ["t1"], "own_weight"),
        ],
        "then",
        [],
        [helper.make_tensor_value_info("t1", f32, [1, 4, 32])],
        [weight("own", 32, 32)],
    )
    other = helper.make_graph(
        [helper.make_node("MatMul", ["h", "own"], ["e1"], "other_own")],
        "else",
        [],
        [helper.make_tensor_value_info("e1", f32, [1, 4, 32])],
        [weight("own", 32, 32)],
    )
    nodes = [
        helper.make_node("Constant", [], ["constant"], "c", value=weight("", 32, 32)),
        helper.make_node("MatMul", ["x", "constant"], ["h0"], "with_constant"),
        helper.make_node("MatMul", ["h0", "shared"], ["h1"], "with_shared"),
        helper.make_node("MatMul", ["h1", "gathered"], ["h2"], "with_gathered"),
        helper.make_node("Gather", ["gathered", "index"], ["row"], "gather"),
        helper.make_node("Add", ["h2", "row"], ["h3"], "add"),
        helper.make_node("MatMul", ["h3", "default"], ["h"], "with_default"),
        helper.make_node("If", ["flag"], ["branch"], "if", then_branch=inner, else_branch=other),
        helper.make_node("MatMul", ["branch", "keep"], ["kept"], "keep_me"),
        helper.make_node("MatMul", ["kept", "batch"], ["y"], "with_batch"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", f32, [1, 4, 32]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        helper.make_tensor_value_info("default", f32, [32, 32]),
    ]
    index = numpy_helper.from_array(np.array(3), "index")
    weights = [weight(name, 32, 32) for name in ("shared", "gathered", "default", "keep")]
    outputs = [helper.make_tensor_value_info("y", f32, [1, 4, 32])]
    weights = [*weights, weight("batch", 1, 32, 32), index]
    return model_of(helper.make_graph(nodes, "awkward", inputs, outputs, weights))


@pytest.mark.parametrize("layout", ["matmulnbits", "qdq"])
def test_branches_constants_and_weights_with_several_uses(tmp_path, layout):
    src, out = saved(awkward(), tmp_path / "src.onnx"), tmp_path / "out.onnx"
    report = ql.quantize_model(src, out, "int8", layout=layout, exclude=["^keep_"])
    onnx.checker.check_model(str(out))
    names = {t.name for t in onnx.load(out).graph.initializer}
    assert {"gathered", "default", "keep", "index"} <= names
    assert not {"shared", "constant", "batch"} & names
    notes = "\n".join(report.notes)
    assert "'with_default' (MatMul) is left as it is: its weight is the default of an input" in notes
    assert "'keep_me' (MatMul) is left as it is: it is excluded" in notes
    assert "'gathered' is stored twice: 1 of its 2 uses" in notes
    x = RANDOM.standard_normal((1, 4, 32)).astype(np.float32)
    for flag in (True, False):
        feed = {"x": x, "flag": np.array(flag)}
        expected, got = run(src, feed)[0], run(out, feed)[0]
        assert np.abs(got - expected).max() < 0.03 * np.abs(expected).max()


def test_data_go_out_and_come_in(tmp_path):
    model = matrices([(256, 96), (96, 40)])
    src = saved(model, tmp_path / "src.onnx")
    out, back = tmp_path / "out.onnx", tmp_path / "back.onnx"
    ql.convert_model(src, out, external_data="always")
    assert (tmp_path / "out.onnx.data").stat().st_size >= 4 * (256 * 96 + 96 * 40)
    onnx.checker.check_model(str(out), full_check=True)
    assert constants(onnx.load(out)) == constants(model)
    with ql.open(out) as opened:
        assert opened["w0"].read().tobytes() == model.graph.initializer[0].raw_data
    ql.convert_model(out, back, external_data="never")
    assert onnx.load(back) == model
    quantized = tmp_path / "int4.onnx"
    ql.quantize_model(out, quantized, "int4")
    assert (tmp_path / "int4.onnx.data").exists()
    onnx.checker.check_model(str(quantized))
    x = RANDOM.standard_normal((3, 256)).astype(np.float32)
    ql.quantize_model(src, back, "int4")
    assert run(quantized, {"x": x})[0].tobytes() == run(back, {"x": x})[0].tobytes()


def test_the_command_does_the_same(tmp_path):
    src = saved(matrices([(64, 32)]), tmp_path / "m.onnx")
    by_command, by_call = tmp_path / "command.onnx", tmp_path / "call.onnx"

    def command(*args):
        args = [sys.executable, "-m", "quantlib", *map(str, args), "--json"]
        return json.loads(subprocess.run(args, check=True, capture_output=True).stdout)

    report = command("quantize", src, "-o", by_command, "-t", "INT4", "--block-size", 16, "--symmetric")
    assert report["recipe"] == "int4"
    assert [(t["name"], t["from"], t["to"]) for t in report["tensors"]] == [("w0_Q4", "f32", "u4:16")]
    ql.quantize_model(src, by_call, "int4", block_size=16, symmetric=True)
    assert by_command.read_bytes() == by_call.read_bytes()
    shown = command("inspect", by_command)
    assert shown["format"] == "onnx"
    assert shown["metadata"]["onnx.nodes.com.microsoft.MatMulNBits"]["value"] == 1
    assert [t["name"] for t in shown["tensors"]] == ["w0_Q4", "w0_scales"]
    command("convert", src, "-o", by_call)
    assert by_call.read_bytes() == src.read_bytes()


def test_metadata_tell_what_the_model_is(tmp_path):
    with ql.open(saved(matrices([(64, 32)], opset=17), tmp_path / "m.onnx")) as model:
        assert model.metadata["onnx.ir_version"] == 10
        assert model.metadata["onnx.opset.ai.onnx"] == 17
        assert model.metadata["onnx.nodes.MatMul"] == 1
        assert list(model.metadata["onnx.inputs"]) == ["x: f32[n,64]"]


def test_what_cannot_be_done_is_refused(tmp_path):
    src = saved(matrices([(64, 32)], opset=17), tmp_path / "m.onnx")
    out = tmp_path / "o.onnx"
    with pytest.raises(ql.UnsupportedError, match="operator set 21"):
        ql.quantize_model(src, out, "int4", layout="qdq")
    with pytest.raises(ql.MisuseError, match="blocks of 48"):
        ql.quantize_model(src, out, "int4", block_size=48)
    with pytest.raises(ql.MisuseError, match="ending .onnx"):
        ql.quantize_model(src, tmp_path / "o.gguf", "int4")
    with pytest.raises(ql.MisuseError, match="input itself"):
        ql.quantize_model(src, src, "int4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


@pytest.mark.parametrize("recipe", ["int4", "int8", "dynamic-int8", "fp16", "static-int8", "a8w8"])
def test_functions_are_left_as_they_are(tmp_path, recipe):
    rng = np.random.default_rng(3)
    inner = numpy_helper.from_array(rng.standard_normal((32, 32), dtype=np.float32), "value")
    function = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["c"],
        [
            helper.make_node("Constant", [], ["w"], value=inner),
            helper.make_node("MatMul", ["a", "w"], ["b"], "inside"),
            helper.make_node("Add", ["b", "b"], ["c"], "sum"),
        ],
        [helper.make_opsetid("", 21)],
    )
    weight = numpy_helper.from_array(rng.standard_normal((64, 32), dtype=np.float32), "W")
    value = lambda name, columns: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", columns])
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["m"], "outside"),
        helper.make_node("Twice", ["m"], ["y"], "call", domain="local"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", 64)], [value("y", 32)], [weight])
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=10)
    src, out = saved(model, tmp_path / "m.onnx"), tmp_path / "out.onnx"
    x = rng.standard_normal((3, 64), dtype=np.float32)
    wishes = {"calibration": [{"x": x}]} if recipe in ("static-int8", "a8w8") else {}
    report = ql.quantize_model(src, out, recipe, **wishes)
    assert "1 function of the model is left as it is" in report.notes
    made = onnx.load(out)
    assert list(made.functions) == [function]
    (expected,) = ort.InferenceSession(str(src)).run(None, {"x": x})
    given = x.astype(np.float16) if recipe == "fp16" else x
    (found,) = ort.InferenceSession(str(out)).run(None, {"x": given})
    assert np.linalg.norm(found - expected) < 0.15 * np.linalg.norm(expected)

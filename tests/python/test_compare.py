"""Comparisons, against the formulas in NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest

import quantlib as ql

FOLDER = Path(__file__).parent.parent / "data" / "tiny-llama-2m"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    wide, narrow = folder / "f32.gguf", folder / "q4_k_m.gguf"
    ql.convert_model(FOLDER, wide, "f32")
    ql.quantize_model(wide, narrow, "q4_k_m")
    return wide, narrow


def test_errors_are_those_of_the_formulas(models):
    found = ql.compare(*models)
    sums = np.zeros(4)
    with ql.open(models[0]) as a, ql.open(models[1]) as b:
        assert [tensor["name"] for tensor in found.tensors] == list(a)
        for tensor in found.tensors:
            x, y = (np.asarray(m[tensor["name"]].dequantize(), np.float64).ravel() for m in (a, b))
            own = np.array([x @ x, y @ y, x @ y, (x - y) @ (x - y)])
            sums += own
            check(tensor["errors"], own, x.size)
            assert tensor["errors"]["max_error"] == np.abs(x - y).max()
            assert (tensor["a"], tensor["b"]) == ("f32", b[tensor["name"]].dtype)
        total = sum(tensor.nbytes for tensor in b.values())
        assert found.total["bits_b"] == pytest.approx(8 * total / found.total["elements"])
    check(found.total["errors"], sums, found.total["elements"])


def check(errors, sums, count):
    xx, yy, xy, ee = sums
    assert errors["rmse"] == pytest.approx(np.sqrt(ee / count), rel=1e-9)
    assert errors["cosine"] == pytest.approx(xy / np.sqrt(xx * yy), rel=1e-9)
    if ee:
        assert errors["sqnr_db"] == pytest.approx(10 * np.log10(xx / ee), rel=1e-9)
    else:
        assert errors["sqnr_db"] is None


def test_a_folder_is_compared_with_what_was_made_of_it(models):
    found = ql.compare(FOLDER, models[0])
    assert not (found.only_a or found.only_b or found.metadata)
    assert found.total["errors"]["rmse"] == 0
    narrow = ql.compare(FOLDER, models[1])
    assert narrow.total["errors"] == ql.compare(*models).total["errors"]


def test_differences_are_listed(models, tmp_path):
    other = tmp_path / "other.gguf"
    with ql.open(models[0]) as model:
        names = list(model)
        tensors = {name: model[name] for name in names[1:]}
        tensors[names[2]] = np.zeros((1, 3), np.float32)
        ql.save(other, tensors | {"more": np.ones(2, np.float32)}, {"general.architecture": "x"})
    found = ql.compare(models[0], other)
    assert [tensor["name"] for tensor in found.only_a] == [names[0]]
    assert [tensor["name"] for tensor in found.only_b] == ["more"]
    assert [tensor["name"] for tensor in found.reshaped] == [names[2]]
    assert {"key": "general.architecture", "a": '"llama"', "b": '"x"'} in found.metadata
    assert not found.is_identical and ql.compare(other, other).is_identical


def test_shows_itself(models):
    found = ql.compare(*models, filter="ffn_(up|down)", threads=1)
    assert all("ffn_" in tensor["name"] for tensor in found.tensors)
    assert found.to_dict() == ql.compare(*models, filter="ffn_(up|down)", threads=2).to_dict()
    assert json.loads(json.dumps(found.to_dict()))["schema"] == 1
    worst = found.worst(2)
    assert worst[0]["errors"]["sqnr_db"] <= worst[1]["errors"]["sqnr_db"]
    assert "dB" in repr(found) and worst[0]["name"] in found._repr_html_()
    with pytest.raises(ql.MisuseError, match="pattern"):
        ql.compare(*models, filter="(")
    with pytest.raises(ql.LimitError):
        ql.compare(*models, memory_limit=1000)
    with pytest.raises(ql.IoError):
        ql.compare(models[0], "no-such-file.gguf")

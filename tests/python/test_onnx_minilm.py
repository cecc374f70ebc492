"""A real model stays good: all-MiniLM-L6-v2's sentence embeddings before and after."""

import minilm
import numpy as np
import onnx
import onnxruntime as ort
import pytest

import quantlib as ql

pytestmark = pytest.mark.skipif(
    not (minilm.FOLDER / "config.json").is_file(), reason="the model is not fetched: scripts/get-models"
)


def session(path):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("minilm") / "model.onnx"
    onnx.save(minilm.build(), path)
    return path


@pytest.fixture(scope="module")
def inputs():
    return minilm.tokenize()


def test_the_model_knows_what_is_alike(original, inputs):
    vectors = minilm.embed(session(original), inputs)
    alike = vectors @ vectors.T - np.eye(len(vectors))
    assert alike.argmax(1)[[0, 1, 3, 4]].tolist() == [1, 0, 4, 3]


@pytest.mark.parametrize(("recipe", "least"), [("int4", 0.965), ("dynamic-int8", 0.991), ("int8", 0.9998)])
def test_embeddings_stay(original, inputs, tmp_path, recipe, least):
    out = tmp_path / "out.onnx"
    report = ql.quantize_model(original, out, recipe)
    assert report.notes == []
    cosines = minilm.cosines(session(out), session(original), inputs)
    assert cosines.mean() >= least
    # "Yes." has little to average over.
    assert np.sort(cosines)[1] >= least

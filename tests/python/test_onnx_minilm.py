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
def test_every_embedding_stays(original, tmp_path, recipe, least):
    out, pure = tmp_path / "out.onnx", tmp_path / "pure.onnx"
    inputs = minilm.tokenize(minilm.MORE_SENTENCES)
    report = ql.quantize_model(original, out, recipe)
    values, others = report.notes
    assert "6 products" in values and all(f"layer.{i}.attention.self.value" in values for i in range(6))
    assert "self.query" not in others and "self.key" not in others
    cosines = minilm.cosines(session(out), session(original), inputs)
    worst = minilm.MORE_SENTENCES[cosines.argmin()]
    assert cosines.min() >= least, worst
    # Nothing is kept, and more is lost, if onnxruntime's own is asked for.
    assert ql.quantize_model(original, pure, recipe, pure=True).notes == []
    lost = minilm.cosines(session(pure), session(original), inputs)
    assert lost.min() < least
    assert out.stat().st_size < 1.1 * pure.stat().st_size

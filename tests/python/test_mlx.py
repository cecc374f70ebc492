"""MLX folders: MLX reads what is written, and its own quantizer makes the same of the same weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

import quantlib as ql

TINY = Path(__file__).resolve().parents[1] / "data/tiny-llama-2m"
LAYER = "model.layers.1.mlp.gate_proj"


def read(folder):
    return mx.load(str(folder / "model.safetensors"))


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and mx.array_equal(a, b).item()


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        ("mlx-2bit", {"bits": 2, "group_size": 64}),
        ("mlx-4bit", {"bits": 4, "group_size": 64}),
        ("mlx-5bit", {"bits": 5, "group_size": 32}),
        ("mlx-8bit", {"bits": 8, "group_size": 128}),
        ("mlx-mxfp4", {"mode": "mxfp4", "group_size": 32, "bits": 4}),
        ("mlx-nvfp4", {"mode": "nvfp4", "group_size": 16, "bits": 4}),
        ("mlx-mxfp8", {"mode": "mxfp8", "group_size": 32, "bits": 8}),
    ],
)
def test_mlx_makes_the_same_of_every_layer(tmp_path, recipe, arguments):
    source, out = read(TINY), tmp_path / "out"
    report = ql.quantize_model(TINY, out, recipe, group_size=arguments["group_size"])
    assert report.to_dict()["output"] == str(out)
    ours = read(out)
    layers = [name.removesuffix(".scales") for name in ours if name.endswith(".scales")]
    assert len(layers) == 16
    for layer in layers:
        planes = mx.quantize(source[f"{layer}.weight"], **arguments)
        names = ["weight", "scales", "biases"][: len(planes)]
        assert all(same(ours.pop(f"{layer}.{name}"), plane) for name, plane in zip(names, planes, strict=True))
    assert all(same(tensor, source[name]) for name, tensor in ours.items())
    config = json.loads((out / "config.json").read_text())
    assert config["quantization"] == {"mode": "affine", **arguments}
    assert (out / "tokenizer.model").read_bytes() == (TINY / "tokenizer.model").read_bytes()


def test_single_layers_have_types_of_their_own(tmp_path):
    types = {"lm_head": "mlx-8bit", r"layers\.0\.": "none"}
    ql.quantize_model(TINY, tmp_path / "out", "mlx-4bit", layer_types=types)
    ours = read(tmp_path / "out")
    assert ours["lm_head.weight"].shape == (1024, 64)
    assert ours["model.layers.0.mlp.gate_proj.weight"].dtype == mx.float16
    assert "model.layers.1.mlp.gate_proj.scales" in ours
    with pytest.raises(ql.MisuseError, match="no recipe for MLX"):
        ql.quantize_model(TINY, tmp_path / "no", "mlx-4bit", layer_types={"lm_head": "q4_k"})


def test_quantized_layers_are_decoded(tmp_path):
    ql.quantize_model(TINY, tmp_path / "q", "mlx-6bit")
    stored = read(tmp_path / "q")
    planes = [stored[f"{LAYER}.{name}"] for name in ("weight", "scales", "biases")]
    # In f32, for MLX rounds to the type of the scales.
    planes[1:] = [plane.astype(mx.float32) for plane in planes[1:]]
    expected = np.array(mx.dequantize(*planes, group_size=64, bits=6))
    with ql.open(tmp_path / "q") as model:
        assert (model[f"{LAYER}.weight"].dequantize() == expected).all()
    ql.convert_model(tmp_path / "q", tmp_path / "plain", "f32", to="mlx")
    assert (np.array(read(tmp_path / "plain")[f"{LAYER}.weight"]) == expected).all()


def test_command_writes_the_same_folder(tmp_path):
    ql.quantize_model(TINY, tmp_path / "a", "mlx-mixed-3-6")
    command = [sys.executable, "-m", "quantlib", "quantize", TINY, "-o", tmp_path / "b", "--to", "mlx"]
    subprocess.run([*command, "-t", "mlx-mixed-3-6"], check=True)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    with pytest.raises(ql.MisuseError, match="not empty"):
        ql.quantize_model(TINY, tmp_path / "a", "mlx-4bit")
    ql.quantize_model(TINY, tmp_path / "a", "mlx-4bit", force=True)


def test_unknown_models_are_refused_unless_as_they_are(tmp_path):
    source = shutil.copytree(TINY, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "mine"}))
    with pytest.raises(ql.UnsupportedError, match="--as-is"):
        ql.quantize_model(source, tmp_path / "out", "mlx-4bit")
    ql.quantize_model(source, tmp_path / "out", "mlx-4bit", as_is=True)
    ql.quantize_model(TINY, tmp_path / "known", "mlx-4bit")
    names = [set(read(tmp_path / folder)) for folder in ("out", "known")]
    assert names[0] == names[1]

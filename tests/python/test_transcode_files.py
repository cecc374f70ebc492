"""GGUF files as MLX folders: MLX decodes from the folder what gguf-py decodes from the file."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import pytest

import quantlib as ql

TINY = Path(__file__).parents[1] / "data/tiny-llama-2m"


def convert(*arguments):
    command = [sys.executable, "-m", "quantlib", "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def halves(x, heads):
    """Rows in pairs of neighbours, as llama.cpp has rotary heads, back to two halves a head."""
    rows = x.reshape(heads, x.shape[0] // heads // 2, 2, *x.shape[1:])
    return rows.swapaxes(1, 2).reshape(x.shape)


def name_and_rows(name, x):
    """What a tensor of llama.cpp's is called in Hugging Face's files, and its rows there."""
    for ours, theirs in [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("output", "lm_head"),
    ]:
        if name == f"{ours}.weight":
            return theirs, x
    _, block, part, _ = name.split(".")
    theirs = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }[part]
    heads = {"attn_q": 4, "attn_k": 2}.get(part)
    return f"model.layers.{block}.{theirs}", halves(x, heads) if heads else x


@pytest.mark.parametrize(
    ("recipe", "bits"), [("q8_0", 8), ("q4_0", 4), ("q5_1", 5), ("q4_k", 4), ("mxfp4", 4)]
)
def test_mlx_decodes_what_the_file_has(tmp_path, recipe, bits):
    source, out = tmp_path / "model.gguf", tmp_path / "mlx"
    types = {".*": "mxfp4"} if recipe == "mxfp4" else None
    base = "q8_0" if recipe == "mxfp4" else recipe
    ql.quantize_model(TINY, source, base, pure=types is None, tensor_types=types)
    done = convert(source, "-o", out, "--to", "mlx", "--exact")
    assert done.returncode == 0, done.stderr
    config = json.loads((out / "config.json").read_text())
    mode = "mxfp4" if recipe == "mxfp4" else "affine"
    assert config["quantization"]["mode"] == mode
    planes = mx.load(str(out / "model.safetensors"))
    seen = 0
    for tensor in gguf.GGUFReader(source).tensors:
        decoded = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        path, want = name_and_rows(tensor.name, decoded)
        codes = planes.pop(f"{path}.weight")
        if f"{path}.scales" not in planes:
            np.testing.assert_array_equal(np.array(codes), want)
            continue
        scales = planes.pop(f"{path}.scales")
        if mode == "affine":
            biases = planes.pop(f"{path}.biases").astype(mx.float32)
            layer = config["quantization"].get(path, config["quantization"])
            shape = {"group_size": layer["group_size"], "bits": layer["bits"]}
            got = mx.dequantize(codes, scales.astype(mx.float32), biases, **shape)
        else:
            got = mx.dequantize(codes, scales, group_size=32, bits=4, mode=mode)
        np.testing.assert_array_equal(np.array(got.astype(mx.float32)), want)
        seen += 1
    assert not planes and seen > 10


def test_what_does_not_fit_is_named(tmp_path):
    source, out = tmp_path / "model.gguf", tmp_path / "mlx"
    ql.quantize_model(TINY, source, "q6_k", pure=True)
    done = convert(source, "-o", out, "--to", "mlx", "--exact")
    assert done.returncode == 1
    assert "tensor 'lm_head.weight'" in done.stderr and "groups of 16" in done.stderr
    assert not out.exists()
    refused = convert(TINY, "-o", out, "--to", "mlx", "--exact", "-t", "f32")
    assert refused.returncode != 0 and "name no type" in refused.stderr
    refused = convert(TINY, "-o", out, "--to", "hf")
    assert refused.returncode != 0 and "already" in refused.stderr


def test_every_way_back(tmp_path):
    """GGUF to MLX to GGUF, and to a Hugging Face folder that becomes the same GGUF file again."""
    first, second, third = (tmp_path / f"{name}.gguf" for name in "abc")
    ql.quantize_model(TINY, first, "q4_1", pure=True)
    ql.convert_model(first, tmp_path / "mlx", to="mlx", exact=True)
    ql.convert_model(tmp_path / "mlx", second, exact=True)
    tensors = [{name: tensor.read() for name, tensor in ql.open(file).items()} for file in (first, second)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, data in tensors[0].items():
        np.testing.assert_array_equal(data, tensors[1][name])
    with pytest.raises(ql.UnsupportedError, match="--exact"):
        ql.convert_model(tmp_path / "mlx", tmp_path / "hf", to="hf", exact=True)
    ql.convert_model(tmp_path / "mlx", tmp_path / "hf", "f32", to="hf")
    ql.convert_model(tmp_path / "hf", third, "f32")
    with ql.open(first) as ours, ql.open(third) as theirs:
        for name, tensor in ours.items():
            np.testing.assert_array_equal(tensor.dequantize(), theirs[name].dequantize())
    with pytest.raises(ql.MisuseError, match="to is 'pdf'"):
        ql.convert_model(TINY, third, to="pdf")
    with pytest.raises(ql.MisuseError, match="quantized already"):
        ql.quantize_model(tmp_path / "mlx", tmp_path / "again", "mlx-4bit")
    ql.quantize_model(tmp_path / "mlx", tmp_path / "again", "mlx-4bit", allow_requantize=True)
    assert ql.open(tmp_path / "again")["lm_head.weight"].shape == (1024, 256)

"""MLX folders beside `mlx_lm.convert`, of a Llama that is made for it: wall time, peak memory, equality, error.

    python benches/mlx_models.py [--quick] [--quantlib PROGRAM] [--rounds 3] [--folder DIR] [RECIPE...]

needs mlx[cpu] and mlx-lm of benches/requirements.txt, and a release build of the command; `make bench` sees to all
three. Prints Markdown. Every run is a process of its own, in turns: mlx_lm.convert, quantlib on one thread, quantlib
on all. MLX quantizes on one thread here, and of the seconds of its process those are named, too, that are left
without the start of Python. Both read the same safetensors file and write into the same folder. Every tensor of both
must have the same name, type, shape and bytes, so the error, relative to the norm of the weights, is that of both.
Where mlx_lm takes more than half a minute, there is one round.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import struct
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from processes import apart, timed

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER = ROOT / "tests" / "data" / "tiny-llama-2m"
START = "import mlx_lm.convert, transformers"

# Seconds.
PATIENCE = 30

HIDDEN, FEED_FORWARD, HEADS, KV_HEADS = 2048, 5632, 32, 4
# quantlib's name, and mlx_lm's options.
RECIPES = {
    "mlx-4bit": [],
    "mlx-8bit": ["--q-bits", "8"],
    "mlx-3bit": ["--q-bits", "3"],
    "mlx-mxfp4": ["--q-mode", "mxfp4"],
    "mlx-nvfp4": ["--q-mode", "nvfp4"],
    "mlx-mxfp8": ["--q-mode", "mxfp8"],
    "mlx-mixed-3-6": ["--quant-predicate", "mixed_3_6", "--q-group-size", "64"],
}


def make(folder, layers, vocabulary):
    """A Llama of normally distributed bf16 weights, with the tokenizer of a small one."""
    kv = HIDDEN * KV_HEADS // HEADS
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (kv, HIDDEN),
        "self_attn.v_proj": (kv, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (FEED_FORWARD, HIDDEN),
        "mlp.up_proj": (FEED_FORWARD, HIDDEN),
        "mlp.down_proj": (HIDDEN, FEED_FORWARD),
    }
    mx.random.seed(1)
    matrix = lambda *shape: (mx.random.normal(shape) * 0.02).astype(mx.bfloat16)
    norm = mx.ones(HIDDEN, mx.bfloat16)
    weights = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": norm,
        "lm_head.weight": matrix(vocabulary, HIDDEN),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        weights.update({f"{prefix}.{name}.weight": matrix(*shape) for name, shape in shapes.items()})
        weights.update({f"{prefix}.{name}_layernorm.weight": norm for name in ("input", "post_attention")})
    shutil.copytree(TOKENIZER, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    del config["dtype"]
    config |= {
        "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "pt"})


def convert(command, out):
    """As `timed`, of a command that makes the folder `out`."""
    shutil.rmtree(out, ignore_errors=True)
    return timed(command)


def tensors(folder):
    """Type, shape and a hash of the bytes of each tensor."""
    found = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            for name, info in header.items():
                if name != "__metadata__":
                    start, end = info["data_offsets"]
                    file.seek(8 + length + start)
                    digest = hashlib.sha256(file.read(end - start)).hexdigest()
                    found[name] = (info["dtype"], info["shape"], digest)
    return found


def error(source, folder):
    """Of all quantized weights, relative to their norm."""
    original = mx.load(str(source / "model.safetensors"))
    made = {name: array for path in folder.glob("model*.safetensors") for name, array in mx.load(str(path)).items()}
    quantization = json.loads((folder / "config.json").read_text())["quantization"]
    common = {key: quantization[key] for key in ("group_size", "bits", "mode")}
    apart_, all_ = 0.0, 0.0
    for name, weight in original.items():
        layer = name.removesuffix(".weight")
        if f"{layer}.scales" in made:
            options = common | quantization.get(layer, {})
            planes = [made.get(f"{layer}.{plane}") for plane in ("weight", "scales", "biases")]
            weight = weight.astype(mx.float32)
            # In f32, for bf16 would round once more.
            if options["mode"] == "affine":
                planes[1:] = [plane.astype(mx.float32) for plane in planes[1:]]
            decoded = mx.dequantize(*planes, **options, dtype=mx.float32)
            apart_ += mx.square(weight - decoded).sum().item()
            all_ += mx.square(weight).sum().item()
    return (apart_ / all_) ** 0.5


def cell(times):
    return f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"


def row(quantlib, source, folder, recipe, rounds, start):
    ours, theirs = folder / "ours", folder / "theirs"
    peer = [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", source, "--mlx-path", theirs, "--quantize"]
    peer += RECIPES[recipe]
    command = [quantlib, "quantize", source, "-o", ours, "-t", recipe, "--threads"]
    runs = {"peer": [], 1: [], os.cpu_count(): []}
    for _ in range(rounds):
        for threads, found in runs.items():
            found.append(convert(peer, theirs) if threads == "peer" else convert([*command, threads], ours))
            if threads != "peer" and apart(tensors, ours) != apart(tensors, theirs):
                sys.exit(f"{recipe}: not the tensors of mlx_lm")
        if runs["peer"][0][0] > PATIENCE:
            break
    wrong = apart(error, source, ours)
    much = max(memory for _, memory in runs["peer"])
    for threads in list(runs)[1:]:
        peers, mine = ([seconds for seconds, _ in runs[key]] for key in ("peer", threads))
        memory = max(memory for _, memory in runs[threads])
        ratio = statistics.median(a / b for a, b in zip(peers, mine))
        least = statistics.median((a - start) / b for a, b in zip(peers, mine))
        print(
            f"| {recipe} | {threads} | {cell(peers)} | {cell(mine)} | {ratio:.1f}× ({least:.1f}×) "
            f"| {much:.0f} | {memory:.0f} | 1/{much / memory:.0f} | {wrong:.4f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--quick", action="store_true", help="a small model and one round")
    parser.add_argument("--quantlib", type=Path, default=ROOT / "target" / "release" / "quantlib")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    options = parser.parse_args()
    rounds, layers, vocabulary = (1, 1, 2048) if options.quick else (options.rounds, 8, 32000)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        source = folder / "source"
        apart(make, source, layers, vocabulary)
        size = (source / "model.safetensors").stat().st_size
        print(
            f"\n| Llama of {size / 1e9:.2f} GB in bf16 to | threads | mlx_lm.convert, s | quantlib, s | ratio (without Python's start) "
            "| MiB of mlx_lm | MiB | share | error of both |"
        )
        print("|---|---:|---|---|---:|---:|---:|---:|---:|")
        start = statistics.median(timed([sys.executable, "-c", START])[0] for _ in range(rounds))
        for recipe in options.recipes or (["mlx-4bit"] if options.quick else RECIPES):
            row(options.quantlib, source, folder, recipe, rounds, start)
        print(f"\nPython's start: {start:.2f} s.")


if __name__ == "__main__":
    main()

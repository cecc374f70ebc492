"""Golden hashes of MLX folders: what mlx_lm.convert makes of small random models.

    python tests/peers/golden_mlx.py [KEEP]

Needs mlx[cpu] 0.32.4 and mlx-lm 0.32.2. The models are those of hf_models/, and tiny-llama-2m. Writes
tests/data/golden/mlx.json: for each folder and mode a hash of all tensors (names, types, shapes, bytes), the index's
metadata, and config.json; null where mlx_lm cannot convert, with what it says on stderr. With KEEP, a folder, the
models and what mlx_lm wrote stay there.

The tokenizer is left out, for those of random models are not what transformers expects.
"""

import contextlib
import hashlib
import importlib
import io
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import make_models

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/golden/mlx.json"
# quantlib's name and group size, and mlx_lm's arguments.
MODES = {
    "auto": {},
    "f16": {"dtype": "float16"},
    "bf16": {"dtype": "bfloat16"},
    "mlx-2bit:32": {"quantize": True, "q_bits": 2, "q_group_size": 32},
    "mlx-3bit:64": {"quantize": True, "q_bits": 3, "q_group_size": 64},
    "mlx-4bit": {"quantize": True},
    "mlx-5bit:32": {"quantize": True, "q_bits": 5, "q_group_size": 32},
    "mlx-6bit:128": {"quantize": True, "q_bits": 6, "q_group_size": 128},
    "mlx-8bit": {"quantize": True, "q_bits": 8},
    "mlx-mxfp4": {"quantize": True, "q_mode": "mxfp4"},
    "mlx-nvfp4": {"quantize": True, "q_mode": "nvfp4"},
    "mlx-mxfp8": {"quantize": True, "q_mode": "mxfp8"},
    "mlx-mixed-2-6": {"quantize": True, "q_group_size": 64, "quant_predicate": "mixed_2_6"},
    "mlx-mixed-3-4": {"quantize": True, "q_group_size": 64, "quant_predicate": "mixed_3_4"},
    "mlx-mixed-3-6:32": {"quantize": True, "q_group_size": 32, "quant_predicate": "mixed_3_6"},
    "mlx-mixed-4-6": {"quantize": True, "q_group_size": 64, "quant_predicate": "mixed_4_6"},
}


class NoTokenizer:
    def save_pretrained(self, folder):
        pass


def convert(source: Path, out: Path, arguments: dict) -> None:
    """mlx_lm.convert without the tokenizer and the model card."""
    # The package has a function of the same name.
    program = importlib.import_module("mlx_lm.convert")
    utils = importlib.import_module("mlx_lm.utils")

    def load(path, lazy=False, return_config=False, **_):
        model, config = utils.load_model(Path(path), lazy=lazy)
        return model, NoTokenizer(), config

    program.load = load
    utils.create_model_card = lambda *_: None
    with contextlib.redirect_stdout(io.StringIO()):
        program.convert(str(source), str(out), **arguments)


def describe(folder: Path) -> dict:
    """What the Rust test says of a folder too."""
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        assert header.pop("__metadata__") == {"format": "mlx"}
        for name, info in header.items():
            start, end = (8 + length + offset for offset in info["data_offsets"])
            tensors[name] = (info["dtype"], info["shape"], data[start:end])
    digest = hashlib.sha256()
    for name, (dtype, shape, data) in sorted(tensors.items()):
        digest.update(f"{name} {dtype} {'x'.join(map(str, shape))}\n".encode())
        digest.update(data)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(tensors)
    config = json.loads((folder / "config.json").read_text())
    quantization = config.pop("quantization", None)
    again = config.pop("quantization_config", None)
    assert quantization is None or quantization == again
    return {
        "tensors": digest.hexdigest(),
        "index": index["metadata"],
        "quantization": quantization,
        "config": config,
    }


def folders(work: Path) -> list[Path]:
    models = work / "models"
    sys.argv[1:] = [str(models)]
    make_models.main()
    made = sorted(path for path in models.iterdir() if path.is_dir())
    return [ROOT / "tests/data/tiny-llama-2m", *made]


def entry(source: Path, kept: Path) -> dict:
    found = {"config": None, "modes": {}}
    for mode, arguments in MODES.items():
        out = kept / source.name / mode.replace(":", "-")
        shutil.rmtree(out, ignore_errors=True)
        try:
            convert(source, out, arguments)
        except Exception as error:
            found["modes"][mode] = None
            print(f"{source.name} {mode}: {type(error).__name__}: {str(error)[:150]!r}", file=sys.stderr)
            continue
        described = describe(out)
        config = described.pop("config")
        # It says the same whatever the mode, but for what was quantized in the source.
        found["config"] = found["config"] or config
        if config != found["config"]:
            described["config"] = config
        found["modes"][mode] = described
    return found


def main() -> None:
    keep = sys.argv[1] if len(sys.argv) > 1 else None
    with contextlib.ExitStack() as stack:
        work = Path(keep or stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work / "models", ignore_errors=True)
        golden = {source.name: entry(source, work / "mlx") for source in folders(work)}
    lines = []
    for name, found in golden.items():
        if not any(found["modes"].values()):
            continue
        modes = ",\n".join(f"   {json.dumps(mode)}: {json.dumps(value)}" for mode, value in found["modes"].items())
        lines.append(f' {json.dumps(name)}: {{\n  "config": {json.dumps(found["config"])},\n  "modes": {{\n{modes}}}}}')
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compares merged adapters with PEFT's merge_and_unload, element by element.

    compare_peft.py QUANTLIB [ADAPTER...]

QUANTLIB is the command. Needs torch, transformers, peft and gguf, so it is run by hand. For each adapter of
hf_adapters.py it merges with PEFT, converts what comes out with `quantlib convert`, and compares that with
`quantlib convert --lora`. Prints elements, elements that differ, and the greatest distance in units in the last place
of the base model's type. Fails if one is greater than 1; in f32, where two orders of summation can differ by more when
weight and update nearly cancel, if it is greater than two of the tensor's largest element.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from hf_adapters import ADAPTERS, shapes
from hf_models import GROUPS
from peft import PeftModel
from safetensors.torch import load_file, save_file

# Names of the inner model that some files lack.
INNER = ["", "model.", "transformer.", "bert."]


def merged_by_peft(base, adapter, out):
    """A copy of the folder `base` whose weights are those that PEFT merges."""
    # transformers refuses what one of the models has wrong on purpose.
    config = json.loads((base / "config.json").read_text())
    if "use_cache" in config:
        config["use_cache"] = bool(config["use_cache"])
        (base / "config.json").write_text(json.dumps(config))
    weights = {}
    for path in sorted(base.glob("*.safetensors")):
        weights.update(load_file(path))
    dtype = next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point())
    kind = getattr(transformers, config["architectures"][0])
    model = kind.from_pretrained(base, dtype=dtype)
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=False)
    state = model.state_dict()
    shutil.copytree(base, out, ignore=shutil.ignore_patterns("*.safetensors*"))
    merged = {}
    for name, old in weights.items():
        spelled = [inner + name for inner in INNER] + [name.removeprefix(inner) for inner in INNER]
        new = next(state[key] for key in spelled if key in state)
        assert new.shape == old.shape and new.dtype == old.dtype, name
        merged[name] = new.contiguous().clone()
    save_file(merged, out / "model.safetensors")
    return dtype


def ordered(values, dtype):
    """Integers that count the numbers of a type in order."""
    bits = values.view(np.uint32).astype(np.int64)
    if dtype == torch.bfloat16:
        bits >>= 16
    elif dtype == torch.float16:
        bits = values.astype(np.float16).view(np.uint16).astype(np.int64)
    sign = 1 << (31 if dtype == torch.float32 else 15)
    return np.where(bits & sign, sign - bits, bits)


def compare(theirs, ours, dtype):
    total = differ = worst = 0
    share = 0.0
    theirs, ours = ({t.name: t for t in gguf.GGUFReader(path).tensors} for path in (theirs, ours))
    assert theirs.keys() == ours.keys()
    for a, b in ((tensor, ours[name]) for name, tensor in theirs.items()):
        a, b = (np.ascontiguousarray(gguf.dequantize(t.data, t.tensor_type), dtype=np.float32) for t in (a, b))
        distance = np.abs(ordered(a, dtype) - ordered(b, dtype))
        total += distance.size
        differ += int((distance > 0).sum())
        worst = max(worst, int(distance.max()))
        share = max(share, float(np.abs(a - b).max() / np.abs(a).max()))
    return total, differ, worst, share


def main():
    quantlib, *names = sys.argv[1:]
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        here = Path(__file__).parent
        models, adapters = scratch / "models", scratch / "adapters"
        subprocess.run([sys.executable, here / "make_models.py", models], check=True)
        subprocess.run([sys.executable, here / "make_adapters.py", adapters, models], check=True)
        for name, adapter in ADAPTERS.items():
            if not adapter.merges or names and name not in names:
                continue
            base = models / adapter.base[1]
            merged = scratch / name
            dtype = merged_by_peft(base, adapters / name, merged)
            _, pre = GROUPS[adapter.base[0]][adapter.base[1]]
            options = ["-t", "lossless"] + (["--pre", pre] if pre else [])
            for out, source in (("peft.gguf", [merged]), ("ours.gguf", [base, "--lora", adapters / name])):
                subprocess.run([quantlib, "convert", *source, "-o", scratch / out, *options], check=True,
                               stdout=subprocess.DEVNULL)
            total, differ, worst, share = compare(scratch / "peft.gguf", scratch / "ours.gguf", dtype)
            changed = sum(1 for key in shapes(adapters / name) if "lora_" in key) // 2
            print(f"{name}: {dtype}, {changed} updates, {total} elements, {differ} differ, at most {worst} ulp, "
                  f"{share:.1e} of the largest element")
            failed |= share > 2**-22 if dtype == torch.float32 else worst > 1
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Regenerates tests/data/golden/recipes.json: the types that llama-quantize chooses.

    python tests/peers/golden_recipes.py

Runs llama-quantize's dry run (see llama_quantize.py) on the headers of small models of many
architectures, for every recipe and for the options that matter.
"""

import re
import sys
import tempfile
from itertools import groupby
from pathlib import Path

import llama_quantize
import small_models

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "recipes.json"

LINE = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[[^\]]*\], type = +(\S+), size = [^\n]*?MiB(?: \((\w+)\))?\n")

RECIPES = [name.lower() for name in llama_quantize.FILE_TYPES if name not in ("Q3_K", "Q4_K", "Q5_K")]

# Recipes that need an importance matrix, and others that choose otherwise with one.
WITH_MATRIX = ["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "q2_k_s", "iq3_xxs", "iq3_xs", "iq4_xs",
               "iq4_nl", "q4_0", "q5_0"]  # fmt: skip

# Options for some models beyond the plain recipes. `--imatrix` without a file means that the matrix
# has weights for all tensors; the dry run looks at no more.
OPTIONS = {
    "*": [f"{recipe} --imatrix" for recipe in WITH_MATRIX]
    + ["q4_k_m --pure", "iq4_xs --pure", "q6_k --leave-output-tensor"],
    "llama-gqa4-tied": [
        "q4_k_m --output-tensor-type q8_0",
        "q4_k_m --token-embedding-type q8_0",
        "f16 --token-embedding-type q8_0",
        r"q4_k_m --tensor-type blk\.\D+\.attn_v=q8_0",
        "q4_k_m --tensor-type ATTN=q6_k --tensor-type attn_v=q8_0 --tensor-type ^blk.(1|2)\\.ffn=iq4_xs",
        "q4_k_m --tensor-type ffn_down=q8_0",
        "q4_k_m --tensor-type token_embd=q5_0 --pure",
        "f16 --tensor-type ffn_down=q8_0",
        "q4_k_m --prune-layers 0,3,31",
        "q4_k_m --prune-layers 7",
        "q3_k_m --override-kv llama.attention.head_count_kv=int:8",
        "q2_k --override-kv llama.attention.head_count_kv=int:8",
        "q2_k --override-kv llama.attention.head_count_kv=float:8",
        "q4_k_m --override-kv llama.block_count=int:64",
    ],
    "llama-gqa8": [
        "q4_k_m --output-tensor-type q8_0",
        "q4_k_m --token-embedding-type q8_0",
        "q4_k_m --leave-output-tensor --output-tensor-type q8_0",
    ],
    "llama-4-experts": [f"{recipe} --override-kv llama.expert_count=int:8" for recipe in ("q4_k_m", "iq2_s")],
    "gemma3n": [
        "q4_k_m --token-embedding-type q8_0",
        "q4_k_m --token-embedding-type q8_0 --tensor-type per_layer_token_embd=q5_0",
        "q4_k_m --token-embedding-type q8_0 --tensor-type token_embd=q5_0",
    ],
    "llama-quantized": ["q4_k_m --allow-requantize", "copy --override-kv general.file_type=int:9"],
    "t5": ["q4_k_m --prune-layers 2,5"],
    "bert": ["q4_k_m --token-embedding-type q8_0"],
    "llama-320-columns": ["q4_k_m --tensor-type attn=nvfp4", "q4_k_m --tensor-type attn=q2_0"],
    "llama-200-columns": ["q4_k_m --tensor-type attn=nvfp4", "q4_k_m --tensor-type attn=mxfp4"],
}

# llama.cpp stops the process here: no head counts are known of vision models.
CLIP = ["q4_0", "q8_0", "q4_k_m", "q4_k_s", "q5_k_m", "q6_k", "q3_k_m", "f16", "copy"]


def clip():
    built = small_models.dense("clip", 4)
    for tensor in built["tensors"]:
        tensor[0] = "v." + tensor[0]
    built["tensors"].append(["v.patch_embd.weight", "f16", [256, 3, 16, 16]])
    built["tensors"].append(["mm.0.weight", "f16", [256, 256]])
    return built


def all_entries(built):
    """An importance matrix that knows every tensor."""
    entries = {}
    for name, _, shape in built["tensors"]:
        experts = shape[-3] if len(shape) > 2 else 1
        entries[name] = (llama_quantize.c_float * (experts * shape[-1]))()
    return entries


def role(name):
    """The name without its layer, then the layer: types in this order hardly change."""
    layer = re.match(r"blk\.(\d+)\.", name)
    return (name[layer.end() :], int(layer[1])) if layer else (name, -1)


def select(path, built, case):
    """The chosen types by role, then layer, names only where they changed; or that it was refused."""
    recipe, *options = case.split(" ")
    with_matrix = "--imatrix" in options
    job, rest = llama_quantize.parse([o for o in options if o != "--imatrix"] + ["--dry-run"])
    assert not rest, case
    if with_matrix:
        job.imatrix, job.imatrix_file = all_entries(built), "all.gguf"
    try:
        log = job.run(path, "unused.gguf", recipe)
    except llama_quantize.QuantizeError as error:
        return {"refused": str(error).rpartition("failed to quantize: ")[2].strip()}
    rows = LINE.findall(log)
    by_role = sorted((role(name), (chosen or stored).lower()) for name, stored, chosen in rows)
    runs = [(dtype, len(list(run))) for dtype, run in groupby(dtype for _, dtype in by_role)]
    result = {"types": " ".join(dtype if count == 1 else f"{dtype}*{count}" for dtype, count in runs)}
    if "--prune-layers" in case:
        result["names"] = [name for name, _, _ in rows]
    assert len(rows) == len(built["tensors"]) or "--prune" in case, (case, log)
    return result


def main():
    models = small_models.selection_models() | {"clip": clip()}
    selections = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        for name, built in models.items():
            small_models.write(built, path, with_data=False)
            cases = CLIP if name == "clip" else RECIPES + OPTIONS["*"] + OPTIONS.get(name, [])
            selections[name] = {case: select(path, built, case) for case in cases}
            refused = sum("refused" in result for result in selections[name].values())
            print(f"{name}: {len(cases)} cases, {refused} refused", file=sys.stderr)
    golden = {
        "llama.cpp": "v0.5.0",
        "models": small_models.described(models),
        "selections": selections,
    }
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(small_models.pretty(golden, depth=3) + "\n")


if __name__ == "__main__":
    main()

"""Regenerates tests/data/golden/files.json: SHA-256 of whole files that llama-quantize writes.

    python tests/peers/golden_files.py [TINY_LLAMA.gguf ...]

The inputs are small models of several architectures (small_models.py). Each GGUF given is one that
convert_hf_to_gguf.py wrote of tests/data/tiny-llama-2m, named NAME-f16.gguf, -bf16 or -f32; without
them their hashes stay as they are.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import llama_quantize
import small_models

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "files.json"

NEED_MATRIX = ["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "q2_k_s", "iq3_xxs", "iq3_xs"]
RECIPES = [name.lower() for name in llama_quantize.FILE_TYPES if name not in ("Q3_K", "Q4_K", "Q5_K")]
PLAIN = [f"{recipe} --imatrix" if recipe in NEED_MATRIX else recipe for recipe in RECIPES]
MATRIX = ["q4_k_m", "q2_k", "q3_k_m", "q4_0", "q4_1", "q5_0", "q5_1", "q5_k_s", "q6_k", "iq4_xs", "iq4_nl", "f16"]

OPTIONS = {
    "*": [f"{recipe} --imatrix" for recipe in MATRIX] + ["q4_k_m --pure", "q8_0 --leave-output-tensor"],
    "llama-mixed": [
        "q4_k_m --output-tensor-type f16 --token-embedding-type bf16",
        r"q4_k_m --tensor-type attn_(q|k)\.=q5_1 --tensor-type ffn=f32",
        "q8_0 --override-kv general.name=str:other --override-kv test.numbers=float:0.1",
        "q8_0 --override-kv test.flag=bool:false --override-kv new.key=int:-7 --override-kv split.no=int:0",
        "copy --override-kv general.quantization_version=int:5",
        "q8_0 --tensor-type attn=mxfp4 --tensor-type ffn=nvfp4",
    ],
    "llama-q8_0": [f"{recipe} --allow-requantize" for recipe in ("q4_k_m", "f16", "bf16", "f32", "q4_0", "q6_k")],
    "llama-11-layers": [
        "q4_k_m --prune-layers 3,0,9",
        "q4_k_m --imatrix --prune-layers 1,2",
        "q3_k_m --override-kv llama.block_count=int:32",
    ],
}

# Large enough for the models' own sake only once.
TINY_LLAMA = [case for case in PLAIN if "--imatrix" not in case] + ["q4_k_m --pure"]

MATRIX_FILE = "a path that is longer than the 127 bytes that llama-quantize keeps of it, " + "x" * 60 + ".gguf"
DATASET = "text\u00e9"
CHUNKS = 7


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def run(source, target, case, matrix):
    """The hash of what llama-quantize writes; None if it refuses."""
    recipe, *options = case.split(" ")
    job, rest = llama_quantize.parse([option for option in options if option != "--imatrix"])
    assert not rest, case
    if "--imatrix" in options:
        job.imatrix = {name: (llama_quantize.c_float * len(w))(*w) for name, w in matrix.items()}
        job.imatrix_file, job.datasets, job.chunks = MATRIX_FILE, [DATASET.encode()], CHUNKS
    try:
        job.run(source, target, recipe)
    except llama_quantize.QuantizeError:
        return None
    return sha256(target)


def main():
    models = small_models.file_models()
    old = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"tiny-llama-2m": {}}
    files, tiny = {}, old["tiny-llama-2m"]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.gguf", Path(folder) / "out.gguf"
        for name, built in models.items():
            small_models.write(built, source)
            matrix = small_models.importance(built)
            cases = PLAIN + OPTIONS["*"] + OPTIONS.get(name, [])
            outputs = {case: run(source, target, case, matrix) for case in cases}
            files[name] = {"input": sha256(source), "outputs": outputs}
            refused = [case for case, output in outputs.items() if output is None]
            print(f"{name}: {len(cases)} files, {len(refused)} refused {refused}", file=sys.stderr)
        for converted in map(Path, sys.argv[1:]):
            outputs = {case: run(converted, target, case, {}) for case in TINY_LLAMA}
            outtype = converted.stem.rpartition("-")[2]
            tiny[outtype] = {"input": sha256(converted), "outputs": outputs}
    golden = {
        "llama.cpp": "v0.5.0",
        "matrix": {"file": MATRIX_FILE, "dataset": DATASET, "chunks": CHUNKS},
        "models": small_models.described(models),
        "files": files,
        "tiny-llama-2m": tiny,
    }
    GOLDEN.write_text(small_models.pretty(golden, depth=4) + "\n")


if __name__ == "__main__":
    main()

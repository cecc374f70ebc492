"""Regenerates tests/data/golden/imatrix.json: SHA-256 of importance matrices, and of what llama-quantize
writes with them.

    python tests/peers/golden_imatrix.py

The matrices are written here as llama-imatrix writes them (tools/imatrix/imatrix.cpp), and read by
llama.cpp's own loader (see llama_quantize.py). The models are those of small_models.py.
"""

import json
import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import llama_quantize
import small_models
from golden_files import sha256

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "imatrix.json"

MODELS = ["llama-mixed", "mixtral", "llama-11-layers", "bert", "falcon"]
DATASETS = ["text\u00e9", "other.txt"]
CHUNK = 512

# A recipe, a matrix, and options.
RECIPES = ["iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "q2_k_s", "iq3_xxs", "iq3_xs", "iq3_s",
           "q2_k", "q3_k_m", "q4_0", "q5_1", "q4_k_m", "q5_k_s", "q6_k", "iq4_xs", "iq4_nl", "q8_0", "f16", "copy"]  # fmt: skip
CASES = [f"{recipe} full.gguf" for recipe in RECIPES]
CASES += [f"{recipe} full.dat" for recipe in ("iq1_m", "iq2_xs", "q2_k_s", "iq3_xxs", "q4_k_m", "q5_0", "copy")]
CASES += [f"{recipe} one-count.gguf" for recipe in ("iq2_xxs", "q4_k_m")]
CASES += [f"{recipe} holes.{form}" for recipe in ("q4_k_m", "iq4_xs", "iq2_xs") for form in ("gguf", "dat")]
CASES += [
    "q4_k_m wrong-embeddings.gguf",
    "q4_k_m wrong.gguf",
    "f16 wrong.gguf",
    "q4_k_m wrong.gguf --exclude-weights blk.1.",
    "q4_k_m full.gguf --include-weights attn --include-weights ffn_down",
    "q4_k_m full.gguf --exclude-weights attn_v --exclude-weights ffn",
    "q3_k_m full.dat --exclude-weights blk.0.",
    "q4_0 full.gguf --include-weights nothing",
    "q4_0 full.gguf --exclude-weights .",
    "iq2_xs full.gguf --exclude-weights ffn",
    "iq2_xs full.gguf --exclude-weights token_embd --exclude-weights output.weight",
    "q4_k_m full.gguf --pure --token-embedding-type q6_k",
    "q4_k_m full.gguf --override-kv quantize.imatrix.file=str:mine --leave-output-tensor",
]
PRUNED = ["q4_k_m full.gguf --prune-layers 1,2", "iq2_xs full.dat --prune-layers 0,5,9"]


def statistics(built):
    """Sums and counts of every matrix: each expert has its own count, and some have none."""
    entries = {}
    for seed, (name, _, shape) in enumerate(built["tensors"]):
        if len(shape) < 2:
            continue
        experts = shape[-3] if len(shape) > 2 else 1
        sums = (small_models.fields(experts * shape[-1], seed + 3000, 16) + 1).astype(np.float32)
        hashes = small_models.hashes(experts, seed + 4000)
        counts = (hashes % np.uint64(3000)).astype(np.int64) + 1
        if experts > 1:
            counts[hashes % np.uint64(4) == 0] = 0
        entries[name] = (sums * np.float32(2.0**-10), counts)
    return entries


def variants(built):
    """The matrices: whole; with one count for all experts; without every third tensor; of another
    model."""
    full = statistics(built)
    layer = next(name for name in full if name.startswith("blk.1."))
    cut = lambda entry: (entry[0][: len(entry[0]) // len(entry[1]) - 1], entry[1][:1])
    yield "full", full
    yield "one-count", {name: (sums, counts.max(keepdims=True)) for name, (sums, counts) in full.items()}
    yield "holes", {name: entry for i, (name, entry) in enumerate(full.items()) if i % 3}
    yield "wrong", full | {layer: cut(full[layer])}
    yield "wrong-embeddings", full | {"token_embd.weight": cut(full["token_embd.weight"])}


def chunks(entries):
    return int(max(counts.max() for _, counts in entries.values())) // CHUNK


def gguf_bytes(entries):
    """IMatrixCollector::save_imatrix"""
    string = small_models.string_bytes
    head = [string("general.type") + struct.pack("<I", 8) + string("imatrix")]
    head.append(string("imatrix.datasets") + struct.pack("<IIQ", 9, 8, len(DATASETS)))
    head += map(string, DATASETS)
    head.append(string("imatrix.chunk_count") + struct.pack("<II", 4, chunks(entries)))
    head.append(string("imatrix.chunk_size") + struct.pack("<II", 4, CHUNK))
    data = b""
    for name, (sums, counts) in sorted(entries.items()):
        experts = len(counts)
        for end, values, cols in ((".in_sum2", sums, len(sums) // experts), (".counts", counts, 1)):
            dims = [cols, experts] if experts > 1 else [cols]
            head.append(string(name + end))
            head.append(struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, len(data)))
            stored = values.astype(np.float32).tobytes()
            data += stored + bytes(-len(stored) % 32)
    head = struct.pack("<4sIQQ", b"GGUF", 3, 2 * len(entries), 4) + b"".join(head)
    return head + bytes(-len(head) % 32) + data


def dat_bytes(entries):
    """IMatrixCollector::save_imatrix_legacy"""
    entries = {name: entry for name, entry in sorted(entries.items()) if entry[1].any()}
    out = [struct.pack("<i", len(entries))]
    for name, (sums, counts) in entries.items():
        calls = -(-int(counts.max()) // CHUNK)
        # The divisions and products are of f32, as in C.
        count = np.repeat(counts, len(sums) // len(counts)).astype(np.float32)
        means = np.where(count == 0, np.float32(1), sums / np.where(count == 0, np.float32(1), count))
        out.append(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(sums)))
        out.append((means * np.float32(calls)).astype(np.float32).tobytes())
    dataset = DATASETS[-1].encode()
    return b"".join([*out, struct.pack("<ii", chunks(entries), len(dataset)), dataset])


def run(case):
    """The hash of what llama-quantize writes; None if it refuses."""
    recipe, matrix, *options = case.split(" ")
    try:
        llama_quantize.quantize(["--imatrix", matrix, *options, "in.gguf", "out.gguf", recipe])
    except llama_quantize.QuantizeError:
        return None
    return sha256("out.gguf")


def main():
    built = {name: model for name, model in small_models.file_models().items() if name in MODELS}
    matrices, files = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        llama_quantize.library()
        os.chdir(folder)
        for name, model in built.items():
            small_models.write(model, "in.gguf")
            matrices[name] = {}
            for variant, entries in variants(model):
                for form, content in (("gguf", gguf_bytes(entries)), ("dat", dat_bytes(entries))):
                    Path(f"{variant}.{form}").write_bytes(content)
                    matrices[name][f"{variant}.{form}"] = sha256(f"{variant}.{form}")
            cases = CASES + (PRUNED if name == "llama-11-layers" else [])
            files[name] = {case: run(case) for case in cases}
            refused = [case for case, output in files[name].items() if output is None]
            print(f"{name}: {len(cases)} files, {len(refused)} refused {refused}", file=sys.stderr)
    golden = {
        "llama.cpp": "v0.5.0",
        "datasets": DATASETS,
        "chunk_size": CHUNK,
        "matrices": matrices,
        "files": files,
    }
    GOLDEN.write_text(small_models.pretty(golden, depth=3) + "\n")


if __name__ == "__main__":
    main()

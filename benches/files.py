"""Whole files: `quantlib quantize` against llama.cpp's llama_model_quantize, and against a plain copy.

    python benches/files.py [--quick]

needs the quantlib package, a release build of the command, and what scripts/get-ggml fetches; `make
bench` sees to all three. Prints Markdown. Every output is compared with llama.cpp's before its time
counts. The copy reads as many bytes as quantlib reads, writes as many as it writes, and syncs, as
quantlib does; all files are in the page cache.
"""

import argparse
import filecmp
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from processes import apart, timed

ROOT = Path(__file__).resolve().parents[1]
QUANTLIB = ROOT / "target" / "release" / "quantlib"
LLAMA_QUANTIZE = ROOT / "tests" / "peers" / "llama_quantize.py"
CHUNK = 1 << 20
# Seconds of llama.cpp's in a row after which there are no more rounds.
PATIENCE = 60

EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS = 2048, 5632, 32, 4


def make_llama(path, layers, vocabulary):
    """A Llama of normally distributed f16 weights."""
    # What is imported above counts as memory of the processes that are measured.
    import numpy as np

    import quantlib as ql

    rng = np.random.default_rng(1)
    kv = EMBEDDING * KV_HEADS // HEADS
    shapes = {
        "attn_q": (EMBEDDING, EMBEDDING),
        "attn_k": (kv, EMBEDDING),
        "attn_v": (kv, EMBEDDING),
        "attn_output": (EMBEDDING, EMBEDDING),
        "ffn_gate": (FEED_FORWARD, EMBEDDING),
        "ffn_up": (FEED_FORWARD, EMBEDDING),
        "ffn_down": (EMBEDDING, FEED_FORWARD),
    }
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": np.uint32(layers),
        "llama.context_length": np.uint32(2048),
        "llama.embedding_length": np.uint32(EMBEDDING),
        "llama.feed_forward_length": np.uint32(FEED_FORWARD),
        "llama.attention.head_count": np.uint32(HEADS),
        "llama.attention.head_count_kv": np.uint32(KV_HEADS),
        "llama.attention.layer_norm_rms_epsilon": np.float32(1e-5),
        "llama.rope.dimension_count": np.uint32(EMBEDDING // HEADS),
        "general.file_type": np.uint32(1),
    }
    matrix = lambda shape: (rng.standard_normal(shape, dtype=np.float32) * 0.02).astype(np.float16)
    norm = np.ones(EMBEDDING, np.float32)
    with ql.GGUFWriter(path, metadata) as writer:
        writer.add_tensor("token_embd.weight", matrix((vocabulary, EMBEDDING)))
        writer.add_tensor("output_norm.weight", norm)
        writer.add_tensor("output.weight", matrix((vocabulary, EMBEDDING)))
        for layer in range(layers):
            for name in ("attn_norm", "ffn_norm"):
                writer.add_tensor(f"blk.{layer}.{name}.weight", norm)
            for name, shape in shapes.items():
                writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(shape))


def copy(source, target, size):
    """Seconds to read all of `source` and to write `size` bytes to `target`, a chunk in turn."""
    buffer = memoryview(bytearray(CHUNK))
    start = time.perf_counter()
    read, written = os.path.getsize(source), 0
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        total = read
        while read > 0:
            read -= reader.readinto(buffer)
            due = size * (total - read) // total
            while written < due:
                written += writer.write(buffer[: min(CHUNK, due - written)])
        unsynced = time.perf_counter() - start
        os.fsync(writer.fileno())
    return unsynced, time.perf_counter() - start


def cell(times):
    middle = statistics.median(times)
    return f"{middle:.2f} s ({min(times):.2f}–{max(times):.2f})"


def row(folder, source, recipe, threads, rounds):
    ours, theirs, memory, copies = [], [], [0, 0], []
    for _ in range(rounds):
        out, expected = folder / "ours.gguf", folder / "theirs.gguf"
        for path in (out, expected):
            path.unlink(missing_ok=True)
        command = [QUANTLIB, "quantize", source, "-o", out, "-t", recipe, "--threads", threads]
        seconds, peak = timed([*command, "--json"])
        ours.append(seconds)
        memory[0] = max(memory[0], peak)
        command = [sys.executable, LLAMA_QUANTIZE, "--quiet", source, expected, recipe, threads]
        seconds, peak = timed(command)
        theirs.append(seconds)
        memory[1] = max(memory[1], peak)
        if not filecmp.cmp(out, expected, shallow=False):
            sys.exit(f"{recipe}: not the bytes of llama.cpp")
        size = out.stat().st_size
        expected.unlink()
        copies.append(copy(source, folder / "copy", size))
        (folder / "copy").unlink()
        if sum(theirs) > PATIENCE:
            break
    ratio = statistics.median(a / b for a, b in zip(theirs, ours))
    copied = statistics.median(a / b[1] for a, b in zip(ours, copies))
    unsynced = statistics.median(a / b[0] for a, b in zip(ours, copies))
    print(
        f"| {recipe} | {threads} | {cell(theirs)}, {memory[1]:.0f} MiB | {cell(ours)}, {memory[0]:.0f} MiB "
        f"| {ratio:.1f}× | {copied:.2f}× ({unsynced:.2f}×) |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model, one round, all CPUs")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    options = parser.parse_args()
    rounds, layers, vocabulary = (1, 1, 2048) if options.quick else (5, 8, 32000)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        source = folder / "source.gguf"
        apart(make_llama, source, layers, vocabulary)
        size = source.stat().st_size
        print(f"\n| F16 GGUF of {size / 1e9:.2f} GB to | threads | llama.cpp | quantlib | ratio | of a copy (unsynced) |")
        print("|---|---:|---|---|---:|---:|")
        threads = [os.cpu_count()] if options.quick else sorted({1, os.cpu_count()})
        recipes = ["q4_k_m", "q8_0"] if options.quick else ["q4_k_m", "q6_k", "iq4_xs", "q4_0", "q8_0", "f16"]
        for recipe in recipes:
            for count in threads:
                row(folder, source, recipe, count, rounds)


if __name__ == "__main__":
    main()

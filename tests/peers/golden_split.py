"""Regenerates tests/data/golden/split.json: SHA-256 of what llama-gguf-split and llama-quantize
--keep-split write.

    python tests/peers/golden_split.py TINY_LLAMA.gguf [LLAMA_CPP]

TINY_LLAMA.gguf is what convert_hf_to_gguf.py --outtype f32 makes of tests/data/tiny-llama-2m; it is large
enough to be split by size, the small models of several architectures (small_models.py) are not.
LLAMA_CPP is llama.cpp's source (scripts/get-llama-cpp fetches it): no package has llama-gguf-split, so
it is compiled from tools/gguf-split and linked with the prebuilt libraries that scripts/get-ggml
fetches.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_quantize
import small_models
from golden_files import sha256

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden" / "split.json"
LIBRARIES = ["libllama-common.so", "libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so"]

SPLITS = [
    "",
    "--split-max-tensors 1",
    "--split-max-tensors 7",
    "--split-max-tensors 7 --no-tensor-first-split",
    "--split-max-tensors 1000",
    "--split-max-tensors 1000 --no-tensor-first-split",
    "--split-max-size 1M",
    "--split-max-size 2M",
    "--split-max-size 3M --no-tensor-first-split",
    "--split-max-size 2G",
]
# What --keep-split is given: the whole file, and the parts of these.
DIVISIONS = ["", "--split-max-tensors 20", "--split-max-tensors 20 --no-tensor-first-split"]
KEEP_SPLIT = ["q8_0", "q4_k_m", "copy", "q4_k_m --pure", "f16 --override-kv general.name=str:parts"]
PRUNE = {"llama-11-layers": ["q4_k_m --prune-layers 3,0,9", "copy --prune-layers 10,9"]}


def build(source, folder):
    """Compiles llama-gguf-split."""
    program = folder / "llama-gguf-split"
    libraries = llama_quantize.LIBRARIES.resolve()
    includes = [f"-I{source / part}" for part in ("include", "ggml/include", "common", "vendor")]
    code = source / "tools" / "gguf-split" / "gguf-split.cpp"
    linked = [str(libraries / name) for name in LIBRARIES]
    command = ["g++", "-O1", "-std=c++17", *includes, str(code), "-o", str(program), *linked]
    subprocess.run([*command, f"-Wl,-rpath,{libraries}"], check=True)
    return program


def run(program, *arguments):
    """Whether llama-gguf-split wrote something."""
    return subprocess.run([program, *arguments], capture_output=True).returncode == 0


def take(folder, prefix):
    """How many parts a split model has, and their hash one after the other; they are removed."""
    paths = sorted(folder.glob(f"{prefix}-*-of-*.gguf"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
        path.unlink()
    return f"{len(paths)} {digest.hexdigest()}"


def keep_split(source, target, case):
    recipe, *options = case.split(" ")
    job, _ = llama_quantize.parse(["--keep-split", *options])
    try:
        job.run(source, target, recipe)
    except llama_quantize.QuantizeError:
        take(target.parent, target.name)  # it leaves the halves that it wrote
        return None
    return take(target.parent, target.name)


def main():
    tiny_llama = Path(sys.argv[1])
    source = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / ".peers" / "llama.cpp"
    models = small_models.file_models() | {"tiny-llama-2m": None}
    golden = {"llama.cpp": "v0.5.0", "split": {}, "merge": {}, "keep_split": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(source, folder)
        for model, built in models.items():
            whole, parts, merged = folder / "in.gguf", folder / "parts", folder / "merged.gguf"
            if built:
                small_models.write(built, whole)
            else:
                whole = tiny_llama
            split = golden["split"][model] = {}
            for case in SPLITS:
                written = run(program, "--split", *case.split(), whole, parts)
                split[case] = take(folder, "parts") if written else None
            keep = golden["keep_split"][model] = {division: {} for division in DIVISIONS}
            for division, cases in keep.items():
                first = whole
                if division:
                    run(program, "--split", *division.split(), whole, parts)
                    first = sorted(folder.glob("parts-*.gguf"))[0]
                for case in KEEP_SPLIT + PRUNE.get(model, []):
                    cases[case] = keep_split(first, folder / "quantized", case)
                if division == DIVISIONS[1]:
                    run(program, "--merge", first, merged)
                    golden["merge"][model] = sha256(merged)
                    merged.unlink()
                take(folder, "parts")
            print(model, [parts and parts.split()[0] for parts in split.values()], file=sys.stderr)
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()

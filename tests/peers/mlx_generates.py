"""mlx_lm runs folders that quantlib made: of Hugging Face's, of GGUF files, and of MLX folders by way of Hugging Face's.

    python tests/peers/mlx_generates.py QUANTLIB

Needs mlx[cpu] 0.32.4 and mlx-lm 0.32.2; QUANTLIB is the command. The models are those of hf_models/ that mlx_lm knows, in
every mode of golden_mlx.py; then those whose GGUF files have a way back, and tiny-llama-2m. Prints for each way whether
mlx_lm loads the folder, what it generates, and whether the logits equal those of the folder that mlx_lm.convert makes of
the original. Fails if any that should be equal are not, and if mlx_lm loads its own folder but not ours.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import golden_mlx
import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

TOKENS = 12
# Folder: whether its experts are in 4-bit floats, which nothing rounds.
MODELS = {
    "tiny-llama-2m": False,
    "Tiny-Llama-0.4M-Chat-v1.5": False,
    "Meta-Llama-3.1-8B-Instruct": False,
    "llama-3.2-tiny": False,
    "Mistral-7B-Instruct-v0.3-128k": False,
    "qwen2.5-400k-instruct": False,
    "Qwen3-0.3M": False,
    "gpt-oss-20b-tiny": True,
}
# By way of MLX's names alone.
FOLDERS = ["Qwen3-30B-A3B-tiny", "Qwen1.5-MoE-A2.7B-tiny", "Mixtral-12x7B-v0.1", "mlx-granite-moe", "gpt-oss-20b-tiny"]
EXACT = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"]


def run(folder):
    """Logits of a prompt and of what follows it, and the tokens that follow."""
    model, config = load_model(Path(folder))
    tokens = [(i * 37 + 5) % min(config["vocab_size"], 90) for i in range(TOKENS)]
    cache = make_prompt_cache(model)
    logits, made = [model(mx.array([tokens]), cache=cache)], []
    for _ in range(4):
        made.append(mx.argmax(logits[-1][0, -1]).item())
        logits.append(model(mx.array([made[-1:]]), cache=cache))
    return mx.concatenate(logits, axis=1).astype(mx.float32), made


def main():
    quantlib = sys.argv[1]
    failed = 0

    def command(*arguments):
        done = subprocess.run([quantlib, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return arguments[arguments.index("-o") + 1]

    def compare(what, ours, theirs):
        nonlocal failed
        (a, tokens), (b, _) = run(ours), run(theirs)
        equal = mx.array_equal(a, b, equal_nan=True).item()
        failed += not equal
        apart = "" if equal else f", {mx.abs(a - b).max().item():g} apart"
        print(f"{what}: logits {'equal' if equal else 'DIFFER'}{apart}; generates {tokens}", flush=True)

    def every_mode(source, modes, work):
        """What mlx_lm.convert makes of a Hugging Face folder, beside what the command makes of it."""
        nonlocal failed
        tallies = {}
        for mode in modes:
            ours, theirs = work / "direct", work / "direct-theirs"
            for folder in (ours, theirs):
                shutil.rmtree(folder, ignore_errors=True)
            golden_mlx.convert(source, theirs, golden_mlx.MODES.get(mode, {"dtype": "float32"}))
            recipe, _, group = mode.partition(":")
            plain = recipe in ("auto", "f16", "bf16", "f32")
            verb = ["convert", source, "--to", "mlx"] if plain else ["quantize", source]
            command(*verb, "-t", recipe, "-o", ours, *(["--group-size", group] if group else []))
            try:
                expected = run(theirs)[0]
            except Exception as error:
                tallies.setdefault(f"mlx_lm cannot run its own: {str(error)[:80]}", []).append(mode)
                continue
            equal = mx.array_equal(run(ours)[0], expected, equal_nan=True).item()
            failed += not equal
            tallies.setdefault("logits equal" if equal else "logits DIFFER", []).append(mode)
        said = [f"{what} in {len(modes)} modes ({', '.join(modes)})" for what, modes in tallies.items()]
        print(f"{source.name}, Hugging Face to MLX: {'; '.join(said)}", flush=True)

    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        sources = {folder.name: folder for folder in golden_mlx.folders(work)}
        for name, golden in json.loads(golden_mlx.GOLDEN.read_text()).items():
            # Some layers run in f32 alone on the CPU.
            modes = ["f32", *(mode for mode, made in golden["modes"].items() if made)]
            every_mode(sources[name], modes, work)
        count = 0

        def out(name):
            nonlocal count
            count += 1
            return work / f"{count}-{name}"

        def gguf(source, *wish):
            pre = source.with_name(f"{source.name}.pre")
            pre = ["--pre", pre.read_text().strip()] if pre.exists() else []
            return command("convert", source, "-o", out("a.gguf"), *pre, *wish)

        for name, microscaled in MODELS.items():
            source = sources[name]
            theirs, file = out("theirs"), gguf(source, "--exact")
            golden_mlx.convert(source, theirs, {"dtype": "float32"})
            ours = command("convert", file, "-o", out("ours"), "--to", "mlx", "-t", "f32")
            if not microscaled:
                compare(f"{name}, GGUF to MLX in f32", ours, theirs)
            back = command("convert", file, "-o", out("hf"), "--to", "hf", *([] if microscaled else ["-t", "f32"]))
            again = out("again")
            golden_mlx.convert(back, again, {"dtype": "float32"})
            compare(f"{name}, GGUF to Hugging Face, then mlx_lm.convert", again, theirs)
            if microscaled:
                ours = command("convert", file, "-o", out("ours"), "--to", "mlx", "--exact")
                print(f"{name}, GGUF to MLX with mxfp4 kept: generates {run(ours)[1]}")
        for recipe in EXACT:
            file = command("quantize", sources["tiny-llama-2m"], "-o", out("a.gguf"), "-t", recipe, "--pure")
            ours = command("convert", file, "-o", out("ours"), "--to", "mlx", "--exact")
            print(f"tiny-llama-2m in {recipe}, GGUF to MLX: generates {run(ours)[1]}")
        for name in FOLDERS:
            theirs = out("theirs")
            golden_mlx.convert(sources[name], theirs, {"dtype": "float32"})
            hf, ours = command("convert", theirs, "-o", out("hf"), "--to", "hf"), out("ours")
            golden_mlx.convert(hf, ours, {"dtype": "float32"})
            compare(f"{name}, MLX to Hugging Face, then mlx_lm.convert", ours, theirs)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()

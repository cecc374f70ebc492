"""The files work: the same bytes as llama.cpp's programs make of real models, and llama.cpp runs them."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import quantlib as ql

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = json.loads((ROOT / "tests/data/golden/real_models.json").read_text())


def folder_of(model: str) -> Path | None:
    """The folder of a model that has golden hashes, or None where it cannot be had."""
    places = [ROOT / "tests/data", ROOT / ".peers/models", Path(os.environ.get("QUANTLIB_MODELS", "."))]
    found = (place / model for place in places if (place / model / "config.json").is_file())
    return next(found, None)


@pytest.mark.parametrize("model", GOLDEN)
def test_files_equal_those_of_llama_cpp(model: str, tmp_path: Path) -> None:
    folder = folder_of(model)
    if folder is None:
        pytest.skip(f"{model} is neither fetched (scripts/get-models) nor below QUANTLIB_MODELS")
    out = tmp_path / "out.gguf"
    for job, want in GOLDEN[model].items():
        command, name = job.split()
        if command == "convert":
            ql.convert_model(folder, out, name)
        else:
            ql.quantize_model(folder, out, name)
        assert hashlib.sha256(out.read_bytes()).hexdigest() == want, job


# In a process of its own: the server keeps threads, and prints.
GENERATE = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.cpuparams.n_threads = sys.argv[1], 128, 2
server = xllamacpp.Server(params)
answer = server.handle_completions({"prompt": "The function", "max_tokens": 12, "temperature": 0})
print(json.dumps([answer["choices"][0]["text"], answer["usage"]["completion_tokens"]]))
"""


def generate(model: Path) -> tuple[str, int]:
    """What llama.cpp writes, and how many tokens that is."""
    command = [sys.executable, "-c", GENERATE, model]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    text, tokens = json.loads(run.stdout.strip().splitlines()[-1])
    return text, tokens


@pytest.mark.parametrize("recipe", ["f16", "q8_0", "q4_0", "q2_k", "q3_k_m", "q4_k_m", "q5_k_m", "q6_k"])
def test_llama_cpp_generates_text(recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    ql.quantize_model(ROOT / "tests/data/tiny-llama-2m", out, recipe)
    text, _ = generate(out)
    assert len(text.split()) >= 3, text


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of small random models."""
    models = tmp_path_factory.mktemp("hf") / "models"
    script = ROOT / "tests/peers/make_models.py"
    groups = ["moe", "deepseek", "gpt_oss", "granite"]
    subprocess.run([sys.executable, script, models, *groups], check=True)
    return models


@pytest.mark.parametrize(
    "name",
    [
        "Mixtral-12x7B-v0.1",
        "Qwen1.5-MoE-A2.7B-tiny",
        "Qwen3-30B-A3B-tiny",
        "deepseek-moe-16b-tiny",
        "DeepSeek-V3-fp8",
        "gpt-oss-20b-tiny",
        "granite-3.1-3b-a800m-tiny",
    ],
)
def test_llama_cpp_runs_models_with_experts(name: str, made_models: Path, tmp_path: Path) -> None:
    pre = made_models / f"{name}.pre"
    out = tmp_path / "model.gguf"
    ql.convert_model(made_models / name, out, pre=pre.read_text() if pre.exists() else None)
    _, tokens = generate(out)
    assert tokens == 12

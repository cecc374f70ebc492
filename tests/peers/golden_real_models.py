"""Golden hashes of real models: what llama.cpp's own programs make of them.

    python tests/peers/golden_real_models.py LLAMA_CPP [MODEL_FOLDER...]

LLAMA_CPP is its source tree (for convert_hf_to_gguf.py, which needs torch, transformers and
sentencepiece), and .peers/ggml has its libraries (scripts/get-ggml). all-MiniLM-L6-v2 comes from
scripts/get-models, tiny-llama-2m from tests/data; further folders are named on the command line. Writes tests/data/golden/real_models.json, keeping entries of models that are not at hand.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from llama_quantize import quantize

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/golden/real_models.json"
RECIPES = (
    "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K"
).split()
OUTTYPES = {"F32": "f32", "F16": "f16", "BF16": "bf16"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lossless(folder: Path) -> str:
    """The outtype that keeps the weights as they are stored."""
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    stored = [info["dtype"] for info in header.values() if len(info.get("shape", [])) >= 2]
    return next(OUTTYPES[dtype] for dtype in stored if dtype in OUTTYPES)


def hashes(llama_cpp: Path, folder: Path) -> dict[str, str]:
    found = {}
    with tempfile.TemporaryDirectory() as work:
        converted = {}
        for outtype in ("f32", "f16", "bf16", "q8_0"):
            converted[outtype] = Path(work, f"{outtype}.gguf")
            script = llama_cpp / "convert_hf_to_gguf.py"
            arguments = [folder, "--outtype", outtype, "--outfile", converted[outtype]]
            subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True)
            found[f"convert {outtype}"] = sha256(converted[outtype])
        for recipe in RECIPES:
            out = Path(work, "out.gguf")
            quantize([str(converted[lossless(folder)]), str(out), recipe])
            found[f"quantize {recipe}"] = sha256(out)
    return found


def main() -> None:
    llama_cpp, *folders = map(Path, sys.argv[1:])
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    fixed = [ROOT / "tests/data/tiny-llama-2m", ROOT / ".peers/models/all-MiniLM-L6-v2"]
    for folder in fixed + folders:
        golden[folder.name] = hashes(llama_cpp, folder)
        print(folder.name, len(golden[folder.name]), "files")
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()

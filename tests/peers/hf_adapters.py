"""Small random LoRA adapters as PEFT folders, for the models of hf_models/.

ADAPTERS says for every folder's name which model it is for and what is in it. Only the standard library is needed,
and the same bytes come out everywhere. The models must be there already: names and shapes come from their files.
"""

import json
import re
import struct
from dataclasses import dataclass, field

from hf_models.weights import write_json, write_safetensors

ATTENTION = r"\.self_attn\.[qkvo]_proj$"
LINEAR = r"\.(self_attn|mlp)\.\w+_proj$"
EMBEDDING = r"(^|\.)(embed_tokens|wte|word_embeddings)$"


@dataclass
class Adapter:
    """What an adapter changes; `merges` and `converts` say what the peers, PEFT and llama.cpp, can do with it."""

    base: tuple[str, str]  # group and folder
    targets: str = LINEAR
    rank: int = 8
    alpha: float = 16
    dtype: str = "F32"
    config: dict = field(default_factory=dict)
    ranks: dict = field(default_factory=dict)  # pattern -> rank, beside `rank`
    wholes: str = "(?!)"  # tensors of the base model that the adapter has as a whole
    swapped: bool = False  # matrices with inputs as rows
    inner: str = ""  # what the loaded model's names have in front, and the files' names lack
    readme: str = ""
    merges: bool = True
    converts: bool = True

    def write(self, folder, models):
        folder.mkdir(parents=True)
        tensors = {}
        for name, shape in shapes(models / self.base[1]).items():
            module = name.removesuffix(".weight")
            if re.search(self.wholes, name):
                tensors[f"base_model.model.{name}"] = (self.dtype, shape)
            elif module != name and len(shape) == 2 and re.search(self.targets, module):
                tensors.update(self.factors(module, shape))
        write_safetensors(folder / "adapter_model.safetensors", tensors)
        write_json(folder / "adapter_config.json", {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": self.base[1], "r": self.rank,
            "lora_alpha": self.alpha, "lora_dropout": 0.05, "bias": "none", "fan_in_fan_out": self.swapped,
            "target_modules": f".*({self.targets})", "inference_mode": True, "rank_pattern": self.ranks,
            "alpha_pattern": {}, "use_rslora": False, "use_dora": False, "init_lora_weights": True,
            "modules_to_save": None, "layer_replication": None, **self.config,
        })
        if self.readme:
            (folder / "README.md").write_text(self.readme, encoding="utf-8")

    def factors(self, module, shape):
        rank = next((r for key, r in self.ranks.items() if re.match(rf"(.*\.)?({key})$", module)), self.rank)
        rows, cols = shape
        name = f"base_model.model.{self.inner}{module}"
        if re.search(EMBEDDING, module):
            return {
                f"{name}.lora_embedding_A": (self.dtype, [rank, rows]),
                f"{name}.lora_embedding_B": (self.dtype, [cols, rank]),
            }
        if self.swapped:
            rows, cols = cols, rows
        return {
            f"{name}.lora_A.weight": (self.dtype, [rank, cols]),
            f"{name}.lora_B.weight": (self.dtype, [rows, rank]),
        }


def shapes(folder):
    """Tensor name -> shape, file by file."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found.update((name, entry["shape"]) for name, entry in header.items())
    return found


CARD = """---
base_model: some-org/Other-Llama-3B-v0.9
library_name: peft
license: mit
tags: [lora, "tiny"]
language: en
datasets: wikitext
---
# An adapter
"""

ADAPTERS = {
    "Tiny-Llama-0.4M-Chat-v1.5-LoRA": Adapter(("llama", "Tiny-Llama-0.4M-Chat-v1.5"), readme=CARD),
    # Few modules, half precision, a rank for which whole blocks of Q8_0 suffice.
    "llama-3.1-r32": Adapter(
        ("llama", "Meta-Llama-3.1-8B-Instruct"), ATTENTION, rank=32, alpha=8, dtype="F16"),
    "rank-stabilized": Adapter(
        ("llama", "biased_llama"), ranks={"q_proj": 4, r"model\.layers\.1\.mlp\.\w+": 3},
        config={"use_rslora": True, "alpha_pattern": {"mlp.up_proj": 2.5, "layers.0.self_attn.k_proj": 0.5}}),
    "embedding-lora": Adapter(
        ("llama", "llama-3.2-tiny"), rf"{EMBEDDING}|^lm_head$|{ATTENTION}", rank=5, alpha=2.5, dtype="BF16"),
    # As PEFT saves modules_to_save, which a GGUF adapter cannot have.
    "whole-head": Adapter(
        ("llama", "Tiny-Llama-0.4M-Chat-v1.5"), ATTENTION, rank=2, wholes="^lm_head", converts=False,
        config={"modules_to_save": ["lm_head"], "lora_alpha": 1}),
    # As mergekit-extract-lora saves norms.
    "with_norms": Adapter(
        ("llama", "Mistral-7B-Instruct-v0.3-128k"), wholes=r"norm\.weight$", rank=6, merges=False),
    "bare-lora": Adapter(
        ("llama", "bare-llama-model"), LINEAR, rank=1, alpha=1, dtype="F16", config={"task_type": None}),
    "activated": Adapter(
        ("qwen", "Qwen3-0.3M"), ATTENTION, rank=32, dtype="BF16", merges=False,
        config={"alora_invocation_tokens": [3, 151, 7]}),
    "Qwen2.5-adapter-v2": Adapter(("qwen", "qwen2.5-400k-instruct"), dtype="BF16"),
    "sentence-lora": Adapter(
        ("bert", "bert-base-uncased"), r"(query|key|value|dense)$", rank=4, merges=False,
        config={"task_type": "FEATURE_EXTRACTION"}),
    # transformers does not load this model, which is odd on purpose.
    "gpt2-lora": Adapter(
        ("gpt2", "gpt2"), r"\.c_(attn|fc|proj)$", rank=4, swapped=True, inner="transformer.", merges=False),
    "falcon-adapter": Adapter(("falcon", "falcon-0.5M-instruct"), r"\.(query_key_value|dense\w*)$", dtype="BF16"),
    "gemma-adapter-1B": Adapter(("gemma", "gemma-2b-it"), rank=16),
    "phi-lora-0.1B": Adapter(("phi", "Phi-3-mini-4k-instruct"), rank=3, alpha=0.5, dtype="F16"),
    "experts-lora": Adapter(
        ("moe", "mixtral-tiny-tied"), rf"experts\.\d+\.w[123]$|{ATTENTION}", rank=4, dtype="F16", merges=False),
}


def write_all(out, models):
    for name, adapter in ADAPTERS.items():
        adapter.write(out / name, models)

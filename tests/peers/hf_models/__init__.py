"""Small random models as Hugging Face folders, one for each thing that conversion must get right.

Each module has a group of architectures. Its MODELS says for every folder's name what writes it, and the
pre-tokenizer to name where the vocabulary is too small to be recognized. Only the standard library is needed, and
the same bytes come out everywhere: the conversions of these folders have golden hashes.
"""

from . import (
    bert, deepseek, falcon, gemma, gpt2, gpt_oss, granite, llama, mlx, moe, nomic, olmo, phi, qwen, roberta, smollm, stablelm,
    starcoder,
)

MODULES = [
    bert, deepseek, falcon, gemma, gpt2, gpt_oss, granite, llama, mlx, moe, nomic, olmo, phi, qwen, roberta, smollm, stablelm,
    starcoder,
]
GROUPS = {module.__name__.rpartition(".")[2]: module.MODELS for module in MODULES}

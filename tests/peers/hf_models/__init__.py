"""Small random models as Hugging Face folders, one for each thing that conversion must get right.

Each module has a group of architectures. Its MODELS says for every folder's name what writes it, and the
pre-tokenizer to name where the vocabulary is too small to be recognized. Only the standard library is needed, and
the same bytes come out everywhere: the conversions of these folders have golden hashes.
"""

from . import bert, falcon, gemma, gpt2, granite, llama, moe, olmo, phi, qwen, smollm, stablelm, starcoder

GROUPS = {
    "bert": bert.MODELS, "falcon": falcon.MODELS, "gemma": gemma.MODELS, "gpt2": gpt2.MODELS, "granite": granite.MODELS,
    "llama": llama.MODELS, "moe": moe.MODELS, "olmo": olmo.MODELS, "phi": phi.MODELS, "qwen": qwen.MODELS,
    "smollm": smollm.MODELS, "stablelm": stablelm.MODELS, "starcoder": starcoder.MODELS,
}

"""Phi 3 and Phi 4 mini."""

import json

from .vocab import bpe_vocab, sentencepiece_vocab
from .weights import write_json, write_weights

PHI3 = {
    "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": 96, "intermediate_size": 160,
    "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 3, "vocab_size": 1030,
    "max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0, "rope_scaling": None, "sliding_window": 2047, "bos_token_id": 1, "eos_token_id": 1024,
    "pad_token_id": 1024, "hidden_act": "silu", "attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
    "initializer_range": 0.02, "use_cache": True, "tie_word_embeddings": False,
    "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
}


def phi3_tensors(config, dtype, head=True):
    width, inner = config["hidden_size"], config["intermediate_size"]
    dim = width // config["num_attention_heads"]
    keys = dim * (config.get("num_key_value_heads") or config["num_attention_heads"])
    linear = {"self_attn.qkv_proj": (width + 2 * keys, width), "self_attn.o_proj": (width, width),
              "mlp.gate_up_proj": (2 * inner, width), "mlp.down_proj": (width, inner)}
    tensors = {"model.embed_tokens.weight": [config["vocab_size"], width], "model.norm.weight": [width]}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}{norm}.weight"] = [width]
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
    if head:
        tensors["lm_head.weight"] = [config["vocab_size"], width]
    return {name: (dtype, shape) for name, shape in tensors.items()}


def phi3_vocab(folder):
    """Added tokens in three files, which do not agree; some end like special tokens and are not marked so."""
    added = {1024: ("<|endoftext|>", True), 1025: ("<|assistant|>", False), 1026: ("\u2581placeholder", False)}
    decoder = {str(i): {"content": text, "special": special, "lstrip": False, "rstrip": True, "normalized": False,
                        "single_word": False} for i, (text, special) in added.items()}
    sentencepiece_vocab(folder, added_tokens_decoder=decoder, eos_token="<|endoftext|>", pad_token="<|endoftext|>",
                        chat_template="{{ messages }}", tokenizer_class="LlamaTokenizer")
    write_json(folder / "added_tokens.json", {"<|old|>": 1027, "<|assistant|>": 1025, "<|beyond|>": 5000})
    tokens = [{"id": 2, "content": "</s>", "special": False}, {"id": 1028, "content": "<|end|>", "special": True}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens, "model": {"type": "BPE"}}))


def factors(count, step):
    return [1 + step * i for i in range(count)]


def phi3_short(folder):
    """The short context: no factors; a window; f32."""
    phi3_vocab(folder)
    write_json(folder / "config.json", {**PHI3, "torch_dtype": "float32"})
    write_weights(folder, phi3_tensors(PHI3, "F32"), shards=2)


def phi3_long(folder):
    """The long context, the first spelling of its type, whole numbers among the factors, no window, bf16."""
    phi3_vocab(folder)
    config = {**PHI3, "torch_dtype": "bfloat16", "max_position_embeddings": 131072, "sliding_window": None,
              "num_key_value_heads": None,
              "rope_scaling": {"type": "longrope", "long_factor": factors(16, 0.37), "short_factor": factors(16, 1)}}
    write_json(folder / "config.json", config)
    write_weights(folder, phi3_tensors(config, "BF16"))


def phi3_su(folder):
    """The oldest name of the scaling, which transformers does not accept without a context."""
    phi3_vocab(folder)
    config = {**PHI3, "max_position_embeddings": 131072,
              "rope_scaling": {"type": "su", "long_factor": factors(16, 0.25), "short_factor": factors(16, 0.01)}}
    write_json(folder / "config.json", config)
    write_weights(folder, phi3_tensors(config, "F16"))


def phi3_yarn(folder):
    """Scaling that was once called yarn, and a class that transformers does not know by this name."""
    phi3_vocab(folder)
    config = {**PHI3, "model_type": "phi-msft", "max_position_embeddings": 8192,
              "rope_scaling": {"type": "yarn", "long_factor": factors(16, 0.25), "short_factor": factors(16, 0.01)}}
    write_json(folder / "config.json", config)
    write_weights(folder, phi3_tensors(config, "F16"))


def phi4_mini(folder):
    """A byte-level vocabulary, three quarters of each head turned, grouped heads, tied embeddings."""
    specials = ["<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>"]
    vocab = bpe_vocab(folder, "GPT2Tokenizer", specials, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                      pad_token="<|endoftext|>", unk_token="<|endoftext|>", add_bos_token=False,
                      add_prefix_space=False, chat_template="{{ messages }}")
    config = {**PHI3, "vocab_size": vocab + 8, "num_key_value_heads": 1, "partial_rotary_factor": 0.75,
              "max_position_embeddings": 131072, "sliding_window": 262144, "tie_word_embeddings": True,
              "interpolate_factor": 1, "full_attn_mod": 1, "lm_head_bias": False, "mlp_bias": False,
              "torch_dtype": "bfloat16", "bos_token_id": 265, "eos_token_id": 265, "pad_token_id": 265,
              "rope_scaling": {"type": "longrope", "long_factor": factors(12, 2.5), "short_factor": [1.0] * 12}}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"eos_token_id": [266, 265], "temperature": 0.5, "top_k": 5})
    write_weights(folder, phi3_tensors(config, "BF16", head=False))


def phi4_new(folder):
    """Only the sizes, rope in the new spelling."""
    vocab = bpe_vocab(folder, "GPT2Tokenizer", ["<|endoftext|>"], bos_token="<|endoftext|>")
    config = {key: PHI3[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                         "num_hidden_layers", "num_attention_heads")}
    config |= {"vocab_size": vocab, "max_position_embeddings": 4000, "dtype": "float16", "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 250000.0, "partial_rotary_factor": 0.5,
        "long_factor": factors(8, 0.1), "short_factor": factors(8, 0.2), "original_max_position_embeddings": 100}}
    write_json(folder / "config.json", config)
    write_weights(folder, phi3_tensors(config, "F16"))


MODELS = {
    "Phi-3-mini-4k-instruct": (phi3_short, None),
    "Phi-3-mini-128k-instruct": (phi3_long, None),
    "phi-3-su": (phi3_su, None),
    "phi-3-yarn": (phi3_yarn, None),
    "Phi-4-mini-instruct": (phi4_mini, "gpt-4o"),
    "phi4-new-rope": (phi4_new, "gpt-4o"),
}

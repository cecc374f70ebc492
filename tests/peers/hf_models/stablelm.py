"""StableLM."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab
from .weights import write_json, write_weights

STABLELM = {
    **{key: value for key, value in LLAMA.items() if key != "rms_norm_eps"},
    "architectures": ["StableLmForCausalLM"], "model_type": "stablelm", "num_key_value_heads": 4,
    "layer_norm_eps": 1e-05, "partial_rotary_factor": 0.25, "rope_theta": 10000, "use_qkv_bias": False,
    "norm_eps": 1e-05,
}
NORMS = ["input_layernorm", "post_attention_layernorm"]
BIASES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]


def stablelm_vocab(folder):
    return bpe_vocab(folder, "GPT2Tokenizer", ["<|endoftext|>", "<|im_start|>"], bos_token="<|endoftext|>",
                     eos_token="<|endoftext|>", unk_token="<|endoftext|>", add_prefix_space=False)


def stablelm_tensors(config, dtype, **options):
    tensors = decoder_tensors(config, dtype, **options)
    blocks = [f"model.layers.{layer}.{norm}" for layer in range(config["num_hidden_layers"]) for norm in NORMS]
    for norm in [*blocks, "model.norm"]:
        tensors[norm + ".bias"] = (dtype, [config["hidden_size"]])
    return tensors


def stablelm(folder):
    """The first 3B: an output matrix of its own."""
    config = {**STABLELM, "vocab_size": stablelm_vocab(folder) + 5, "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    write_weights(folder, stablelm_tensors(config, "BF16"))


def stablelm2(folder):
    """StableLM 2: biases of projections, grouped heads, both halves of a block side by side."""
    config = {**STABLELM, "vocab_size": stablelm_vocab(folder), "num_key_value_heads": 2, "use_qkv_bias": True,
              "use_parallel_residual": True, "rope_parameters": {"rope_theta": 5000.0, "partial_rotary_factor": 0.4}}
    del config["partial_rotary_factor"], config["rope_theta"]
    write_json(folder / "config.json", config)
    write_weights(folder, stablelm_tensors(config, "F16", biases=BIASES), shards=2)


def stablelm_epoch(folder):
    """The class before transformers had it: nothing is filled in."""
    config = {**STABLELM, "architectures": ["StableLMEpochForCausalLM"], "model_type": "stablelm_epoch",
              "vocab_size": stablelm_vocab(folder), "rope_pct": 0.5, "tie_word_embeddings": True}
    del config["partial_rotary_factor"], config["layer_norm_eps"]
    write_json(folder / "config.json", config)
    write_weights(folder, stablelm_tensors(config, "F32", head=False))


def stablelm_head_norms(folder):
    """StableLM 2 12B: a norm for every head, more than nine of them, in shards."""
    config = {**STABLELM, "vocab_size": stablelm_vocab(folder), "num_attention_heads": 16, "num_key_value_heads": 2,
              "qk_layernorm": True, "use_parallel_residual": True, "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    tensors = stablelm_tensors(config, "BF16")
    for layer in range(config["num_hidden_layers"]):
        for kind, heads in (("q", 16), ("k", 2)):
            for head in range(heads):
                name = f"model.layers.{layer}.self_attn.{kind}_layernorm.norms.{head}.weight"
                tensors[name] = ("BF16", [config["hidden_size"] // 16])
    write_weights(folder, tensors, shards=3)


def stablelm_defaults(folder):
    config = {key: STABLELM[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                             "num_hidden_layers")}
    config |= {"vocab_size": stablelm_vocab(folder), "num_attention_heads": 32}
    write_json(folder / "config.json", config)
    write_weights(folder, stablelm_tensors(config, "F32"))


MODELS = {
    "stablelm-3b-4e1t": (stablelm, "stablelm2"),
    "stablelm-2-1_6b": (stablelm2, "stablelm2"),
    "stablelm-epoch": (stablelm_epoch, "stablelm2"),
    "stablelm-2-12b": (stablelm_head_norms, "stablelm2"),
    "stablelm-plain": (stablelm_defaults, "stablelm2"),
}

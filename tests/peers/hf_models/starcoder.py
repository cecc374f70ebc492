"""StarCoder 2."""

from .vocab import bpe_vocab
from .weights import write_json, write_weights

STARCODER2 = {
    "architectures": ["Starcoder2ForCausalLM"], "model_type": "starcoder2", "hidden_size": 96,
    "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "max_position_embeddings": 16384, "norm_epsilon": 1e-05, "sliding_window": 4096, "use_bias": True,
    "mlp_type": "default", "norm_type": "layer_norm", "hidden_act": "gelu_pytorch_tanh", "residual_dropout": 0.1,
    "attention_dropout": 0.1, "embedding_dropout": 0.1, "initializer_range": 0.018042, "use_cache": True,
    "attention_softmax_in_fp32": True, "scale_attention_softmax_in_fp32": True,
}
SPECIALS = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<repo_name>"]


def starcoder_vocab(folder):
    return bpe_vocab(folder, "GPT2Tokenizer", SPECIALS, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                     unk_token="<|endoftext|>", add_prefix_space=False, vocab_size=49152, model_max_length=1000000000,
                     additional_special_tokens=SPECIALS)


def starcoder2_tensors(config, dtype, head, bias):
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    linear = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (keys, width), "self_attn.v_proj": (keys, width),
              "self_attn.o_proj": (width, width), "mlp.c_fc": (inner, width), "mlp.c_proj": (width, inner)}
    tensors = {"model.embed_tokens.weight": [config["vocab_size"], width]}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors |= {f"{block}{norm}.weight": [width], f"{block}{norm}.bias": [width]}
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            if bias:
                tensors[f"{block}{name}.bias"] = [shape[0]]
    tensors |= {"model.norm.weight": [width], "model.norm.bias": [width]}
    if head:
        tensors["lm_head.weight"] = [config["vocab_size"], width]
    return {name: (dtype, shape) for name, shape in tensors.items()}


def starcoder2(folder):
    """Biases, tied embeddings, f32 in shards, a vocabulary that is padded."""
    config = {**STARCODER2, "vocab_size": starcoder_vocab(folder) + 7, "rope_theta": 999999.4420358813,
              "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float32"}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0})
    write_weights(folder, starcoder2_tensors(config, "F32", head=False, bias=True), shards=2)


def starcoder2_plain(folder):
    """No biases, an output matrix of its own, rope in the new spelling, bf16, defaults left out."""
    config = {key: value for key, value in STARCODER2.items()
              if key not in ("norm_epsilon", "max_position_embeddings", "sliding_window")}
    config |= {"vocab_size": starcoder_vocab(folder), "use_bias": False, "tie_word_embeddings": False,
               "dtype": "bfloat16", "rope_parameters": {"rope_type": "linear", "rope_theta": 100000.0, "factor": 2.0}}
    write_json(folder / "config.json", config)
    write_weights(folder, starcoder2_tensors(config, "BF16", head=True, bias=False))


MODELS = {
    "starcoder2-0.2m": (starcoder2, "starcoder"),
    "StarCoder2-plain": (starcoder2_plain, "starcoder"),
}

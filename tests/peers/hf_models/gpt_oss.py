"""gpt-oss, with experts in MX's 4-bit floats and in bf16."""

from .llama import LLAMA
from .vocab import bpe_vocab
from .weights import write_json, write_weights

SPECIALS = ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|start|>", "<|message|>"]

GPT_OSS = {
    **LLAMA, "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 96,
    "head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2, "experts_per_token": 2, "sliding_window": 128,
    "attention_bias": True, "swiglu_limit": 7.0, "router_aux_loss_coef": 0.9, "output_router_logits": False,
    "layer_types": ["sliding_attention", "full_attention"], "rope_theta": 150000, "initial_context_length": 4096,
    "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                     "original_max_position_embeddings": 4096},
}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                                            "model.embed_tokens", "lm_head"]}


def tensors_of(config, microscaled, head=True):
    width, inner, count = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    heads, kv_heads, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    projections = {"q_proj": (heads * dim, width), "k_proj": (kv_heads * dim, width), "v_proj": (kv_heads * dim, width),
                   "o_proj": (width, heads * dim)}
    tensors = {"model.embed_tokens.weight": [config["vocab_size"], width], "model.norm.weight": [width]}
    if head:
        tensors["lm_head.weight"] = [config["vocab_size"], width]
    packed = {}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}{norm}.weight"] = [width]
        for name, shape in projections.items():
            tensors[f"{block}self_attn.{name}.weight"] = list(shape)
            tensors[f"{block}self_attn.{name}.bias"] = [shape[0]]
        tensors[f"{block}self_attn.sinks"] = [heads]
        tensors[f"{block}mlp.router.weight"] = [count, width]
        tensors[f"{block}mlp.router.bias"] = [count]
        for name, rows, cols in (("gate_up_proj", 2 * inner, width), ("down_proj", width, inner)):
            experts = f"{block}mlp.experts.{name}"
            tensors[f"{experts}_bias"] = [count, rows]
            if microscaled:
                packed[f"{experts}_blocks"] = ("U8", [count, rows, cols // 32, 16])
                packed[f"{experts}_scales"] = ("U8:exponent", [count, rows, cols // 32])
            else:
                tensors[experts] = [count, cols, rows]
    return {name: ("BF16", shape) for name, shape in tensors.items()} | packed


def vocabulary(folder):
    return bpe_vocab(folder, "PreTrainedTokenizerFast", SPECIALS, bos_token="<|startoftext|>", eos_token="<|return|>",
                     pad_token="<|endoftext|>")


def microscaled(folder):
    """As published: 4-bit experts."""
    vocab = vocabulary(folder)
    config = {**GPT_OSS, "vocab_size": vocab, "quantization_config": MXFP4}
    write_json(folder / "config.json", config)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}\n", encoding="utf-8")
    write_weights(folder, tensors_of(config, microscaled=True))


def microscaled_defaults(folder):
    """More experts, tied embeddings, most of the configuration left to its defaults."""
    vocab = vocabulary(folder)
    config = {**GPT_OSS, "vocab_size": vocab + 9, "num_local_experts": 11, "tie_word_embeddings": True,
              "quantization_config": MXFP4, "num_key_value_heads": 4}
    for key in ("sliding_window", "rope_scaling", "rope_theta", "num_experts_per_tok", "experts_per_token",
                "layer_types", "max_position_embeddings", "rms_norm_eps", "initial_context_length"):
        del config[key]
    write_json(folder / "config.json", config)
    write_weights(folder, tensors_of(config, microscaled=True, head=False))


def in_bf16(folder):
    """A fine-tuned model: experts in bf16, columns for outputs."""
    vocab = vocabulary(folder)
    config = {**GPT_OSS, "vocab_size": vocab, "torch_dtype": "bfloat16",
              "rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "beta_fast": 32.0,
                                  "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 4096}}
    for key in ("rope_theta", "rope_scaling"):
        del config[key]
    write_json(folder / "config.json", config)
    write_weights(folder, tensors_of(config, microscaled=False), shards=2)


MODELS = {
    "gpt-oss-20b-tiny": (microscaled, "gpt-4o"),
    "gpt-oss-defaults": (microscaled_defaults, "gpt-4o"),
    "gpt-oss-bf16": (in_bf16, "gpt-4o"),
}

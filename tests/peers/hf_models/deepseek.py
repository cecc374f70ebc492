"""DeepSeek 1 to 3: shared experts, and latent keys and values."""

from .llama import LLAMA, decoder_tensors
from .moe import PROJECTIONS, expert_tensors, with_experts
from .vocab import bpe_vocab, sentencepiece_vocab
from .weights import write_json, write_weights

SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]


def vocabulary(folder):
    return bpe_vocab(folder, "LlamaTokenizerFast", SPECIALS, bos_token=SPECIALS[0], eos_token=SPECIALS[1],
                     add_bos_token=True, add_eos_token=False)


def latent_attention(config, layer):
    """name -> shape of the attention of one layer."""
    width, heads, latent = config["hidden_size"], config["num_attention_heads"], config["kv_lora_rank"]
    rope, plain, values = config["qk_rope_head_dim"], config["qk_nope_head_dim"], config["v_head_dim"]
    block = f"model.layers.{layer}.self_attn."
    tensors = {
        "kv_a_proj_with_mqa.weight": [latent + rope, width], "kv_a_layernorm.weight": [latent],
        "kv_b_proj.weight": [heads * (plain + values), latent], "o_proj.weight": [width, heads * values],
    }
    if queries := config.get("q_lora_rank"):
        tensors |= {"q_a_proj.weight": [queries, width], "q_a_layernorm.weight": [queries],
                    "q_b_proj.weight": [heads * (plain + rope), queries]}
    else:
        tensors["q_proj.weight"] = [heads * (plain + rope), width]
    return {block + name: shape for name, shape in tensors.items()}


def experts_of(config, correction):
    width, inner, count = config["hidden_size"], config["moe_intermediate_size"], config["n_routed_experts"]
    shared = inner * config["n_shared_experts"]

    def experts(layer):
        block = f"model.layers.{layer}.mlp"
        tensors = {f"{block}.gate.weight": [count, width]}
        if correction:
            tensors[f"{block}.gate.e_score_correction_bias"] = [count]
        shapes = ([shared, width], [shared, width], [width, shared])
        tensors |= {f"{block}.shared_experts.{name}.weight": shape for name, shape in zip(PROJECTIONS, shapes)}
        return tensors | expert_tensors(count, inner, width, f"{block}.experts")

    return experts


def deepseek2_tensors(config, dtype, head=True, correction=False, dense=1):
    """The first `dense` layers are without experts."""
    layers = range(config["num_hidden_layers"])
    tensors = decoder_tensors(config, dtype, head=head)
    tensors = {name: entry for name, entry in tensors.items() if ".self_attn." not in name}
    for layer in layers:
        tensors |= {name: (dtype, shape) for name, shape in latent_attention(config, layer).items()}
    return with_experts(tensors, dtype, layers[dense:], experts_of(config, correction))


DEEPSEEK2 = {
    **LLAMA, "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "num_key_value_heads": 4,
    "kv_lora_rank": 32, "q_lora_rank": None, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 64,
    "n_routed_experts": 6, "n_shared_experts": 2, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
    "first_k_dense_replace": 1, "routed_scaling_factor": 1.0, "norm_topk_prob": False, "n_group": 1, "topk_group": 1,
    "topk_method": "greedy", "scoring_func": "softmax", "moe_layer_freq": 1, "aux_loss_alpha": 0.001, "seq_aux": True,
}


def deepseek2_lite(folder):
    """Version 2 Lite: queries are not latent; yarn with its multiplier; two files."""
    vocab = vocabulary(folder)
    config = {**DEEPSEEK2, "vocab_size": vocab, "num_hidden_layers": 3, "torch_dtype": "bfloat16", "rope_theta": 10000,
              "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
                               "original_max_position_embeddings": 4096, "type": "yarn"}}
    write_json(folder / "config.json", config)
    write_weights(folder, deepseek2_tensors(config, "BF16"), shards=2)


def deepseek2_full(folder):
    """Latent queries, groups of experts, all layers with experts, most of the configuration left out, f16."""
    vocab = vocabulary(folder)
    config = {**DEEPSEEK2, "vocab_size": vocab + 3, "q_lora_rank": 64, "topk_method": "group_limited_greedy",
              "n_group": 2, "topk_group": 1, "routed_scaling_factor": 16.0, "dtype": "float16", "n_routed_experts": 4}
    for key in ("first_k_dense_replace", "num_key_value_heads", "norm_topk_prob", "scoring_func", "rms_norm_eps"):
        del config[key]
    write_json(folder / "config.json", config)
    write_weights(folder, deepseek2_tensors(config, "F16", dense=0))


def deepseek3(folder):
    """Version 3: corrected scores, latent queries, a block that predicts further tokens and is left out."""
    vocab = vocabulary(folder)
    config = {**DEEPSEEK2, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": vocab,
              "q_lora_rank": 64, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True,
              "n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5, "num_nextn_predict_layers": 1,
              "torch_dtype": "bfloat16", "rope_theta": 10000, "attention_dropout": 0.0, "ep_size": 1,
              "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                               "original_max_position_embeddings": 4096, "type": "yarn"}}
    write_json(folder / "config.json", config)
    layers = config["num_hidden_layers"]
    tensors = deepseek2_tensors({**config, "num_hidden_layers": layers + 1}, "BF16", correction=True)
    width, behind = config["hidden_size"], f"model.layers.{layers}."
    tensors |= {f"{behind}eh_proj.weight": ("BF16", [width, 2 * width]), f"{behind}enorm.weight": ("BF16", [width]),
                f"{behind}shared_head.head.weight": ("BF16", [vocab, width])}
    # The published files have the correction in single precision.
    tensors |= {name: ("F32", shape) for name, (_, shape) in tensors.items() if "e_score" in name}
    write_weights(folder, tensors, shards=3)


def deepseek3_tied(folder):
    """Tied embeddings, although there is an output matrix; today's spellings, defaults left out; f32."""
    vocab = vocabulary(folder)
    config = {**DEEPSEEK2, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": vocab,
              "tie_word_embeddings": True, "dtype": "float32", "q_lora_rank": 32,
              "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}
    for key in ("norm_topk_prob", "routed_scaling_factor", "scoring_func", "n_group", "num_experts_per_tok"):
        del config[key]
    write_json(folder / "config.json", config)
    write_weights(folder, deepseek2_tensors(config, "F32", correction=True))


def in_fp8(tensors, tile):
    """Projections in 8-bit floats with a scale for each tile, or for each tensor."""
    quantized = {}
    for name, (dtype, shape) in tensors.items():
        if name.endswith("_proj.weight"):
            scales = [-(-dim // size) for dim, size in zip(shape, tile)] if tile else []
            quantized[name] = ("F8_E4M3", shape)
            quantized[f"{name}_scale_inv"] = ("F32", scales)
        else:
            quantized[name] = (dtype, shape)
    return quantized


def deepseek3_fp8(folder, tile=(48, 64)):
    """8-bit floats, as version 3 is published, in tiles that do not divide the matrices."""
    vocab = vocabulary(folder)
    method = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8"}
    if tile:
        method["weight_block_size"] = list(tile)
    config = {**DEEPSEEK2, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": vocab,
              "q_lora_rank": 64, "torch_dtype": "bfloat16", "rope_theta": 10000, "quantization_config": method}
    write_json(folder / "config.json", config)
    write_weights(folder, in_fp8(deepseek2_tensors(config, "BF16", correction=True), tile), shards=2)


def deepseek3_fp8_whole(folder):
    """One scale for each tensor."""
    deepseek3_fp8(folder, tile=None)


def deepseek1(folder):
    """The first version, whose configuration transformers does not know."""
    config = {**LLAMA, "architectures": ["DeepseekForCausalLM"], "model_type": "deepseek", "rope_theta": 10000.0,
              "n_routed_experts": 5, "n_shared_experts": 2, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
              "first_k_dense_replace": 1, "moe_layer_freq": 1, "scoring_func": "softmax", "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder)
    write_weights(folder, with_experts(decoder_tensors(config, "BF16"), "BF16", [1], experts_of(config, False)))


MODELS = {
    "DeepSeek-V2-Lite-tiny": (deepseek2_lite, "deepseek-llm"),
    "deepseek-v2-f16": (deepseek2_full, "deepseek-llm"),
    "DeepSeek-V3-tiny": (deepseek3, "deepseek-v3"),
    "deepseek-v3-tied": (deepseek3_tied, "deepseek-v3"),
    "DeepSeek-V3-fp8": (deepseek3_fp8, "deepseek-v3"),
    "deepseek-v3-fp8-whole": (deepseek3_fp8_whole, "deepseek-v3"),
    "deepseek-moe-16b-tiny": (deepseek1, None),
}

"""Nomic BERT."""

from .vocab import unigram_json, wordpiece_vocab
from .weights import write_json, write_weights

NOMIC = {
    "architectures": ["NomicBertModel"], "model_type": "nomic_bert", "activation_function": "swiglu", "causal": False,
    "n_embd": 64, "n_head": 4, "n_inner": 96, "n_layer": 2, "n_positions": 8192, "max_trained_positions": 2048,
    "layer_norm_epsilon": 1e-12, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "qkv_proj_bias": False, "prenorm": False,
    "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None, "type_vocab_size": 2, "parallel_block": False, "use_rms_norm": False,
}


def nomic_tensors(config, dtype):
    width, inner = config["n_embd"], config["n_inner"]
    bias, every = config["qkv_proj_bias"], config.get("moe_every_n_layers")
    tensors = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], width],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], width],
        "emb_ln.weight": [width],
        "emb_ln.bias": [width],
    }
    for layer in range(config["n_layer"]):
        block = f"encoder.layers.{layer}."
        linear = {"attn.Wqkv": (3 * width, width), "attn.out_proj": (width, width)}
        if not every:
            linear |= {"mlp.fc11": (inner, width), "mlp.fc12": (inner, width), "mlp.fc2": (width, inner)}
        elif layer % every == 0:
            linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
        else:
            rows = config["num_experts"] * inner
            tensors |= {f"{block}mlp.experts.bias": [width], f"{block}mlp.experts.mlp.w1": [rows, width],
                        f"{block}mlp.experts.mlp.w2": [rows, width],
                        f"{block}mlp.router.layer.weight": [config["num_experts"], width]}
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            if bias:
                tensors[f"{block}{name}.bias"] = [shape[0]]
        for norm in ("norm1", "norm2"):
            tensors[f"{block}{norm}.weight"] = [width]
            tensors[f"{block}{norm}.bias"] = [width]
    return {name: (dtype, shape) for name, shape in tensors.items()}


def nomic(folder):
    """A sentence-transformers folder; the names of transformers' own class beside the model's."""
    config = {**NOMIC, "vocab_size": wordpiece_vocab(folder) + 6, "hidden_size": 64, "num_attention_heads": 4,
              "num_hidden_layers": 2, "intermediate_size": 96}
    write_json(folder / "config.json", config)
    write_json(folder / "modules.json", [
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    write_weights(folder, nomic_tensors(config, "F32"))


def nomic_unknown(folder):
    """A type that transformers does not know: the model's own names count."""
    config = {**NOMIC, "model_type": "my_nomic", "vocab_size": wordpiece_vocab(folder)}
    write_json(folder / "config.json", config)
    write_weights(folder, nomic_tensors(config, "F16"))


def nomic_experts(folder):
    """Experts in every second block, XLM-RoBERTa's vocabulary, biases."""
    config = {**NOMIC, "n_positions": 2048, "activation_function": "gelu", "mlp_fc1_bias": True, "mlp_fc2_bias": True,
              "qkv_proj_bias": True, "moe_every_n_layers": 2, "moe_top_k": 2, "num_experts": 4, "ffn_div": 1,
              "vocab_size": unigram_json(folder), "pad_token_id": 1, "type_vocab_size": 1, "rotary_emb_base": 10000.0,
              "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96}
    write_json(folder / "config.json", config)
    write_weights(folder, nomic_tensors(config, "F32"))


MODELS = {
    "nomic-embed-text-v1.5": (nomic, "bert-bge"),
    "nomic-embed-unknown": (nomic_unknown, "bert-bge"),
    "nomic-embed-text-v2-moe": (nomic_experts, None),
}

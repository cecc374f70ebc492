"""Decoders with experts: Mixtral, Qwen 2 and 3."""

from .llama import LLAMA, decoder_tensors
from .qwen import QWEN_SPECIALS
from .vocab import bpe_vocab, sentencepiece_vocab
from .weights import write_json, write_weights

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


def expert_tensors(experts, inner, width, prefix, names=PROJECTIONS):
    """One tensor for each projection (gate, up, down) of each expert."""
    gate, up, down = names
    tensors = {}
    for i in range(experts):
        tensors[f"{prefix}.{i}.{gate}.weight"] = [inner, width]
        tensors[f"{prefix}.{i}.{up}.weight"] = [inner, width]
        tensors[f"{prefix}.{i}.{down}.weight"] = [width, inner]
    return tensors


def with_experts(tensors, dtype, layers, experts):
    """Replaces the feed-forward tensors of some layers; experts: layer -> name -> shape."""
    dense = tuple(f"layers.{layer}.mlp." for layer in layers)
    kept = {name: entry for name, entry in tensors.items() if not any(part in name for part in dense)}
    for layer in layers:
        kept.update({name: (dtype, shape) for name, shape in experts(layer).items()})
    return kept


def mixtral_tensors(config, dtype):
    width, inner, count = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]

    def experts(layer):
        block = f"model.layers.{layer}.block_sparse_moe"
        tensors = {f"{block}.gate.weight": [count, width]}
        return {**tensors, **expert_tensors(count, inner, width, f"{block}.experts", ("w1", "w3", "w2"))}

    layers = range(config["num_hidden_layers"])
    head = not config["tie_word_embeddings"]
    return with_experts(decoder_tensors(config, dtype, head=head), dtype, layers, experts)


MIXTRAL = {
    **LLAMA, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "intermediate_size": 64,
    "num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": False, "router_aux_loss_coef": 0.02,
    "sliding_window": None, "rope_theta": 1000000.0, "attention_dropout": 0.0,
}


def mixtral(folder):
    """Blocks' experts spread over the files, more than ten of them, so that names do not sort as numbers do."""
    config = {**MIXTRAL, "num_local_experts": 12, "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder)
    write_weights(folder, mixtral_tensors(config, "BF16"), shards=3)


def mixtral_tied(folder):
    """Today's spellings, an explicit length of heads, tied embeddings, f16."""
    config = {**MIXTRAL, "dtype": "float16", "head_dim": 64, "tie_word_embeddings": True,
              "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    del config["rope_theta"]
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder)
    write_weights(folder, mixtral_tensors(config, "F16"))


QWEN_MOE = {**LLAMA, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1,
            "norm_topk_prob": True, "output_router_logits": False, "router_aux_loss_coef": 0.001, "mlp_only_layers": [],
            "rope_theta": 1000000.0, "use_sliding_window": False, "sliding_window": 128}


def qwen_tensors(config, dtype, sparse, shared=0, joined=False, **options):
    """`sparse` lists the layers with experts; `joined` puts all experts of a block into two tensors."""
    width, inner, count = config["hidden_size"], config["moe_intermediate_size"], config["num_experts"]

    def experts(layer):
        block = f"model.layers.{layer}.mlp"
        tensors = {f"{block}.gate.weight": [count, width]}
        if shared:
            tensors.update(dict(zip((f"{block}.shared_expert.{name}.weight" for name in PROJECTIONS),
                                    ([shared, width], [shared, width], [width, shared]))))
            tensors[f"{block}.shared_expert_gate.weight"] = [1, width]
        if joined:
            tensors[f"{block}.experts.gate_up_proj"] = [count, 2 * inner, width]
            tensors[f"{block}.experts.down_proj"] = [count, width, inner]
            return tensors
        return {**tensors, **expert_tensors(count, inner, width, f"{block}.experts")}

    return with_experts(decoder_tensors(config, dtype, **options), dtype, sparse, experts)


def qwen2_moe(folder):
    """Shared experts, biases, two files."""
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = {**QWEN_MOE, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "vocab_size": vocab,
              "shared_expert_intermediate_size": 96, "max_window_layers": 2, "torch_dtype": "bfloat16",
              "bos_token_id": vocab - 3, "eos_token_id": vocab - 1}
    write_json(folder / "config.json", config)
    biases = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    write_weights(folder, qwen_tensors(config, "BF16", [0, 1], shared=96, biases=biases), shards=2)


def qwen2_moe_joined(folder):
    """Today's layout with the experts of a block in two tensors; f32."""
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = {**QWEN_MOE, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "vocab_size": vocab,
              "shared_expert_intermediate_size": 64, "dtype": "float32",
              "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    for key in ("rope_theta", "num_experts_per_tok"):
        del config[key]
    write_json(folder / "config.json", config)
    biases = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    write_weights(folder, qwen_tensors(config, "F32", [0, 1], shared=64, biases=biases, joined=True))


def qwen3_moe(folder):
    """Norms of heads, three layers, tied embeddings, yarn."""
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = {**QWEN_MOE, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": vocab,
              "num_hidden_layers": 3, "head_dim": 64, "torch_dtype": "bfloat16",
              "tie_word_embeddings": True,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}}
    write_json(folder / "config.json", config)
    norms = ["self_attn.q_norm", "self_attn.k_norm"]
    write_weights(folder, qwen_tensors(config, "BF16", [0, 1, 2], norms=norms, head=False), shards=2)


def qwen3_moe_joined(folder):
    """The other layout, without biases and with most of the configuration left to its defaults."""
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = {**QWEN_MOE, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": vocab,
              "head_dim": 32}
    for key in ("norm_topk_prob", "decoder_sparse_step", "rms_norm_eps", "max_position_embeddings", "rope_theta",
                "num_experts_per_tok"):
        del config[key]
    write_json(folder / "config.json", config)
    norms = ["self_attn.q_norm", "self_attn.k_norm"]
    write_weights(folder, qwen_tensors(config, "F16", [0, 1], norms=norms, joined=True))


MODELS = {
    "Mixtral-12x7B-v0.1": (mixtral, None),
    "mixtral-tiny-tied": (mixtral_tied, None),
    "Qwen1.5-MoE-A2.7B-tiny": (qwen2_moe, "qwen2"),
    "qwen2-moe-joined": (qwen2_moe_joined, "qwen2"),
    "Qwen3-30B-A3B-tiny": (qwen3_moe, "qwen2"),
    "qwen3-moe-joined": (qwen3_moe_joined, "qwen2"),
}

"""Models with everything in config.json that mlx_lm asks for, where the others lack something of it."""

from .deepseek import DEEPSEEK2, deepseek2_tensors
from .gemma import AROUND, GEMMA, GEMMA3, gemma_tensors
from .gpt2 import gpt2_tensors
from .granite import GRANITE, granite_moe_tensors
from .llama import LLAMA, decoder_tensors
from .weights import write_json, write_weights

MORE_GRANITE = {"rope_theta": 10000.0, "attention_bias": False, "mlp_bias": False}


def write(folder, config, tensors, **options):
    write_json(folder / "config.json", config)
    write_weights(folder, tensors, **options)


def gemma(folder):
    write(folder, {**GEMMA, "torch_dtype": "bfloat16"}, gemma_tensors(GEMMA, "BF16"))


def gemma3_seeing(folder):
    """A part that sees, which is left out."""
    text = {**GEMMA3, "sliding_window_pattern": 2}
    for key in ("architectures", "tie_word_embeddings"):
        del text[key]
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text,
              "torch_dtype": "bfloat16", "vocab_size": 1024, "mm_tokens_per_image": 16,
              "vision_config": {"hidden_size": 32}}
    norms = ("self_attn.q_norm", "self_attn.k_norm")
    tensors = gemma_tensors(text, "BF16", AROUND, norms=norms, prefix="language_model.model.")
    tensors["vision_tower.vision_model.post_layernorm.weight"] = ("BF16", [32])
    tensors["multi_modal_projector.mm_soft_emb_norm.weight"] = ("BF16", [32])
    write(folder, config, tensors, shards=2)


def gpt2(folder):
    """Causal masks among the tensors, as old files have them."""
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_ctx": 96, "n_positions": 96, "n_embd": 64,
              "n_head": 4, "n_layer": 2, "layer_norm_epsilon": 1e-05, "vocab_size": 300}
    tensors = gpt2_tensors(2, 64, 300, "F32")
    tensors |= {f"h.{layer}.attn.bias": ("F32", [1, 1, 96, 96]) for layer in range(2)}
    write(folder, config, tensors)


def granite(folder):
    """An output matrix of its own."""
    config = {**GRANITE, **MORE_GRANITE, "torch_dtype": "float16"}
    write(folder, config, decoder_tensors(config, "BF16"))


def granite_moe(folder):
    config = {**GRANITE, **MORE_GRANITE, "architectures": ["GraniteMoeForCausalLM"], "model_type": "granitemoe",
              "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 64}
    write(folder, config, granite_moe_tensors(config, "BF16"))


def deepseek3(folder):
    """Corrections that stay in single precision."""
    config = {**DEEPSEEK2, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "q_lora_rank": 64,
              "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True, "n_group": 2,
              "topk_group": 1, "routed_scaling_factor": 2.5, "torch_dtype": "bfloat16", "rope_theta": 10000.0,
              "qk_nope_head_dim": 64, "kv_lora_rank": 64, "vocab_size": 300, "moe_intermediate_size": 64}
    tensors = deepseek2_tensors(config, "BF16", correction=True)
    tensors |= {name: ("F32", shape) for name, (_, shape) in tensors.items() if "e_score" in name}
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [8])
    write(folder, config, tensors)


def llama_deep(folder):
    """Sixteen blocks, which mixtures tell apart; tied embeddings, although there is an output matrix."""
    config = {**LLAMA, "num_hidden_layers": 16, "hidden_size": 64, "intermediate_size": 64, "vocab_size": 96,
              "tie_word_embeddings": True}
    write(folder, config, decoder_tensors(config, "F16"))


MODELS = {
    "mlx-gemma": (gemma, None),
    "mlx-gemma3-seeing": (gemma3_seeing, None),
    "mlx-gpt2": (gpt2, None),
    "mlx-granite": (granite, None),
    "mlx-granite-moe": (granite_moe, None),
    "mlx-deepseek3": (deepseek3, None),
    "mlx-llama-deep": (llama_deep, None),
}

"""Granite."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab
from .weights import write_json, write_weights

GRANITE = {
    **LLAMA, "architectures": ["GraniteForCausalLM"], "model_type": "granite", "embedding_multiplier": 12.0,
    "attention_multiplier": 0.015625, "residual_multiplier": 0.22, "logits_scaling": 8.0,
}
SPECIALS = ["<|end_of_text|>", "<fim_prefix>", "<|start_of_role|>"]


def granite_vocab(folder, **options):
    return bpe_vocab(folder, "GPT2Tokenizer", SPECIALS, bos_token="<|end_of_text|>", eos_token="<|end_of_text|>",
                     pad_token="<|end_of_text|>", unk_token="<|end_of_text|>", **options)


def granite_old(folder):
    """Old spellings, tied embeddings, bf16; the size of vocabulary for which no bos is added; a card."""
    granite_vocab(folder, add_bos_token=False, add_prefix_space=False, chat_template="{{ messages }}")
    config = {**GRANITE, "vocab_size": 49152, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 1, "torch_dtype": "bfloat16", "rope_theta": 10000000.0,
              "rope_scaling": None, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
              "tie_word_embeddings": True}
    write_json(folder / "config.json", config)
    (folder / "README.md").write_text("---\npipeline_tag: text-generation\nlicense: apache-2.0\n"
                                      "base_model:\n- ibm-granite/granite-3.3-2b-base\n---\n", encoding="utf-8")
    write_weights(folder, decoder_tensors(config, "BF16", head=False))


def granite_new(folder):
    """New spellings, biases, whole and zero multipliers, heads of another length, yarn, shards, f32."""
    vocab = granite_vocab(folder)
    config = {**GRANITE, "vocab_size": vocab, "dtype": "float32", "head_dim": 32, "embedding_multiplier": 12,
              "residual_multiplier": 0, "logits_scaling": 0.0, "attention_bias": True, "mlp_bias": True,
              "rope_parameters": {"rope_theta": 500000.0, "rope_type": "yarn", "factor": 8.0,
                                  "original_max_position_embeddings": 128, "beta_fast": 16}}
    write_json(folder / "config.json", config)
    biases = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
              "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    write_weights(folder, decoder_tensors(config, "F32", biases=biases), shards=2)


def granite_defaults(folder):
    """Only the sizes: everything else from the configuration class."""
    vocab = granite_vocab(folder)
    config = {key: GRANITE[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                            "num_hidden_layers", "num_attention_heads")}
    write_json(folder / "config.json", {**config, "vocab_size": vocab})
    write_weights(folder, decoder_tensors({**config, "vocab_size": vocab}, "F16"))


def granite_moe_tensors(config, dtype, shared=0):
    width, inner, count = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    tensors = {name: entry for name, entry in decoder_tensors(config, dtype).items() if ".mlp." not in name}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        tensors[f"{block}block_sparse_moe.router.layer.weight"] = (dtype, [count, width])
        tensors[f"{block}block_sparse_moe.input_linear.weight"] = (dtype, [count, 2 * inner, width])
        tensors[f"{block}block_sparse_moe.output_linear.weight"] = (dtype, [count, width, inner])
        if shared:
            tensors[f"{block}shared_mlp.input_linear.weight"] = (dtype, [2 * shared, width])
            tensors[f"{block}shared_mlp.output_linear.weight"] = (dtype, [width, shared])
    return tensors


def granite_moe(folder):
    """Experts in joined tensors, bf16."""
    vocab = granite_vocab(folder)
    config = {**GRANITE, "architectures": ["GraniteMoeForCausalLM"], "model_type": "granitemoe", "vocab_size": vocab,
              "num_local_experts": 5, "num_experts_per_tok": 2, "intermediate_size": 64, "torch_dtype": "bfloat16",
              "router_aux_loss_coef": 0.0, "rope_theta": 1500000.0, "rope_scaling": None}
    write_json(folder / "config.json", config)
    write_weights(folder, granite_moe_tensors(config, "BF16"), shards=2)


def granite_moe_shared(folder):
    """Shared experts, defaults, f32."""
    vocab = granite_vocab(folder)
    config = {**GRANITE, "architectures": ["GraniteMoeSharedForCausalLM"], "model_type": "granitemoeshared",
              "vocab_size": vocab, "intermediate_size": 32, "shared_intermediate_size": 96, "num_hidden_layers": 1}
    del config["num_key_value_heads"]
    write_json(folder / "config.json", config)
    write_weights(folder, granite_moe_tensors({**config, "num_local_experts": 8}, "F32", shared=96))


MODELS = {
    "granite-3.3-0.1m-instruct": (granite_old, "refact"),
    "Granite-3.0-new": (granite_new, "refact"),
    "granite-3.1-3b-a800m-tiny": (granite_moe, "refact"),
    "granite-moe-shared": (granite_moe_shared, "refact"),
    "granite_plain": (granite_defaults, "refact"),
}

"""Falcon."""

from .vocab import bpe_vocab
from .weights import write_json, write_weights

SPECIALS = [">>TITLE<<", ">>ABSTRACT<<", "<|endoftext|>"]


def falcon_tensors(layers, heads, groups, dim, vocab, dtype, norms, head=True):
    width = heads * dim
    tensors = {"transformer.word_embeddings.weight": [vocab, width]}
    linear = {
        "self_attention.query_key_value": ((heads + 2 * groups) * dim, width),
        "self_attention.dense": (width, width),
        "mlp.dense_h_to_4h": (4 * width, width),
        "mlp.dense_4h_to_h": (width, 4 * width),
    }
    for layer in range(layers):
        block = f"transformer.h.{layer}."
        for norm in norms:
            tensors[f"{block}{norm}.weight"] = [width]
            tensors[f"{block}{norm}.bias"] = [width]
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
    tensors["transformer.ln_f.weight"] = [width]
    tensors["transformer.ln_f.bias"] = [width]
    if head:
        tensors["lm_head.weight"] = [vocab, width]
    return {name: (dtype, shape) for name, shape in tensors.items()}


def falcon_new(folder):
    """As Falcon 40B and 180B: groups of heads, two norms a block."""
    vocab = bpe_vocab(folder, "PreTrainedTokenizerFast", SPECIALS, eos_token="<|endoftext|>", add_prefix_space=False)
    config = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "alibi": False, "bias": False,
              "apply_residual_connection_post_layernorm": False, "hidden_size": 128, "num_attention_heads": 8,
              "num_hidden_layers": 2, "num_kv_heads": 2, "new_decoder_architecture": True, "parallel_attn": True,
              "layer_norm_epsilon": 1e-05, "vocab_size": vocab + 1, "torch_dtype": "bfloat16", "bos_token_id": vocab - 1,
              "eos_token_id": vocab - 1, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    write_json(folder / "config.json", config)
    write_weights(folder, falcon_tensors(2, 8, 2, 16, vocab + 1, "BF16", ["ln_attn", "ln_mlp"]))


def falcon_old(folder):
    """As Falcon 7B came first, with code of its own: one key head, old names, rope frequencies, no head."""
    vocab = bpe_vocab(folder, "PreTrainedTokenizerFast", SPECIALS, eos_token="<|endoftext|>")
    config = {"architectures": ["RWForCausalLM"], "model_type": "RefinedWebModel", "alibi": False, "bias": False,
              "hidden_size": 96, "n_head": 3, "n_layer": 2, "multi_query": True, "parallel_attn": True,
              "layer_norm_epsilon": 1e-05, "vocab_size": vocab, "torch_dtype": "float16", "bos_token_id": vocab - 1,
              "eos_token_id": vocab - 1}
    write_json(folder / "config.json", config)
    tensors = falcon_tensors(2, 3, 1, 32, vocab, "F16", ["input_layernorm"], head=False)
    for layer in range(2):
        tensors[f"transformer.h.{layer}.self_attention.rotary_emb.inv_freq"] = ("F32", [16])
    write_weights(folder, tensors)


def falcon_plain(folder):
    """A key head for every query head, as nothing else is said."""
    vocab = bpe_vocab(folder, "PreTrainedTokenizerFast", SPECIALS, eos_token="<|endoftext|>")
    config = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "n_embed": 64, "num_attention_heads": 4,
              "num_hidden_layers": 1, "vocab_size": vocab, "multi_query": False, "alibi": True, "hidden_size": 32}
    write_json(folder / "config.json", config)
    write_weights(folder, falcon_tensors(1, 4, 4, 16, vocab, "F32", ["input_layernorm"]))


MODELS = {
    "falcon-0.5M-instruct": (falcon_new, "falcon"),
    "refined-web-7b": (falcon_old, "falcon"),
    "falcon-rw-plain": (falcon_plain, "falcon"),
}

"""OLMo 2 and 3."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab
from .weights import write_json, write_weights

OLMO2 = {**LLAMA, "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "attention_bias": False,
         "attention_dropout": 0.0, "rms_norm_eps": 1e-06}
OLMO3 = {**OLMO2, "architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3", "num_hidden_layers": 5,
         "hidden_size": 32, "intermediate_size": 64}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]


def olmo_vocab(folder):
    return bpe_vocab(folder, "GPT2Tokenizer", SPECIALS, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                     pad_token="<|pad|>", unk_token="<|endoftext|>", add_prefix_space=False)


def olmo_tensors(config, dtype, head=True):
    """No norm before attention, norms of all query and of all key heads."""
    tensors = {name.replace("post_attention_layernorm", "post_feedforward_layernorm")
               .replace("input_layernorm", "post_attention_layernorm"): tensor
               for name, tensor in decoder_tensors(config, dtype, head=head).items()}
    dim = config["hidden_size"] // config["num_attention_heads"]
    heads = config.get("num_key_value_heads") or config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}.self_attn."
        tensors[block + "q_norm.weight"] = (dtype, [config["hidden_size"]])
        tensors[block + "k_norm.weight"] = (dtype, [dim * heads])
    return tensors


def olmo2(folder):
    config = {**OLMO2, "vocab_size": olmo_vocab(folder) + 3, "torch_dtype": "bfloat16", "rope_theta": 500000,
              "rope_scaling": None, "eos_token_id": 265, "pad_token_id": 268}
    write_json(folder / "config.json", config)
    write_weights(folder, olmo_tensors(config, "BF16"), shards=2)


def olmo2_windows(folder):
    """Defaults left out, and a window, which the class does not know."""
    config = {key: OLMO2[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                          "num_hidden_layers", "num_attention_heads")}
    config |= {"vocab_size": olmo_vocab(folder), "sliding_window": 64}
    write_json(folder / "config.json", config)
    write_weights(folder, olmo_tensors(config, "F32"))


def olmo3(folder):
    """Yarn for the layers that look at everything, in the old spelling; kinds of layers given."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    config = {**OLMO3, "vocab_size": olmo_vocab(folder), "torch_dtype": "bfloat16", "rope_theta": 400000,
              "sliding_window": 4096, "layer_types": kinds,
              "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192,
                               "attention_factor": 1.2079441541679836, "beta_fast": 32.0, "beta_slow": 1.0}}
    write_json(folder / "config.json", config)
    write_weights(folder, olmo_tensors(config, "BF16"))


def olmo3_new(folder):
    """Two sets of rope parameters, kinds of layers by the class's rule."""
    sets = {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"type": "linear", "factor": 4.0}}
    config = {**OLMO3, "vocab_size": olmo_vocab(folder), "dtype": "float16", "rope_parameters": sets,
              "tie_word_embeddings": True}
    write_json(folder / "config.json", config)
    write_weights(folder, olmo_tensors(config, "F16", head=False))


MODELS = {
    "OLMo-2-0425-1B": (olmo2, "olmo"),
    "olmo2-windows": (olmo2_windows, "olmo"),
    "Olmo-3-7B-Instruct": (olmo3, "olmo"),
    "olmo3-new-rope": (olmo3_new, "olmo"),
}

"""SmolLM: the first two are Llamas with a byte-level vocabulary, the third has a class of its own."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab
from .weights import write_json, write_weights

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def smollm2(folder):
    """A Llama with nine heads in three groups, the vocabulary's size for which no bos is added."""
    bpe_vocab(folder, "GPT2Tokenizer", SPECIALS, bos_token="<|im_start|>", eos_token="<|im_end|>",
              pad_token="<|im_end|>", unk_token="<|endoftext|>", add_prefix_space=False, model_max_length=8192,
              clean_up_tokenization_spaces=False)
    config = {**LLAMA, "vocab_size": 49152, "hidden_size": 36, "intermediate_size": 96, "num_hidden_layers": 1,
              "num_attention_heads": 9, "num_key_value_heads": 3, "rope_interleaved": False, "rope_theta": 100000,
              "rope_scaling": None, "is_llama_config": True, "mlp_bias": False, "tie_word_embeddings": True,
              "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    write_weights(folder, decoder_tensors(config, "BF16", head=False))


SMOLLM3 = {
    **LLAMA, "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "max_window_layers": 28,
    "no_rope_layers": [1, 0], "no_rope_layer_interval": 4, "use_sliding_window": False, "sliding_window": None,
    "layer_types": ["full_attention", "full_attention"], "attention_bias": False, "mlp_bias": False,
    "pad_token_id": 128004,
}


def smollm3_vocab(folder):
    return bpe_vocab(folder, "PreTrainedTokenizerFast", ["<|begin_of_text|>", "<|end_of_text|>", "<|im_end|>"],
                     bos_token=None, eos_token="<|im_end|>", pad_token="<|im_end|>", model_max_length=131072)


def smollm3(folder):
    """Tied embeddings, yarn in the old spelling, bf16."""
    vocab = smollm3_vocab(folder)
    config = {**SMOLLM3, "vocab_size": vocab, "torch_dtype": "bfloat16", "rope_theta": 5000000.0,
              "rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256},
              "bos_token_id": vocab - 3, "eos_token_id": vocab - 1, "tie_word_embeddings": True}
    write_json(folder / "config.json", config)
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    write_weights(folder, decoder_tensors(config, "BF16", head=False))


def smollm3_defaults(folder):
    """Only what must be there; the base frequency is the class's; as many key heads as its default."""
    vocab = smollm3_vocab(folder)
    config = {key: SMOLLM3[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                            "num_hidden_layers")}
    config = {**config, "vocab_size": vocab, "num_attention_heads": 8}
    write_json(folder / "config.json", config)
    write_weights(folder, decoder_tensors({**config, "num_key_value_heads": 4}, "F32"), shards=2)


MODELS = {
    "SmolLM2-0.1M-Instruct": (smollm2, "smollm"),
    "SmolLM3-3B": (smollm3, "smaug-bpe"),
    "smollm3-plain": (smollm3_defaults, "smaug-bpe"),
}

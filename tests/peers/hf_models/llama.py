"""Llama and Mistral, and what decoders like them have in common."""

from .vocab import bpe_vocab, sentencepiece_vocab
from .weights import write_json, write_weights


def decoder_tensors(config, dtype, head=True, biases=(), norms=(), prefix="model."):
    """The tensors of a Llama-like model; `biases` names projections, `norms` names norms of heads."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    dim = config.get("head_dim") or width // heads
    projections = {
        "self_attn.q_proj": (heads * dim, width),
        "self_attn.k_proj": (kv_heads * dim, width),
        "self_attn.v_proj": (kv_heads * dim, width),
        "self_attn.o_proj": (width, heads * dim),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    tensors = {prefix + "embed_tokens.weight": [config["vocab_size"], width]}
    for layer in range(config["num_hidden_layers"]):
        block = f"{prefix}layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}{norm}.weight"] = [width]
        for norm in norms:
            tensors[f"{block}{norm}.weight"] = [dim]
        for name, shape in projections.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            if name in biases:
                tensors[f"{block}{name}.bias"] = [shape[0]]
    tensors[prefix + "norm.weight"] = [width]
    if head:
        tensors["lm_head.weight"] = [config["vocab_size"], width]
    return {name: (dtype, shape) for name, shape in tensors.items()}


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 160,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "initializer_range": 0.02, "use_cache": True, "tie_word_embeddings": False,
}


def llama_with_card(folder):
    """Old spellings, f16, a model card with most of what one can say, recommended settings."""
    config = {**LLAMA, "torch_dtype": "float16", "rope_theta": 10000.0, "rope_scaling": None,
              "_name_or_path": "some-org/Other-Llama-3B-v0.9", "attention_bias": False, "pretraining_tp": 1}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {
        "_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "do_sample": True,
        "temperature": 0.6, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.05, "transformers_version": "4.40.0",
    })
    (folder / "README.md").write_text("""---
license: other
license_name: my-license
license_link: https://example.org/license
language:
- en
- no
- de
pipeline_tag: text-generation
tags: [llama, 'small model', "7b"]
library_name: transformers
base_model:
- meta-llama/Llama-2-7b-hf
- https://huggingface.co/mistralai/Mistral-7B-v0.1
- https://example.org/models/other
- {name: Hand Written, author: Somebody, version: "3", repo_url: "https://example.org"}
datasets:
- wikitext
- org/Some-Data-v2.1
- https://huggingface.co/datasets-org/plain
model_creator: Some Body
description: >
  Two lines
  folded into one.
quantized: false
released: 2024-01-31
widget:
\t- text: "tabs are two spaces"
---
# A model
""", encoding="utf-8")
    sentencepiece_vocab(folder, chat_template="{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    write_weights(folder, decoder_tensors(config, "F16"))


def llama3_old(folder):
    """Llama 3's rope scaling in the old spelling, tied embeddings, bf16, shards, byte-level BPE."""
    vocab = bpe_vocab(folder, "PreTrainedTokenizerFast", ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
                      bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", model_input_names=["input_ids"])
    config = {**LLAMA, "torch_dtype": "bfloat16", "vocab_size": vocab, "head_dim": 64, "rope_theta": 500000.0,
              "bos_token_id": vocab - 3, "eos_token_id": [vocab - 2, vocab - 1], "max_position_embeddings": 131072,
              "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 8192, "rope_type": "llama3"},
              "tie_word_embeddings": True}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"eos_token_id": [vocab - 2, vocab - 1], "temperature": 1})
    write_weights(folder, decoder_tensors(config, "BF16", head=False), shards=3)


def llama3_new(folder):
    """The same scaling in the new spelling, heads of 128, f32; no tokenizer options of note."""
    config = {**LLAMA, "dtype": "float32", "head_dim": 128, "num_hidden_layers": 1,
              "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder, add_prefix_space=False)
    write_weights(folder, decoder_tensors(config, "F32"), wide=True)


def llama_biases(folder):
    """A bias everywhere, linear rope scaling, as many key heads as query heads, defaults left out, f32."""
    config = {**LLAMA, "attention_bias": True, "mlp_bias": True, "rope_scaling": {"type": "linear", "factor": 2.5}}
    for key in ("num_key_value_heads", "rms_norm_eps", "max_position_embeddings"):
        del config[key]
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder)
    biases = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
              "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    write_weights(folder, decoder_tensors(config, "F32", biases=biases))


def llama_bare(folder):
    """The inner model alone, and a value of a wrong type: transformers refuses, the file counts as it is."""
    config = {**LLAMA, "architectures": ["LlamaModel"], "use_cache": 1, "rope_theta": 20000, "num_attention_heads": 2}
    write_json(folder / "config.json", config)
    sentencepiece_vocab(folder)
    write_weights(folder, decoder_tensors(config, "F16", head=False, prefix=""))


def mistral(folder):
    config = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "torch_dtype": "bfloat16",
              "rope_theta": 1000000.0, "sliding_window": None, "hidden_size": 96, "head_dim": 32}
    write_json(folder / "config.json", config)
    (folder / "README.md").write_text("No front matter\n---\nlicense: mit\n---\n", encoding="utf-8")
    sentencepiece_vocab(folder, chat_template=[
        {"name": "default", "template": "{{ messages }}"}, {"name": "tool_use", "template": "{{ tools }}"}])
    write_weights(folder, decoder_tensors(config, "BF16"))


MODELS = {
    "Tiny-Llama-0.4M-Chat-v1.5": (llama_with_card, None),
    "Meta-Llama-3.1-8B-Instruct": (llama3_old, "llama-bpe"),
    "llama-3.2-tiny": (llama3_new, None),
    "biased_llama": (llama_biases, None),
    "bare-llama-model": (llama_bare, None),
    "Mistral-7B-Instruct-v0.3-128k": (mistral, None),
}

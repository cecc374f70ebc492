"""Qwen 2 and 3."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab
from .weights import write_json, write_weights

QWEN_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def qwen2(folder):
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                      bos_token=None, add_prefix_space=False, chat_template="{{ messages[0].content }}")
    config = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": vocab + 4,
              "bos_token_id": vocab - 3, "eos_token_id": vocab - 1, "use_sliding_window": False, "sliding_window": 512,
              "max_window_layers": 2, "rope_theta": 1000000.0, "torch_dtype": "bfloat16",
              "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 128, "type": "yarn"}}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {
        "bos_token_id": vocab - 3, "pad_token_id": vocab - 3, "eos_token_id": [vocab - 1, vocab - 3],
        "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20})
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\nbase_model: Qwen/Qwen2.5-0.5B\n"
                                      "tags:\n- chat\n---\n", encoding="utf-8")
    biases = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
    write_weights(folder, decoder_tensors(config, "BF16", biases=biases))


def qwen3(folder):
    vocab = bpe_vocab(folder, "Qwen2Tokenizer", QWEN_SPECIALS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = {**LLAMA, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": vocab, "head_dim": 64,
              "dtype": "float16", "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
              "eos_token_id": vocab - 1, "tie_word_embeddings": True, "layer_types": ["full_attention"] * 2}
    write_json(folder / "config.json", config)
    (folder / "chat_template.jinja").write_text("{%- for m in messages %}\n{{ m.content }}\n{%- endfor %}\n", encoding="utf-8")
    write_weights(folder, decoder_tensors(config, "F16", head=False, norms=["self_attn.q_norm", "self_attn.k_norm"]))


MODELS = {
    "qwen2.5-400k-instruct": (qwen2, "qwen2"),
    "Qwen3-0.3M": (qwen3, "qwen2"),
}

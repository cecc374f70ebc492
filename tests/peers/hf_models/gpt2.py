"""GPT-2."""

from .vocab import bpe_vocab
from .weights import write_json, write_weights

END = "<|endoftext|>"


def gpt2_tensors(layers, width, vocab, dtype, prefix="", head=False):
    """Matrices have a row for every input."""
    tensors = {"wte.weight": [vocab, width], "wpe.weight": [96, width], "ln_f.weight": [width], "ln_f.bias": [width]}
    linear = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width), "mlp.c_fc": (width, 4 * width),
              "mlp.c_proj": (4 * width, width)}
    for layer in range(layers):
        block = f"h.{layer}."
        for norm in ("ln_1", "ln_2"):
            tensors[f"{block}{norm}.weight"] = [width]
            tensors[f"{block}{norm}.bias"] = [width]
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            tensors[f"{block}{name}.bias"] = [shape[1]]
    tensors = {prefix + name: (dtype, shape) for name, shape in tensors.items()}
    if head:
        tensors["lm_head.weight"] = (dtype, [vocab, width])
    return tensors


def gpt2_old(folder):
    """As the first folders had it: names without a prefix, n_ctx beside n_positions, plain vocabulary files too."""
    vocab = bpe_vocab(folder, "GPT2Tokenizer", [END], model_max_length=96)
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
              "n_ctx": 96, "n_positions": 128, "n_embd": 64, "n_head": 4, "n_layer": 2, "n_inner": None,
              "layer_norm_epsilon": 1e-05, "vocab_size": vocab, "bos_token_id": vocab - 1, "eos_token_id": vocab - 1,
              "resid_pdrop": 0.1, "summary_type": "cls_index",
              "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}}
    write_json(folder / "config.json", config)
    write_weights(folder, gpt2_tensors(2, 64, vocab, "F32"))


def gpt2_aliased(folder):
    """The common names of hyper-parameters, an output matrix, f16 in shards."""
    vocab = bpe_vocab(folder, "GPT2TokenizerFast", [END], add_prefix_space=True, unk_token=END, bos_token=END, eos_token=END)
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "hidden_size": 128, "num_hidden_layers": 3,
              "num_attention_heads": 2, "n_embd": 32, "max_position_embeddings": 96, "n_ctx": 96, "torch_dtype": "float16",
              "vocab_size": vocab + 3, "bos_token_id": vocab - 1, "eos_token_id": vocab - 1, "tie_word_embeddings": False}
    write_json(folder / "config.json", config)
    write_weights(folder, gpt2_tensors(3, 128, vocab + 3, "F16", "transformer.", head=True), shards=2)


def gpt2_as_it_is(folder):
    """A type that transformers does not know: no defaults are filled in."""
    vocab = bpe_vocab(folder, "GPT2Tokenizer", [END])
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "my-gpt2", "n_ctx": 96, "n_embd": 32, "n_head": 2, "n_layer": 1,
              "layer_norm_epsilon": 1, "vocab_size": vocab, "n_inner": 128}
    write_json(folder / "config.json", config)
    write_weights(folder, gpt2_tensors(1, 32, vocab, "BF16"))


MODELS = {
    "gpt2": (gpt2_old, "gpt-2"),
    "GPT2-0.7M-aliased": (gpt2_aliased, "gpt-2"),
    "gpt2-tiny-v0.1": (gpt2_as_it_is, "gpt-2"),
}

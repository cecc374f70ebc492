"""Gemma 1 to 3."""

from .llama import LLAMA, decoder_tensors
from .vocab import bpe_vocab, sentencepiece_vocab
from .weights import write_json, write_weights

GEMMA = {
    **LLAMA, "architectures": ["GemmaForCausalLM"], "model_type": "gemma", "hidden_size": 64, "head_dim": 32,
    "num_key_value_heads": 1, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": None, "attention_bias": False,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
    "tie_word_embeddings": True,
}
GEMMA2 = {
    **GEMMA, "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "num_key_value_heads": 2,
    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 224, "sliding_window": 4096,
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "cache_implementation": "hybrid",
}
GEMMA3 = {
    **GEMMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh",
    "num_hidden_layers": 3, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "sliding_window": 512,
    "attn_logit_softcapping": None, "final_logit_softcapping": None, "cache_implementation": "hybrid",
    "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rope_scaling": None, "sliding_window_pattern": 6,
}
AROUND = ["pre_feedforward_layernorm", "post_feedforward_layernorm"]


def gemma_vocab(folder, **options):
    tokens = {"0": ("<unk>", True), "1": ("<s>", True), "1024": ("<unused0>", False), "1025": ("\u2581\u2581two", False),
              "1026": ("<start_of_turn>", True)}
    decoder = {i: {"content": text, "special": special, "lstrip": False, "rstrip": False, "normalized": False,
                   "single_word": False} for i, (text, special) in tokens.items()}
    sentencepiece_vocab(folder, added_tokens_decoder=decoder, tokenizer_class="GemmaTokenizer", add_bos_token=True,
                        add_eos_token=False, chat_template="{{ bos_token }}{{ messages }}", **options)


def gemma_tensors(config, dtype, around=(), head=False, norms=(), prefix="model."):
    tensors = decoder_tensors(config, dtype, head=head, norms=norms, prefix=prefix)
    for layer in range(config["num_hidden_layers"]):
        for norm in around:
            tensors[f"{prefix}layers.{layer}.{norm}.weight"] = (dtype, [config["hidden_size"]])
    return tensors


def gemma(folder):
    """f16, whose norms are added to in f16; an output matrix that is left out; a card."""
    gemma_vocab(folder)
    config = {**GEMMA, "vocab_size": 1030, "torch_dtype": "float16"}
    write_json(folder / "config.json", config)
    (folder / "README.md").write_text("---\nlicense: gemma\nlibrary_name: transformers\nextra_gated_heading: Access\n"
                                      "---\n", encoding="utf-8")
    write_weights(folder, gemma_tensors(config, "F16", head=True))


def gemma_defaults(folder):
    """Only sizes, f32 with small values, shards, rope in the new spelling."""
    gemma_vocab(folder)
    config = {key: GEMMA[key] for key in ("architectures", "model_type", "hidden_size", "intermediate_size",
                                          "num_hidden_layers")}
    config |= {"vocab_size": 1027, "num_attention_heads": 1, "num_key_value_heads": 1,
               "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}
    write_json(folder / "config.json", config)
    write_weights(folder, gemma_tensors({**config, "head_dim": 256}, "F32"), shards=3, wide=True)


def gemma2(folder):
    gemma_vocab(folder)
    config = {**GEMMA2, "vocab_size": 1040, "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    write_weights(folder, gemma_tensors(config, "BF16", AROUND))


def gemma2_raw(folder):
    """A cap that is a whole number: transformers does not accept the file, which counts as it is."""
    gemma_vocab(folder)
    config = {**GEMMA2, "vocab_size": 1040, "final_logit_softcapping": 30, "sliding_window": 128}
    write_json(folder / "config.json", config)
    write_weights(folder, gemma_tensors(config, "F32", AROUND))


Q_K_NORMS = ["self_attn.q_norm", "self_attn.k_norm"]


def gemma3(folder):
    """The small text model: embeddings with rows for no token, bf16."""
    gemma_vocab(folder)
    config = {**GEMMA3, "vocab_size": 1032, "torch_dtype": "bfloat16"}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"do_sample": True, "top_k": 64, "top_p": 0.95})
    write_weights(folder, gemma_tensors({**config, "vocab_size": 1040}, "BF16", AROUND, norms=Q_K_NORMS))


def gemma3_new(folder):
    """A byte-level vocabulary, whose tokens are counted; two sets of rope parameters; a capped output matrix."""
    vocab = bpe_vocab(folder, "PreTrainedTokenizerFast", ["<bos>", "<eos>"], bos_token="<bos>", eos_token="<eos>")
    sets = {"full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 12000.0}}
    config = {key: value for key, value in GEMMA3.items()
              if key not in ("rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window", "head_dim")}
    config |= {"vocab_size": vocab + 8, "dtype": "float16", "rope_parameters": sets, "final_logit_softcapping": 30.0,
               "sliding_window_pattern": 2, "tie_word_embeddings": False, "use_bidirectional_attention": True,
               "num_attention_heads": 1, "sliding_window": 77, "num_hidden_layers": 2}
    write_json(folder / "config.json", config)
    tensors = gemma_tensors({**config, "head_dim": 256}, "F16", AROUND, head=True, norms=Q_K_NORMS)
    write_weights(folder, tensors, shards=2)


def gemma3_everywhere(folder):
    """No layer with a window; scaling in the old spelling, for the one kind of layers."""
    gemma_vocab(folder)
    config = {**GEMMA3, "vocab_size": 1027, "sliding_window_pattern": 1, "num_hidden_layers": 1,
              "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    write_json(folder / "config.json", config)
    write_weights(folder, gemma_tensors(config, "F32", AROUND, norms=Q_K_NORMS))


def with_eyes(config, **whole):
    """A configuration of a model with eyes around one of a language model."""
    keys = ("architectures", "model_type", "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")
    text = {key: value for key, value in config.items() if key not in keys}
    return {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "mm_tokens_per_image": 256,
            "boi_token_index": 255999, "eoi_token_index": 256000, "image_token_index": 262144,
            "initializer_range": 0.02, "torch_dtype": "bfloat16", "text_config": {"model_type": "gemma3_text", **text},
            "vision_config": {"hidden_size": 32, "image_size": 896, "intermediate_size": 64, "patch_size": 14,
                              "model_type": "siglip_vision_model", "num_attention_heads": 2, "num_hidden_layers": 1,
                              "vision_use_head": False}, **whole}


def eyes(prefix, projector):
    return {
        f"{prefix}vision_model.embeddings.patch_embedding.weight": ("BF16", [32, 3, 14, 14]),
        f"{prefix}vision_model.encoder.layers.0.layer_norm1.weight": ("BF16", [32]),
        f"{projector}mm_input_projection_weight": ("BF16", [32, 64]),
        f"{projector}mm_soft_emb_norm.weight": ("BF16", [32]),
    }


def gemma3_eyes(folder):
    """The language model of one that sees; most hyper-parameters are the class's defaults."""
    gemma_vocab(folder)
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "head_dim", "sliding_window")
    text = {key: GEMMA3[key] for key in sizes} | {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    text |= {"vocab_size": 1030, "num_attention_heads": 8, "num_key_value_heads": 4}
    write_json(folder / "config.json", with_eyes(text, eoi_token_id=1026, eos_token_id=[1, 1026]))
    tensors = gemma_tensors(text, "BF16", AROUND, norms=Q_K_NORMS, prefix="language_model.model.")
    tensors |= eyes("vision_tower.", "multi_modal_projector.")
    write_weights(folder, tensors, shards=2)


def gemma3_eyes_new(folder):
    """The names of today; the vision part has a value of a wrong type, so that nothing is filled in."""
    gemma_vocab(folder)
    config = with_eyes({**GEMMA3, "vocab_size": 1030}, bos_token_id=2)
    config["vision_config"]["layer_norm_eps"] = 1
    write_json(folder / "config.json", config)
    tensors = gemma_tensors(GEMMA3, "F16", AROUND, norms=Q_K_NORMS, prefix="model.language_model.")
    tensors |= eyes("model.vision_tower.", "model.multi_modal_projector.")
    write_weights(folder, tensors)


MODELS = {
    "gemma-2b-it": (gemma, None),
    "gemma-defaults": (gemma_defaults, None),
    "gemma-2-2b-it": (gemma2, None),
    "gemma2-raw": (gemma2_raw, None),
    "gemma-3-270m-it": (gemma3, None),
    "gemma3-new-rope": (gemma3_new, "gpt-2"),
    "gemma3-everywhere": (gemma3_everywhere, None),
    "gemma-3-4b-it": (gemma3_eyes, None),
    "gemma3-eyes-raw": (gemma3_eyes_new, None),
}

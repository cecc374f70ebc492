#!/usr/bin/env python3
"""Writes small random models as Hugging Face folders, one for each thing that conversion must get right.

    make_models.py OUTDIR

Only the standard library is needed, and the same bytes come out everywhere: the conversions of these
folders have golden hashes (tests/data/golden/convert.json, made by scripts/golden-convert).
"""

import json
import random
import shutil
import struct
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"

# Type name in safetensors: bytes of an element, bits that random bytes keep, bits that are set.
# What comes out of the floats has both signs and lies between 2^-7 and 2^-3.
TYPES = {
    "F32": (4, 0x81FFFFFF, 0x3C000000),
    "F16": (2, 0x8FFF, 0x2000),
    "BF16": (2, 0x81FF, 0x3C00),
    "I64": (8, 0xFF, 0),
}
# f32 from 2^-23 to 2^-8: the normal numbers, subnormals and zeros of f16.
WIDE = (4, 0x87FFFFFF, 0x34000000)


def tensor_bytes(seed, dtype, shape, wide=False):
    size, keep, put = WIDE if wide and dtype == "F32" else TYPES[dtype]
    count = 1
    for dim in shape:
        count *= dim
    repeat = lambda bits: int.from_bytes(bits.to_bytes(size, "little") * count, "little")
    values = int.from_bytes(random.Random(seed).randbytes(count * size), "little")
    return ((values & repeat(keep)) | repeat(put)).to_bytes(count * size, "little")


def write_safetensors(path, tensors, wide=False):
    """tensors: name -> (dtype, shape)."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    offset = 0
    for name, (dtype, shape) in tensors.items():
        data.append(tensor_bytes(f"{path.parent.name}/{name}", dtype, shape, wide))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data[-1])]}
        offset += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def write_weights(folder, tensors, shards=1, wide=False):
    if shards == 1:
        return write_safetensors(folder / "model.safetensors", tensors, wide)
    names, weight_map = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        mine = names[i::shards]
        write_safetensors(folder / file, {name: tensors[name] for name in mine}, wide)
        weight_map.update(dict.fromkeys(mine, file))
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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


def bert_tensors(config, dtype, prefix="", scale="weight", shift="bias"):
    width, inner = config["hidden_size"], config["intermediate_size"]
    tensors = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], width],
        "embeddings.position_embeddings.weight": [config["max_position_embeddings"], width],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], width],
        f"embeddings.LayerNorm.{scale}": [width],
        f"embeddings.LayerNorm.{shift}": [width],
        "pooler.dense.weight": [width, width],
        "pooler.dense.bias": [width],
    }
    linear = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }
    for layer in range(config["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            tensors[f"{block}{name}.bias"] = [shape[0]]
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"{block}{norm}.{scale}"] = [width]
            tensors[f"{block}{norm}.{shift}"] = [width]
    return {prefix + name: (dtype, shape) for name, shape in tensors.items()}


def sentencepiece_vocab(folder, **options):
    source = DATA / "tiny-llama-2m"
    shutil.copyfile(source / "tokenizer.model", folder / "tokenizer.model")
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**config, **options})


def byte_alphabet():
    """One printable character for every byte, as byte-level BPE writes them, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("e", "r"), ("o", "n"), ("Ġ", "a"), ("r", "e"), ("in", "g")]


def bpe_vocab(folder, tokenizer_class, specials, **options):
    """A byte-level BPE tokenizer with nine merges; the number of its tokens is returned."""
    tokens = byte_alphabet() + [a + b for a, b in MERGES]
    added = [
        {"id": len(tokens) + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, text in enumerate(specials)
    ]
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": [list(pair) for pair in MERGES],
        },
    })
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": tokenizer_class, **options})
    return len(tokens) + len(added)


def wordpiece_vocab(folder):
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = specials + letters + ["##" + letter for letter in letters] + ["the", "##ing", "##er", ".", ","]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for i, text in enumerate(specials)
        ],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                     {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {token: i for i, token in enumerate(tokens)}},
    })
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "BertTokenizer", "do_lower_case": True, "unk_token": "[UNK]", "sep_token": "[SEP]",
        "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]", "model_max_length": 64,
    })
    return len(tokens)


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


BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 48, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64, "type_vocab_size": 2,
    "layer_norm_eps": 1e-12, "hidden_act": "gelu", "pad_token_id": 0,
}


def bert_sentences(folder):
    """A sentence-transformers folder: modules name the pooling."""
    config = {**BERT, "vocab_size": wordpiece_vocab(folder), "torch_dtype": "float32"}
    write_json(folder / "config.json", config)
    write_json(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": 48, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    write_weights(folder, bert_tensors(config, "F32"))


def bert_masked(folder):
    """Old names of norms, the prefix of a whole model, labels, a vocabulary padded by four."""
    config = {**BERT, "architectures": ["BertForMaskedLM"], "vocab_size": wordpiece_vocab(folder) + 4,
              "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    write_json(folder / "config.json", config)
    tensors = bert_tensors(config, "F32", prefix="bert.", scale="gamma", shift="beta")
    tensors["bert.embeddings.position_ids"] = ("I64", [1, 64])
    tensors["cls.predictions.bias"] = ("F32", [config["vocab_size"]])
    tensors["cls.seq_relationship.weight"] = ("F32", [2, 48])
    write_weights(folder, tensors)


# Folder name: what writes it, and the pre-tokenizer to name where the vocabulary is too small to be known.
MODELS = {
    "Tiny-Llama-0.4M-Chat-v1.5": (llama_with_card, None),
    "Meta-Llama-3.1-8B-Instruct": (llama3_old, "llama-bpe"),
    "llama-3.2-tiny": (llama3_new, None),
    "biased_llama": (llama_biases, None),
    "bare-llama-model": (llama_bare, None),
    "Mistral-7B-Instruct-v0.3-128k": (mistral, None),
    "qwen2.5-400k-instruct": (qwen2, "qwen2"),
    "Qwen3-0.3M": (qwen3, "qwen2"),
    "all-tinyBERT-L2-v2": (bert_sentences, "jina-v2-en"),
    "bert-base-uncased": (bert_masked, "jina-v2-en"),
}


def main():
    out = Path(sys.argv[1])
    for name, (write, pre) in MODELS.items():
        folder = out / name
        folder.mkdir(parents=True)
        write(folder)
        if pre:
            (out / f"{name}.pre").write_text(pre)


if __name__ == "__main__":
    main()

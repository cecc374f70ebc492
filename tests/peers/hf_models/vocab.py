"""Small tokenizers of each kind."""

import base64
import json
import shutil
import struct
from pathlib import Path

from .weights import write_json

DATA = Path(__file__).resolve().parent.parent.parent / "data"


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


# The table that replaces A by a: the size of its trie, the trie with a chain of unused nodes, the texts.
REPLACE_A = struct.pack("<I256I", 1024, 0x10000, 0x0D41, 0x80000000, 2, *(i ^ 1 for i in range(4, 256))) + b"a\0"
UNIGRAM_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]


def unigram_pieces():
    """Text and score of ordinary pieces: each letter, with and without a space before it, and some words."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["▁the", "ing", "er", "▁", ",", "."]
    return [(text, -2.5 - 0.125 * i) for i, text in enumerate([*words, *("▁" + letter for letter in letters), *letters])]


def unigram_json(folder, charsmap=REPLACE_A, **options):
    """A tokenizer.json made of an XLM-RoBERTa model; the number of its tokens is returned."""
    vocab = [(text, 0.0) for text in UNIGRAM_SPECIALS] + unigram_pieces() + [("<mask>", 0.0)]
    specials = {text: i for i, (text, _) in enumerate(vocab) if text in [*UNIGRAM_SPECIALS, "<mask>"]}
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": text, "single_word": False, "lstrip": text == "<mask>", "rstrip": False,
             "normalized": False, "special": True}
            for text, i in specials.items()
        ],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "</s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                               "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [list(entry) for entry in vocab]},
    })
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "XLMRobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
        "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>", **options})
    return len(vocab)


def field(number, value):
    """A field of a protocol buffer: a whole number, a float, or bytes."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def unigram_model(folder, charsmap=b"", add_dummy_prefix=True, remove_extra_whitespaces=True):
    """A sentencepiece.bpe.model, as fairseq's models have it; the number of tokens that fairseq makes of it."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *((*piece, 1) for piece in unigram_pieces())]
    model = b"".join(field(1, field(1, text.encode()) + field(2, score) + (field(3, kind) if kind != 1 else b""))
                     for text, score, kind in pieces)
    model += field(2, field(3, 1) + field(4, len(pieces)))
    normalizer = field(2, charsmap) if charsmap else b""
    normalizer += field(3, int(add_dummy_prefix)) + field(4, int(remove_extra_whitespaces))
    (folder / "sentencepiece.bpe.model").write_bytes(model + field(3, field(1, b"nmt_nfkc") + normalizer))
    return len(pieces) + 2

#!/usr/bin/env python3
"""Makes the tokenizer cases in tests/data/tokenizers with llama.cpp's own converter.

usage: tokenizer_cases.py LLAMA_CPP [OUT]

LLAMA_CPP is llama.cpp's source (scripts/get-llama-cpp fetches it). Needs torch, transformers,
sentencepiece and protobuf. Every case is a small model folder and its `expected.txt`: the tokenizer
keys that the converter writes, one a line (key, type, value as JSON; long values by their SHA-256,
floats by their bits). Pre-tokenizers go by the hash of the test string's ids, since none of these
small vocabularies is known to llama.cpp.
"""

import hashlib
import json
import logging
import pathlib
import shutil
import struct
import sys
import tempfile

LONG = 300


def byte_alphabet():
    """The characters that byte-level BPE shows bytes as."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]


MERGES = [("Ġ", "t"), ("h", "e"), ("i", "n"), ("Ġt", "he"), ("3", "3"), ("33", "3"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"),
          ("Ċ", "Ċ"), ("=", "="), ("-", "-"), ("'", "l"), ("l", "l"), ("Ð", "¾"), ("'", "'"), ("L", "L"), ("M", "'")]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def in_turn(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def added(content, special=False, normalized=False, **flags):
    token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False}
    return {**token, "normalized": normalized, "special": special, **flags}


def listed(first, tokens):
    return [{"id": first + i, **token} for i, token in enumerate(tokens)]


def decoder(first, tokens):
    return {str(first + i): token for i, token in enumerate(tokens)}


def template(start=None, end=None, between=()):
    """A post-processor; tokens are (text, id)."""
    special = lambda token, kind=0: {"SpecialToken": {"id": token[0], "type_id": kind}}
    text = lambda name, kind: {"Sequence": {"id": name, "type_id": kind}}
    first, last = [special(start)] if start else [], [special(end)] if end else []
    tokens = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in filter(None, [start, end, *between])}
    return {"type": "TemplateProcessing", "single": [*first, text("A", 0), *last],
            "pair": [*first, text("A", 0), *map(special, between), text("B", 1), *last], "special_tokens": tokens}


def bpe(tokens=(), post=None, pre=None, normalizer=None, pairs=True, **options):
    """A byte-level tokenizer.json of 273 tokens and what is added."""
    vocab = [*byte_alphabet(), *(a + b for a, b in MERGES)]
    assert len(vocab) == 273
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {t: i for i, t in enumerate(vocab)},
             "merges": [list(m) if pairs else " ".join(m) for m in MERGES], **options}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": listed(273, tokens),
            "normalizer": normalizer, "pre_tokenizer": pre or byte_level(True), "post_processor": post,
            "decoder": byte_level(True), "model": model}


def metaspace(tokens=(), post=None):
    """A tokenizer.json like that of a converted SentencePiece model: 3 + 256 + 9 tokens."""
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "t", "h", "e", "3", "▁t", "he", "▁the", "33"]
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
             "vocab": {t: i for i, t in enumerate(vocab)},
             "merges": [["▁", "t"], ["h", "e"], ["▁t", "he"], ["3", "3"]]}
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
             {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    basic = [{"id": i, **added(t, True)} for i, t in enumerate(vocab[:3])]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [*basic, *listed(268, tokens)],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": None, "post_processor": post,
            "decoder": {"type": "Sequence", "decoders": steps}, "model": model}


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdeilmnost3é?!'`=-我", "##a", "##3", "##33", "##ple", "app",
         "normal", "##s", "I", "ve", "RE", "you", "re", "told", "the"]


def wordpiece(tokens=(), post=None, **normalizer):
    options = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
               "lowercase": True, **normalizer}
    basic = [{"id": i, **added(t, True)} for i, t in enumerate(WORDS[:5])]
    return {"version": "1.0", "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                        "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": [*basic, *listed(len(WORDS), tokens)], "normalizer": options,
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": post,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(WORDS)}}}


def sentencepiece():
    """A SentencePiece model with a piece of every type."""
    from sentencepiece import sentencepiece_model_pb2 as pb
    model = pb.ModelProto()
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3, "<tool>": 4, "<unused0>": 5}
    texts = [*kinds, "▁", "a", "b", "▁a", "ab", "<|x|>", "é"]
    kinds |= {f"<0x{b:02X}>": 6 for b in range(256)}
    for i, text in enumerate([*texts, *list(kinds)[5:]]):
        piece = model.pieces.add(piece=text, score=-0.1 * i)
        if text in kinds:
            piece.type = kinds[text]
    model.trainer_spec.model_type = 2
    model.trainer_spec.byte_fallback = True
    return model.SerializeToString()


def config(architecture, size, **more):
    kind = {"LlamaForCausalLM": "llama", "MistralForCausalLM": "mistral", "Qwen2ForCausalLM": "qwen2",
            "Qwen3ForCausalLM": "qwen3", "BertModel": "bert"}[architecture]
    base = {"architectures": [architecture], "model_type": kind, "hidden_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128, "vocab_size": size}
    if kind != "bert":
        base |= {"num_key_value_heads": 2, "rms_norm_eps": 1e-5}
    return {**base, **more}


def cases():
    """Folder name → file name → content (objects become JSON)."""
    extra = [added("<|bos|>", True), added("<|eos|>", True), added("<|looks special|>"), added("▁user▁defined"),
             added("Plain  spaces", normalized=True), added("[stripped]", lstrip=True, rstrip=True), added("<pad>")]
    bos, eos = ("<|bos|>", 273), ("<|eos|>", 274)
    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    llama3 = in_turn(split(LLAMA3), byte_level(False))
    yield "llama3", {
        "config.json": config("LlamaForCausalLM", 290, bos_token_id=273, eos_token_id=[274, 275], pad_token_id=276),
        "tokenizer.json": bpe(extra, {"type": "Sequence", "processors": [byte_level(True), template(bos)]}, llama3,
                              ignore_merges=True),
        "tokenizer_config.json": {**fast, "bos_token": "<|bos|>", "eos_token": "<|eos|>",
                                  "clean_up_tokenization_spaces": True, "added_tokens_decoder": decoder(273, extra),
                                  "chat_template": "{{ bos_token }}\n\t{{ 'ü' }}"}}
    yield "gpt2-legacy", {
        "config.json": config("LlamaForCausalLM", 282),
        "tokenizer.json": bpe(extra, None, llama3, pairs=False),
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False},
        "special_tokens_map.json": {"bos_token": added("<|bos|>", normalized=True), "eos_token": "<|eos|>",
                                    "unk_token": "<|new|>", "additional_special_tokens": ["[stripped]", "<|newer|>"]},
        "chat_template.jinja": "first\r\nsecond\rthird\n",
        "additional_chat_templates/rag-1.jinja": "rag"}
    yield "no-config", {
        "config.json": config("LlamaForCausalLM", 280, bos_token_id=273, eos_token_id=274),
        "tokenizer.json": bpe(extra, template(bos, eos))}
    yield "objects", {
        "config.json": config("LlamaForCausalLM", 280),
        "tokenizer.json": bpe(extra, template(bos, eos, [eos]), {**byte_level(True)}),
        "tokenizer_config.json": {**fast, "bos_token": {"__type": "AddedToken", **added("<|bos|>", True)},
                                  "eos_token": {"__type": "AddedToken", **added("[stripped]", True)},
                                  "add_eos_token": False, "add_sep_token": True, "eot_token": "<pad>",
                                  "chat_template": [{"name": "default", "template": "d"}, {"name": "tool use", "template": "t"}]}}
    yield "granite-size", {
        "config.json": config("LlamaForCausalLM", 49152),
        "tokenizer.json": bpe(extra[:2], template(bos)),
        "tokenizer_config.json": {**fast, "bos_token": "<|bos|>", "add_bos_token": True}}
    yield "qwen2", {
        "config.json": config("Qwen2ForCausalLM", 300),
        "tokenizer.json": bpe(extra, byte_level(False), byte_level(True), {"type": "Lowercase"}),
        "tokenizer_config.json": {**fast, "eos_token": "<|eos|>", "pad_token": "<|bos|>", "errors": "replace",
                                  "additional_special_tokens": ["<|eos|>", "<|im|>"], "image_token": "<|image|>",
                                  "added_tokens_decoder": decoder(273, extra[:4]), "chat_template": None},
        "chat_template.jinja": "not used"}
    yield "qwen2-plain", {
        "config.json": config("Qwen2ForCausalLM", 276),
        "vocab.json": {t: i for i, t in enumerate([*byte_alphabet(), *(a + b for a, b in MERGES)])},
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES),
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "bos_token": "<|bos|>", "add_bos_token": True,
                                  "added_tokens_decoder": decoder(273, extra[:1])}}
    yield "qwen3-file", {
        "config.json": config("Qwen3ForCausalLM", 280, head_dim=32),
        "tokenizer.json": bpe(extra, None, in_turn({"type": "Digits", "individual_digits": True}, byte_level(True)),
                              {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "StripAccents"}]}),
        "tokenizer_config.json": {**fast, "eos_token": "<|eos|>", "split_special_tokens": True}}
    start = template(("<s>", 1))
    news = [added("<|im_start|>", True), added("▁plain"), added("<extra>", normalized=True)]
    yield "llama-hf", {
        "config.json": config("LlamaForCausalLM", 272, bos_token_id=1, eos_token_id=2),
        "tokenizer.json": metaspace(news, start),
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True, "legacy": False,
                                  "bos_token": "<s>", "eos_token": "<|im_start|>", "pad_token": "<pad>",
                                  "added_tokens_decoder": decoder(268, news)}}
    yield "mistral-hf", {
        "config.json": config("MistralForCausalLM", 271),
        "tokenizer.json": metaspace(news, start),
        "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
                                  "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False}}
    spm = {"added_tokens.json": {"<legacy>": 268, "<|over|>": 269, "beyond": 999},
           "tokenizer_config.json": {"add_prefix_space": False, "add_bos_token": True, "add_eos_token": False,
                                     "bos_token": "<s>", "added_tokens_decoder": {
                                         "0": added("<unk>", True), "3": added("<tool>"), "8": added("▁a", normalized=True),
                                         "269": added("<|over|>"), "4000": added("far", True)}},
           "tokenizer.model": sentencepiece(), "chat_template.json": {"chat_template": "from json"}}
    yield "spm", {"config.json": config("LlamaForCausalLM", 272, bos_token_id=1, eos_token_id=2, pad_token_id=270), **spm}
    yield "spm-cut", {"config.json": config("MistralForCausalLM", 11, bos_token_id=1, eos_token_id=12), **spm,
                      "tokenizer.json": metaspace(news, start)}
    yield "code-llama", {"config.json": config("LlamaForCausalLM", 32016, eot_token_id=7), **spm}
    ends = template(("[CLS]", 2), ("[SEP]", 3), [("[SEP]", 3)])
    yield "bert", {
        "config.json": config("BertModel", 60, type_vocab_size=3),
        "tokenizer.json": wordpiece([added("new word"), added("[NEW]", True)], ends, lowercase=False),
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": False,
                                  "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
                                  "unk_token": "[UNK]", "pad_token": "[PAD]", "clean_up_tokenization_spaces": True}}
    yield "bert-file", {
        "config.json": config("BertModel", len(WORDS)),
        "tokenizer.json": wordpiece([], {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
                                         "trim_offsets": True, "add_prefix_space": False}, strip_accents=True),
        "tokenizer_config.json": {**fast, "bos_token": "[CLS]", "eos_token": "[SEP]"}}
    yield "bert-plain", {
        "config.json": config("BertModel", len(WORDS)),
        "vocab.txt": "".join(f"{w}\n" for w in WORDS),
        "tokenizer_config.json": {"do_lower_case": False, "tokenize_chinese_chars": False}}


def write(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def dump(gguf, path):
    for key, field in gguf.GGUFReader(path).fields.items():
        if not key.startswith("tokenizer."):
            continue
        kind, value = field.types[0].name.lower(), field.contents()
        if kind == "array":
            kind = f"[{field.types[1].name.lower()}]"
            if kind == "[float32]":
                value = [struct.unpack("<I", struct.pack("<f", v))[0] for v in value]
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) > LONG:
            text = f"{len(value)} sha256 {hashlib.sha256(text.encode()).hexdigest()}"
        yield f"{key} {kind} {text}\n"


def main(llama_cpp, out):
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import gguf
    import convert_hf_to_gguf as converter
    from conversion import base

    class Recorded:
        """SHA-256 that remembers: the pre-tokenizer's name is replaced by the hash it is found by."""

        def __init__(self, data):
            Recorded.last = self.digest = hashlib.sha256(data).hexdigest()

        def hexdigest(self):
            return self.digest

    def pre(model, tokenizer):
        try:
            recognize(model, tokenizer)
        except NotImplementedError:
            pass
        return Recorded.last

    recognize = base.TextModel.get_vocab_base_pre
    base.TextModel.get_vocab_base_pre = pre
    base.sha256 = Recorded
    logging.disable(logging.CRITICAL)
    shutil.rmtree(out, ignore_errors=True)
    for name, files in cases():
        folder = out / name
        write(folder, files)
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            sys.argv = ["convert", str(folder), "--vocab-only", "--outtype", "f16", "--outfile", file.name]
            converter.main()
            lines = "".join(dump(gguf, file.name))
        (folder / "expected.txt").write_text(lines)
        print(name, len(lines.splitlines()), "keys")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    data = pathlib.Path(__file__).parents[1] / "data" / "tokenizers"
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]) if sys.argv[2:] else data)

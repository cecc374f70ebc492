"""RoBERTa and XLM-RoBERTa."""

from .bert import BERT, bert_tensors
from .vocab import REPLACE_A, bpe_vocab, unigram_json, unigram_model
from .weights import write_json, write_weights

ROBERTA = {**BERT, "architectures": ["RobertaModel"], "model_type": "roberta", "max_position_embeddings": 66,
           "type_vocab_size": 1, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
XLM_ROBERTA = {**ROBERTA, "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "output_past": True}
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def classifier(width, labels, dtype):
    sizes = {"classifier.dense": width, "classifier.out_proj": labels}
    tensors = {f"{name}.weight": (dtype, [rows, width]) for name, rows in sizes.items()}
    return {**tensors, **{f"{name}.bias": (dtype, [rows]) for name, rows in sizes.items()}}


def roberta(folder):
    """A sentence-transformers folder; the ids of special tokens come last."""
    vocab = bpe_vocab(folder, "RobertaTokenizer", SPECIALS, bos_token="<s>", eos_token="</s>", sep_token="</s>",
                      cls_token="<s>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", add_prefix_space=False)
    config = {**ROBERTA, "vocab_size": vocab}
    write_json(folder / "config.json", config)
    write_json(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    tensors = bert_tensors(config, "F32")
    tensors["embeddings.position_ids"] = ("I64", [1, 66])
    write_weights(folder, tensors)


def roberta_classifier(folder):
    """Three labels, defaults left out, names as in the whole model."""
    vocab = bpe_vocab(folder, "RobertaTokenizerFast", SPECIALS)
    config = {**ROBERTA, "architectures": ["RobertaForSequenceClassification"], "vocab_size": vocab,
              "id2label": {"2": "c", "0": "a", "1": "b"}, "label2id": {"c": 2, "a": 0, "b": 1}}
    del config["pad_token_id"]
    write_json(folder / "config.json", config)
    write_weights(folder, {**bert_tensors(config, "BF16", "roberta."), **classifier(48, 3, "BF16")})


def xlm_roberta(folder):
    """SentencePiece's own file, a vocabulary as it counts it, f16."""
    config = {**XLM_ROBERTA, "vocab_size": unigram_model(folder, charsmap=REPLACE_A), "torch_dtype": "float16"}
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "XLMRobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"})
    write_weights(folder, bert_tensors(config, "F16"))


def xlm_roberta_both(folder):
    """Both kinds of vocabulary, other settings of the normalizer, no offset of positions."""
    unigram_json(folder, sep_token={"content": "</s>", "lstrip": False})
    config = {**XLM_ROBERTA, "vocab_size": unigram_model(folder, b"", False, False) + 5, "pad_token_id": None}
    write_json(folder / "config.json", config)
    write_weights(folder, bert_tensors(config, "F32"))


def xlm_roberta_reranker(folder):
    """A cross-encoder with one label and tokenizer.json."""
    config = {**XLM_ROBERTA, "architectures": ["XLMRobertaForSequenceClassification"], "vocab_size": unigram_json(folder),
              "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "classifier_dropout": None}
    write_json(folder / "config.json", config)
    write_weights(folder, {**bert_tensors(config, "F32", "roberta."), **classifier(48, 1, "F32")})


def xlm_roberta_padded(folder):
    """More ids than tokens, a tokenizer class without rules of its own, an added token within the vocabulary."""
    vocab = unigram_json(folder, tokenizer_class="PreTrainedTokenizerFast", clean_up_tokenization_spaces=True,
                         unk_token="<unk>", pad_token=None)
    write_json(folder / "config.json", {**XLM_ROBERTA, "vocab_size": vocab + 3})
    write_weights(folder, bert_tensors({**XLM_ROBERTA, "vocab_size": vocab + 3}, "BF16"))


MODELS = {
    "stsb-roberta-tiny": (roberta, "roberta-bpe"),
    "roberta-sentiment": (roberta_classifier, "roberta-bpe"),
    "xlm-roberta-small": (xlm_roberta, None),
    "bge-m3-mini": (xlm_roberta_both, None),
    "bge-reranker-v2-mini": (xlm_roberta_reranker, None),
    "xlm-r-padded": (xlm_roberta_padded, None),
}

"""BERT."""

from .vocab import wordpiece_vocab
from .weights import write_json, write_weights


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


MODELS = {
    "all-tinyBERT-L2-v2": (bert_sentences, "jina-v2-en"),
    "bert-base-uncased": (bert_masked, "jina-v2-en"),
}

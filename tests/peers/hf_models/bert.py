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


def bert_reranker(folder):
    """A classifier with one label, which transformers did not make up."""
    config = {**BERT, "architectures": ["BertForSequenceClassification"], "vocab_size": wordpiece_vocab(folder),
              "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "sbert_ce_default_activation_function": "Identity"}
    write_json(folder / "config.json", config)
    tensors = bert_tensors(config, "F32", prefix="bert.")
    tensors["classifier.weight"] = ("F32", [1, 48])
    tensors["classifier.bias"] = ("F32", [1])
    write_weights(folder, tensors)


def bert_classifier(folder):
    """A classifier with made-up labels, and pooling named for it."""
    config = {**BERT, "architectures": ["BertForSequenceClassification"], "vocab_size": wordpiece_vocab(folder),
              "classifier_pooling": "mean"}
    write_json(folder / "config.json", config)
    tensors = bert_tensors(config, "F16", prefix="bert.")
    tensors["classifier.weight"] = ("F16", [2, 48])
    tensors["classifier.bias"] = ("F16", [2])
    write_weights(folder, tensors)


DISTILBERT = {
    "architectures": ["DistilBertModel"], "model_type": "distilbert", "dim": 48, "hidden_dim": 96, "n_layers": 2,
    "n_heads": 4, "max_position_embeddings": 64, "activation": "gelu", "sinusoidal_pos_embds": False, "tie_weights_": True,
}


def distilbert_tensors(config, dtype, prefix=""):
    width, inner = config["dim"], config["hidden_dim"]
    tensors = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], width],
        "embeddings.position_embeddings.weight": [config["max_position_embeddings"], width],
        "embeddings.LayerNorm.weight": [width],
        "embeddings.LayerNorm.bias": [width],
    }
    linear = {"attention.q_lin": (width, width), "attention.k_lin": (width, width), "attention.v_lin": (width, width),
              "attention.out_lin": (width, width), "ffn.lin1": (inner, width), "ffn.lin2": (width, inner)}
    for layer in range(config["n_layers"]):
        block = f"transformer.layer.{layer}."
        for name, shape in linear.items():
            tensors[f"{block}{name}.weight"] = list(shape)
            tensors[f"{block}{name}.bias"] = [shape[0]]
        for norm in ("sa_layer_norm", "output_layer_norm"):
            tensors[f"{block}{norm}.weight"] = [width]
            tensors[f"{block}{norm}.bias"] = [width]
    return {prefix + name: (dtype, shape) for name, shape in tensors.items()}


def distilbert_masked(folder):
    config = {**DISTILBERT, "architectures": ["DistilBertForMaskedLM"], "vocab_size": wordpiece_vocab(folder)}
    write_json(folder / "config.json", config)
    tensors = distilbert_tensors(config, "F32", "distilbert.")
    for name, shape in {"vocab_transform.weight": [48, 48], "vocab_layer_norm.bias": [48],
                        "vocab_projector.bias": [config["vocab_size"]]}.items():
        tensors[name] = ("F32", shape)
    write_weights(folder, tensors)


def distilbert_classifier(folder):
    """The common names of hyper-parameters, labels of its own."""
    config = {"architectures": ["DistilBertForSequenceClassification"], "model_type": "distilbert", "hidden_size": 64,
              "hidden_dim": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": wordpiece_vocab(folder),
              "id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1}}
    write_json(folder / "config.json", config)
    sizes = {**config, "dim": 64, "n_layers": 1, "max_position_embeddings": 512}
    tensors = distilbert_tensors(sizes, "F16", "distilbert.")
    for name, rows in {"pre_classifier": 64, "classifier": 2}.items():
        tensors[f"{name}.weight"] = ("F16", [rows, 64])
        tensors[f"{name}.bias"] = ("F16", [rows])
    write_weights(folder, tensors)


MODELS = {
    "tiny-reranker-L-2": (bert_reranker, "jina-v2-en"),
    "tinybert-classifier": (bert_classifier, "jina-v2-en"),
    "distilbert-base-uncased": (distilbert_masked, "jina-v2-en"),
    "distilbert-sst-2": (distilbert_classifier, "jina-v2-en"),
    "all-tinyBERT-L2-v2": (bert_sentences, "jina-v2-en"),
    "bert-base-uncased": (bert_masked, "jina-v2-en"),
}

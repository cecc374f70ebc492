//! DistilBERT: BERT with half of its blocks, under other names.

use super::bert::{BERT, ENCODER_KEYS, LABELLED};
use crate::arch::family::{Family, Param, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    ANY, BOOL, COMMON, ConfigClass, FLOAT, INT, Int, NONE, TEXT, Unseen,
};
use crate::arch::params::SHARED_KEYS;

pub(super) const DISTILBERT: Family = Family {
    classes: &[
        "DistilBertModel",
        "DistilBertForMaskedLM",
        "DistilBertForSequenceClassification",
    ],
    spellings: &[
        Spelling::Prefix("distilbert."),
        Spelling::Prefix("bert."),
        Spelling::Suffix(".gamma", ".weight"),
        Spelling::Suffix(".beta", ".bias"),
        LABELLED,
    ],
    // The language-modelling head.
    skip: &["vocab_", "embeddings.position_ids"],
    tensors: &[&[
        Tensor::new("embeddings.word_embeddings", "token_embd").class(TypeClass::Embedding),
        Tensor::new("embeddings.position_embeddings", "position_embd").class(TypeClass::Exact),
        Tensor::new("embeddings.LayerNorm", "token_embd_norm"),
        Tensor::new("transformer.layer.{}.attention.q_lin", "blk.{}.attn_q"),
        Tensor::new("transformer.layer.{}.attention.k_lin", "blk.{}.attn_k"),
        Tensor::new("transformer.layer.{}.attention.v_lin", "blk.{}.attn_v"),
        Tensor::new(
            "transformer.layer.{}.attention.out_lin",
            "blk.{}.attn_output",
        ),
        Tensor::new(
            "transformer.layer.{}.sa_layer_norm",
            "blk.{}.attn_output_norm",
        ),
        Tensor::new("transformer.layer.{}.ffn.lin1", "blk.{}.ffn_up"),
        Tensor::new("transformer.layer.{}.ffn.lin2", "blk.{}.ffn_down"),
        Tensor::new(
            "transformer.layer.{}.output_layer_norm",
            "blk.{}.layer_output_norm",
        ),
        Tensor::new("pre_classifier", "cls"),
        Tensor::new("classifier", "cls"),
        Tensor::new("classifier.out_proj", "cls.output"),
    ]],
    params: &[
        &[Param::Real("attention.layer_norm_epsilon", 1e-12)],
        SHARED_KEYS,
        ENCODER_KEYS,
    ],
    ..BERT
};

/// DistilBERT's configuration.
pub(super) const DISTILBERT_CONFIG: ConfigClass = ConfigClass {
    model_type: "distilbert",
    aliases: &[
        ("hidden_size", "dim"),
        ("num_attention_heads", "n_heads"),
        ("num_hidden_layers", "n_layers"),
    ],
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(30522)),
            ("max_position_embeddings", INT, Int(512)),
            ("sinusoidal_pos_embds", BOOL, Unseen),
            ("n_layers", INT, Int(6)),
            ("n_heads", INT, Int(12)),
            ("dim", INT, Int(768)),
            ("hidden_dim", INT, Int(3072)),
            ("dropout", FLOAT | INT, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("activation", TEXT, Unseen),
            ("qa_dropout", FLOAT | INT, Unseen),
            ("seq_classif_dropout", FLOAT | INT, Unseen),
            ("pad_token_id", INT | NONE, Int(0)),
            ("hidden_act", ANY, Unseen),
            ("use_cache", ANY, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

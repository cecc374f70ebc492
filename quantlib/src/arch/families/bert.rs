//! BERT as an encoder of sentences: no pooling layer, no language-modelling head.

use crate::arch::family::{Family, Param, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, NONE, Unseen,
};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

pub(super) const BERT: Family = Family {
    classes: &["BertModel", "BertForMaskedLM"],
    gguf: "bert",
    spellings: &[
        Spelling::Prefix("bert."),
        Spelling::Suffix(".gamma", ".weight"),
        Spelling::Suffix(".beta", ".bias"),
    ],
    skip: &[
        "embeddings.position_ids",
        "pooler.dense.",
        "cls.predictions",
        "cls.seq_relationship",
    ],
    tensors: &[&[
        Tensor::new("embeddings.word_embeddings", "token_embd").class(TypeClass::Embedding),
        Tensor::new("embeddings.token_type_embeddings", "token_types").class(TypeClass::Exact),
        Tensor::new("embeddings.position_embeddings", "position_embd").class(TypeClass::Exact),
        Tensor::new("embeddings.LayerNorm", "token_embd_norm"),
        Tensor::new("encoder.layer.{}.attention.self.query", "blk.{}.attn_q"),
        Tensor::new("encoder.layer.{}.attention.self.key", "blk.{}.attn_k"),
        Tensor::new("encoder.layer.{}.attention.self.value", "blk.{}.attn_v"),
        Tensor::new(
            "encoder.layer.{}.attention.output.dense",
            "blk.{}.attn_output",
        ),
        Tensor::new(
            "encoder.layer.{}.attention.output.LayerNorm",
            "blk.{}.attn_output_norm",
        ),
        Tensor::new("encoder.layer.{}.intermediate.dense", "blk.{}.ffn_up"),
        Tensor::new("encoder.layer.{}.output.dense", "blk.{}.ffn_down"),
        Tensor::new(
            "encoder.layer.{}.output.LayerNorm",
            "blk.{}.layer_output_norm",
        ),
    ]],
    params: &[
        SHARED_KEYS,
        &[
            Param::Flag("attention.causal", false),
            Param::Pooling,
            Param::Labels,
        ],
    ],
    vocab: VocabStyle::Bert,
    ..Family::BLANK
};

/// BERT's configuration.
pub(super) const BERT_CONFIG: ConfigClass = ConfigClass {
    model_type: "bert",
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(30522)),
            ("hidden_size", INT, Int(768)),
            ("num_hidden_layers", INT, Int(12)),
            ("num_attention_heads", INT, Int(12)),
            ("intermediate_size", INT, Int(3072)),
            ("hidden_dropout_prob", FLOAT | INT, Unseen),
            ("attention_probs_dropout_prob", FLOAT | INT, Unseen),
            ("max_position_embeddings", INT, Int(512)),
            ("type_vocab_size", INT, Int(2)),
            ("layer_norm_eps", FLOAT, Float(1e-12)),
            ("classifier_dropout", FLOAT | INT | NONE, Unseen),
            ("is_decoder", BOOL, Unseen),
            ("add_cross_attention", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

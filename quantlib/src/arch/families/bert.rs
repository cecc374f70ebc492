//! BERT and its kin as encoders of sentences and as classifiers: no pooling layer, no
//! language-modelling head.

use crate::arch::family::{Family, Param, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, NONE, Unseen,
};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

pub(super) const BERT: Family = Family {
    classes: &[
        "BertModel",
        "BertForMaskedLM",
        "BertForSequenceClassification",
    ],
    gguf: "bert",
    spellings: &[
        Spelling::Prefix("bert."),
        Spelling::Suffix(".gamma", ".weight"),
        Spelling::Suffix(".beta", ".bias"),
        LABELLED,
    ],
    skip: &[
        "embeddings.position_ids",
        "pooler.dense.",
        "cls.predictions",
        "cls.seq_relationship",
    ],
    tensors: &[BLOCKS, POSITIONS, CLASSIFIER],
    params: ENCODER,
    vocab: VocabStyle::Bert,
    ..Family::BLANK
};

/// A classifier of one layer counts as the second of two where its classes have labels.
pub(super) const LABELLED: Spelling = Spelling::Labelled("classifier", "classifier.out_proj");

/// The keys of encoders.
pub(super) const ENCODER: &[&[Param]] = &[SHARED_KEYS, ENCODER_KEYS];

/// Those of them that other models do not have.
pub(super) const ENCODER_KEYS: &[Param] = &[
    Param::Flag("attention.causal", false),
    Param::Pooling,
    Param::Labels,
];

pub(super) const CLASSIFIER: &[Tensor] = &[
    Tensor::new("classifier", "cls"),
    Tensor::new("classifier.dense", "cls"),
    Tensor::new("classifier.out_proj", "cls.output"),
];

const POSITIONS: &[Tensor] =
    &[Tensor::new("embeddings.position_embeddings", "position_embd").class(TypeClass::Exact)];

/// What all of BERT's layout have in common.
pub(super) const BLOCKS: &[Tensor] = &[
    Tensor::new("embeddings.word_embeddings", "token_embd").class(TypeClass::Embedding),
    Tensor::new("embeddings.token_type_embeddings", "token_types").class(TypeClass::Exact),
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
];

/// BERT's configuration.
pub(super) const BERT_CONFIG: ConfigClass = ConfigClass {
    model_type: "bert",
    fields: &[COMMON, FIELDS],
    ..ConfigClass::BLANK
};

/// The fields of BERT's configuration, which others took over.
pub(super) const FIELDS: &[Field] = &[
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
];

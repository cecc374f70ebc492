//! RoBERTa and XLM-RoBERTa: BERT's layout with positions counted from that of padding.

use super::bert::{BERT, BLOCKS, CLASSIFIER, FIELDS, LABELLED};
use crate::arch::family::{Adjust, Demand, Family, Rewrite, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{COMMON, ConfigClass, Field, INT, Int, NONE};
use crate::format::hf::VocabStyle;

pub(super) const ROBERTA: Family = Family {
    classes: &["RobertaModel", "RobertaForSequenceClassification"],
    adjust: &[Adjust::PositionsAfterPadding],
    spellings: &[
        Spelling::Prefix("roberta."),
        Spelling::Prefix("bert."),
        Spelling::Suffix(".gamma", ".weight"),
        Spelling::Suffix(".beta", ".bias"),
        LABELLED,
    ],
    tensors: &[BLOCKS, POSITIONS, CLASSIFIER],
    vocab: VocabStyle::Roberta,
    ..BERT
};

pub(super) const XLM_ROBERTA: Family = Family {
    classes: &["XLMRobertaModel", "XLMRobertaForSequenceClassification"],
    // Jina's adapters, which the converter writes to files of their own.
    demands: &[Demand::Without("lora_adaptations")],
    vocab: VocabStyle::Unigram,
    ..ROBERTA
};

const POSITIONS: &[Tensor] = &[
    Tensor::new("embeddings.position_embeddings", "position_embd")
        .class(TypeClass::Exact)
        .rewrite(Rewrite::AfterPadding),
];

/// Ids that keys depend on.
const OWN: &[Field] = &[("pad_token_id", INT | NONE, Int(1))];

/// RoBERTa's configuration.
pub(super) const ROBERTA_CONFIG: ConfigClass = ConfigClass {
    model_type: "roberta",
    fields: &[COMMON, FIELDS, OWN, &[("vocab_size", INT, Int(50265))]],
    ..ConfigClass::BLANK
};

/// CamemBERT's configuration, which XLM-RoBERTa models may name.
pub(super) const CAMEMBERT_CONFIG: ConfigClass = ConfigClass {
    model_type: "camembert",
    ..XLM_ROBERTA_CONFIG
};

/// XLM-RoBERTa's configuration.
pub(super) const XLM_ROBERTA_CONFIG: ConfigClass = ConfigClass {
    model_type: "xlm-roberta",
    fields: &[COMMON, FIELDS, OWN],
    ..ConfigClass::BLANK
};

//! Granite: Llama's layout with multipliers.

use super::llama::LLAMA;
use crate::arch::family::{Computed, Family, Param};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, Null, Rope, Unseen,
};
use crate::arch::params::SHARED_KEYS;

pub(super) const GRANITE: Family = Family {
    classes: &["GraniteForCausalLM"],
    bare: &[],
    gguf: "granite",
    computed: &[Computed::WithoutLlama3Scaling],
    ignored: &["head_dim"],
    params: &[
        SHARED_KEYS,
        &[
            Param::Uint("vocab_size", &["vocab_size"]),
            Param::RopeDimensions,
            Param::Factor("attention.scale", &["attention_multiplier"]),
            Param::Factor("embedding_scale", &["embedding_multiplier"]),
            Param::Factor("residual_scale", &["residual_multiplier"]),
            Param::Factor("logit_scale", &["logits_scaling"]),
        ],
    ],
    ..LLAMA
};

/// Granite's configuration.
pub(super) const GRANITE_CONFIG: ConfigClass = ConfigClass {
    model_type: "granite",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(32000)),
            ("hidden_size", INT, Int(4096)),
            ("intermediate_size", INT, Int(11008)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT | NONE, Null),
            ("max_position_embeddings", INT, Int(2048)),
            ("rms_norm_eps", FLOAT, Float(1e-6)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("attention_bias", BOOL, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
            ("mlp_bias", BOOL, Unseen),
            ("embedding_multiplier", FLOAT | INT, Float(1.0)),
            ("logits_scaling", FLOAT | INT, Float(1.0)),
            ("residual_multiplier", FLOAT | INT, Float(1.0)),
            ("attention_multiplier", FLOAT | INT, Float(1.0)),
        ],
    ],
    ..ConfigClass::BLANK
};

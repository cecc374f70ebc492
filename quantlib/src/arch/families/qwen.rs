//! Qwen 2 and 3: Llama's layout with the heads left as they are.

use super::{DECODER, QUERY_KEY};
use crate::arch::family::{Family, Param, Tensor};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, LIST, MAP, NONE, Rope, Unseen,
};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

pub(super) const QWEN2: Family = Family {
    classes: &["Qwen2ForCausalLM", "Qwen2Model"],
    bare: &[("Qwen2Model", "model.")],
    gguf: "qwen2",
    tensors: &[DECODER, QUERY_KEY],
    params: &[SHARED_KEYS, &[Param::Pooling]],
    vocab: VocabStyle::Qwen,
    ..Family::BLANK
};

pub(super) const QWEN3: Family = Family {
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    bare: &[("Qwen3Model", "model.")],
    gguf: "qwen3",
    rerankers: &["qwen3-reranker", "qwen3-vl-reranker"],
    tensors: &[
        DECODER,
        QUERY_KEY,
        &[
            Tensor::new("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
            Tensor::new("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
        ],
    ],
    ..QWEN2
};

/// The fields of Qwen's configurations.
const QWEN: &[Field] = &[
    ("vocab_size", INT, Int(151936)),
    ("hidden_size", INT, Int(4096)),
    ("intermediate_size", INT, Int(22016)),
    ("num_hidden_layers", INT, Int(32)),
    ("num_attention_heads", INT, Int(32)),
    ("num_key_value_heads", INT | NONE, Int(32)),
    ("max_position_embeddings", INT, Int(32768)),
    ("rms_norm_eps", FLOAT, Float(1e-6)),
    ("rope_parameters", MAP | NONE, Unseen),
    ("use_sliding_window", BOOL, Unseen),
    ("sliding_window", INT | NONE, Unseen),
    ("max_window_layers", INT, Unseen),
    ("layer_types", LIST | NONE, Unseen),
    ("attention_dropout", FLOAT | INT, Unseen),
];

/// Qwen 2's configuration.
pub(super) const QWEN2_CONFIG: ConfigClass = ConfigClass {
    model_type: "qwen2",
    rope: Rope::USUAL,
    fields: &[COMMON, QWEN],
    ..ConfigClass::BLANK
};

/// Qwen 3's configuration.
pub(super) const QWEN3_CONFIG: ConfigClass = ConfigClass {
    model_type: "qwen3",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        QWEN,
        &[
            ("head_dim", INT, Int(128)),
            ("attention_bias", BOOL, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

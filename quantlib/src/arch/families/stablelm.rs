//! StableLM: layer norms around gated layers, a part of each head turned.

use super::{BACKBONE, FEED_FORWARD, QUERY_KEY};
use crate::arch::family::{Family, Param, Stack, Tensor, Turned};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Float, INT, Int, MAP, NONE, No, Rope, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::BLOCKS;
use crate::format::hf::VocabStyle;

pub(super) const STABLELM: Family = Family {
    classes: &[
        "StableLmForCausalLM",
        "StableLMEpochForCausalLM",
        "LlavaStableLMEpochForCausalLM",
    ],
    gguf: "stablelm",
    tensors: &[BACKBONE, FEED_FORWARD, QUERY_KEY, HEAD_NORMS],
    params: &[&[
        Param::Needed(&[
            Param::Uint("context_length", &["max_position_embeddings"]),
            Param::Uint("embedding_length", &["hidden_size"]),
            Param::Uint("block_count", BLOCKS),
            Param::Uints("feed_forward_length", &["intermediate_size"]),
        ]),
        Param::PartlyTurned(Turned::OfHead),
        Param::Needed(&[
            Param::Uints("attention.head_count", &["num_attention_heads"]),
            Param::Uints("attention.head_count_kv", &["num_key_value_heads"]),
        ]),
        Param::FlagOr("use_parallel_residual", true, "use_parallel_residual"),
        Param::Needed(&[Param::Float(
            "attention.layer_norm_epsilon",
            &["layer_norm_eps", "norm_eps"],
        )]),
        Param::FileType,
    ]],
    vocab: VocabStyle::StableLm,
    mlx: &[Mlx {
        model_types: &["stablelm"],
        head: Head::Always,
        rope_theta: None,
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

/// The norms of StableLM 2 12B, one for every head.
const HEAD_NORMS: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.self_attn.q_layernorm.norms.{}",
        "blk.{}.attn_q_norm",
    )
    .stack(&Stack {
        of: "query norms",
        count: &["num_attention_heads"],
    }),
    Tensor::new(
        "model.layers.{}.self_attn.k_layernorm.norms.{}",
        "blk.{}.attn_k_norm",
    )
    .stack(&Stack {
        of: "key norms",
        count: &["num_key_value_heads"],
    }),
];

/// StableLM's configuration.
pub(super) const STABLELM_CONFIG: ConfigClass = ConfigClass {
    model_type: "stablelm",
    rope: Rope::One {
        theta: 10000.0,
        partial: Some(0.25),
    },
    fields: &[
        COMMON,
        &[
            ("vocab_size", INT, Int(50304)),
            ("hidden_size", INT, Int(2560)),
            ("intermediate_size", INT, Int(6912)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT, Int(32)),
            ("max_position_embeddings", INT, Int(4096)),
            ("layer_norm_eps", FLOAT, Float(1e-5)),
            ("rope_parameters", MAP | NONE, Unseen),
            ("use_qkv_bias", BOOL, Unseen),
            ("qk_layernorm", BOOL, Unseen),
            ("use_parallel_residual", BOOL, No),
            ("hidden_dropout", FLOAT | INT, Unseen),
            ("attention_dropout", FLOAT | INT, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

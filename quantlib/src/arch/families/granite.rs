//! Granite: Llama's layout with multipliers, dense or with experts.

use super::BACKBONE;
use super::llama::{LLAMA, PAIRED};
use crate::arch::family::{Computed, Demand, Family, Half, Param, Rewrite, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, MAP, NONE, Null, Rope, Unseen,
};
use crate::arch::mlx::Mlx;
use crate::arch::params::SHARED_KEYS;

pub(super) const GRANITE: Family = Family {
    classes: &["GraniteForCausalLM"],
    bare: &[],
    gguf: "granite",
    computed: &[Computed::WithoutLlama3Scaling],
    ignored: &["head_dim"],
    params: &[SHARED_KEYS, KEYS],
    mlx: &[Mlx {
        model_types: &["granite"],
        rope_theta: None,
        eight: &["self_attn.o_proj", "mlp.down_proj", "lm_head"],
        ..Mlx::LLAMA
    }],
    ..LLAMA
};

const KEYS: &[Param] = &[
    Param::Uint("vocab_size", &["vocab_size"]),
    Param::RopeDimensions,
    Param::Factor("attention.scale", &["attention_multiplier"]),
    Param::Factor("embedding_scale", &["embedding_multiplier"]),
    Param::Factor("residual_scale", &["residual_multiplier"]),
    Param::Factor("logit_scale", &["logits_scaling"]),
];

/// All experts of a block are in one tensor, the two projections up joined.
pub(super) const GRANITE_MOE: Family = Family {
    classes: &["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
    gguf: "granitemoe",
    // Without experts the shared ones are called otherwise.
    demands: &[Demand::Positive("num_local_experts")],
    tensors: &[
        BACKBONE,
        PAIRED,
        &[
            Tensor::new(
                "model.layers.{}.block_sparse_moe.router.layer",
                "blk.{}.ffn_gate_inp",
            )
            .class(TypeClass::Exact),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.input_linear",
                "blk.{}.ffn_gate_exps",
            )
            .rewrite(Rewrite::HalfOfRows(Half::First)),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.input_linear",
                "blk.{}.ffn_up_exps",
            )
            .rewrite(Rewrite::HalfOfRows(Half::Second)),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.output_linear",
                "blk.{}.ffn_down_exps",
            ),
            Tensor::new(
                "model.layers.{}.shared_mlp.input_linear",
                "blk.{}.ffn_gate_shexp",
            )
            .rewrite(Rewrite::HalfOfRows(Half::First)),
            Tensor::new(
                "model.layers.{}.shared_mlp.input_linear",
                "blk.{}.ffn_up_shexp",
            )
            .rewrite(Rewrite::HalfOfRows(Half::Second)),
            Tensor::new(
                "model.layers.{}.shared_mlp.output_linear",
                "blk.{}.ffn_down_shexp",
            ),
        ],
    ],
    params: &[
        SHARED_KEYS,
        KEYS,
        &[Param::Positive(
            "expert_shared_feed_forward_length",
            &["shared_intermediate_size"],
        )],
    ],
    mlx: &[Mlx {
        model_types: &["granitemoe"],
        tensors: &[&[
            Tensor::new(
                "model.layers.{}.block_sparse_moe.input_linear",
                "model.layers.{}.block_sparse_moe.switch_mlp.gate_proj",
            )
            .rewrite(Rewrite::HalfOfRows(Half::First)),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.input_linear",
                "model.layers.{}.block_sparse_moe.switch_mlp.up_proj",
            )
            .rewrite(Rewrite::HalfOfRows(Half::Second)),
            Tensor::new(
                "model.layers.{}.block_sparse_moe.output_linear",
                "model.layers.{}.block_sparse_moe.switch_mlp.down_proj",
            ),
        ]],
        rope_theta: None,
        eight: &[
            "block_sparse_moe.router.layer",
            "self_attn.o_proj",
            "mlp.down_proj",
            "lm_head",
        ],
        ..Mlx::LLAMA
    }],
    ..GRANITE
};

/// The fields of Granite's configurations.
const FIELDS: &[Field] = &[
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
];

/// Granite's configuration.
pub(super) const GRANITE_CONFIG: ConfigClass = ConfigClass {
    model_type: "granite",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        FIELDS,
        &[
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

/// The configuration of Granite with experts.
pub(super) const GRANITE_MOE_CONFIG: ConfigClass = ConfigClass {
    model_type: "granitemoe",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        FIELDS,
        &[
            ("attention_dropout", FLOAT | INT | NONE, Unseen),
            ("embedding_multiplier", FLOAT | INT | NONE, Float(1.0)),
            ("logits_scaling", FLOAT | INT | NONE, Float(1.0)),
            ("residual_multiplier", FLOAT | INT | NONE, Float(1.0)),
            ("attention_multiplier", FLOAT | INT | NONE, Float(1.0)),
            ("num_local_experts", INT | NONE, Int(8)),
            ("num_experts_per_tok", INT | NONE, Int(2)),
            ("output_router_logits", BOOL | NONE, Unseen),
            ("router_aux_loss_coef", FLOAT | NONE, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// The configuration of Granite with shared experts, too.
pub(super) const GRANITE_MOE_SHARED_CONFIG: ConfigClass = ConfigClass {
    model_type: "granitemoeshared",
    fields: &[
        GRANITE_MOE_CONFIG.fields[0],
        GRANITE_MOE_CONFIG.fields[1],
        GRANITE_MOE_CONFIG.fields[2],
        &[("shared_intermediate_size", INT, Int(0))],
    ],
    ..GRANITE_MOE_CONFIG
};

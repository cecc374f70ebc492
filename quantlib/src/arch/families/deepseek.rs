//! DeepSeek: experts of which some are shared, and since version 2 latent keys and values.

use super::llama::PAIRED;
use super::{BACKBONE, FEED_FORWARD, routed_experts, switched_experts};
use crate::arch::family::{Family, Param, Rewrite, Spare, Spelling, Stack, Tensor};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, MAP, NONE, No, Null, Rope, Rule,
    TEXT, Unseen, Yes,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

const EXPERTS: Stack = Stack {
    of: "experts",
    count: &["n_routed_experts"],
};

const ROUTED_EXPERTS: &[Tensor] = &routed_experts(&EXPERTS);

/// The first and second version in MLX. Routers are matrices of their own kind there.
const MLX: Mlx = Mlx {
    tensors: &[SWITCHED_EXPERTS],
    head: Head::Always,
    matrices: &["mlp.gate"],
    ..Mlx::LLAMA
};

const SWITCHED_EXPERTS: &[Tensor] = &switched_experts(&EXPERTS);

const SHARED_EXPERTS: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.mlp.shared_experts.gate_proj",
        "blk.{}.ffn_gate_shexp",
    ),
    Tensor::new(
        "model.layers.{}.mlp.shared_experts.up_proj",
        "blk.{}.ffn_up_shexp",
    ),
    Tensor::new(
        "model.layers.{}.mlp.shared_experts.down_proj",
        "blk.{}.ffn_down_shexp",
    ),
];

/// The first version: Llama's attention.
pub(super) const DEEPSEEK: Family = Family {
    classes: &["DeepseekForCausalLM"],
    gguf: "deepseek",
    tensors: &[
        BACKBONE,
        FEED_FORWARD,
        ROUTED_EXPERTS,
        SHARED_EXPERTS,
        PAIRED,
    ],
    params: &[
        SHARED_KEYS,
        &[
            Param::RopeDimensions,
            Param::Text("rope.scaling.type", "none"),
            Param::Needed(&[
                Param::Uint("leading_dense_block_count", &["first_k_dense_replace"]),
                Param::Uint("vocab_size", &["vocab_size"]),
                Param::Uint("expert_feed_forward_length", &["moe_intermediate_size"]),
            ]),
            Param::FloatOr("expert_weights_scale", 1.0, &[]),
            Param::Needed(&[
                Param::Uint("expert_count", &["n_routed_experts"]),
                Param::Uint("expert_shared_count", &["n_shared_experts"]),
            ]),
        ],
    ],
    vocab: VocabStyle::Qwen,
    mlx: &[Mlx {
        model_types: &["deepseek"],
        ..MLX
    }],
    ..Family::BLANK
};

/// Versions 2 and 3. The keys describe attention over latent values, which have one head.
pub(super) const DEEPSEEK2: Family = Family {
    classes: &["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
    gguf: "deepseek2",
    spellings: &[Spelling::Suffix(
        "e_score_correction_bias",
        "e_score_correction.bias",
    )],
    spare: &[Spare::TiedHead, Spare::BlocksBehind],
    tensors: &[
        BACKBONE,
        FEED_FORWARD,
        ROUTED_EXPERTS,
        SHARED_EXPERTS,
        &[
            Tensor::new("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
            Tensor::new("model.layers.{}.self_attn.q_a_proj", "blk.{}.attn_q_a"),
            Tensor::new("model.layers.{}.self_attn.q_b_proj", "blk.{}.attn_q_b"),
            Tensor::new(
                "model.layers.{}.self_attn.q_a_layernorm",
                "blk.{}.attn_q_a_norm",
            ),
            Tensor::new(
                "model.layers.{}.self_attn.kv_a_proj_with_mqa",
                "blk.{}.attn_kv_a_mqa",
            ),
            Tensor::new(
                "model.layers.{}.self_attn.kv_a_layernorm",
                "blk.{}.attn_kv_a_norm",
            ),
            Tensor::new("model.layers.{}.self_attn.kv_b_proj", "blk.{}.attn_k_b")
                .rewrite(Rewrite::LatentKeys),
            Tensor::new("model.layers.{}.self_attn.kv_b_proj", "blk.{}.attn_v_b")
                .rewrite(Rewrite::LatentValues),
            Tensor::new(
                "model.layers.{}.mlp.gate.e_score_correction",
                "blk.{}.exp_probs_b",
            ),
        ],
    ],
    stated: &[("num_key_value_heads", 1)],
    params: &[
        SHARED_KEYS,
        &[
            Param::LeadingDense,
            Param::Needed(&[Param::Uint("vocab_size", &["vocab_size"])]),
            Param::Uint("attention.q_lora_rank", &["q_lora_rank"]),
            Param::UintOr("attention.kv_lora_rank", LATENT, &["kv_lora_rank"]),
            Param::Sum(
                "attention.key_length",
                &[("kv_lora_rank", Some(LATENT)), ("qk_rope_head_dim", None)],
            ),
            Param::UintOr("attention.value_length", LATENT, &["kv_lora_rank"]),
            Param::Sum(
                "attention.key_length_mla",
                &[("qk_nope_head_dim", None), ("qk_rope_head_dim", None)],
            ),
            Param::Needed(&[
                Param::Uint("attention.value_length_mla", &["v_head_dim"]),
                Param::Uint(
                    "expert_feed_forward_length",
                    &["moe_intermediate_size", "intermediate_size"],
                ),
            ]),
            Param::Uint("expert_count", &["n_routed_experts"]),
            Param::UintOr("expert_shared_count", 0, &["n_shared_experts"]),
            Param::Float("expert_weights_scale", &["routed_scaling_factor"]),
            Param::IfTrue("expert_weights_norm", "norm_topk_prob"),
            Param::Needed(&[Param::Uint("rope.dimension_count", &["qk_rope_head_dim"])]),
            Param::YarnLogMultiplier,
        ],
    ],
    mlx: &[
        Mlx {
            model_types: &["deepseek_v2"],
            ..MLX
        },
        Mlx {
            model_types: &["deepseek_v3", "kimi_k2"],
            tensors: &[
                SWITCHED_EXPERTS,
                &[
                    Tensor::new(
                        "model.layers.{}.self_attn.kv_b_proj",
                        "model.layers.{}.self_attn.embed_q",
                    )
                    .rewrite(Rewrite::LatentKeys),
                    Tensor::new(
                        "model.layers.{}.self_attn.kv_b_proj",
                        "model.layers.{}.self_attn.unembed_out",
                    )
                    .rewrite(Rewrite::LatentValues),
                ],
            ],
            exact: &["e_score_correction_bias"],
            ..MLX
        },
    ],
    ..Family::BLANK
};

/// Elements of latent values where config.json does not say.
const LATENT: u32 = 512;

/// The fields of both configurations.
const FIELDS: &[Field] = &[
    ("rms_norm_eps", FLOAT, Float(1e-6)),
    ("pretraining_tp", INT | NONE, Unseen),
    ("tie_word_embeddings", BOOL, No),
    ("rope_parameters", MAP | NONE, Unseen),
    ("attention_bias", BOOL, Unseen),
    ("kv_lora_rank", INT, Int(512)),
    ("q_lora_rank", INT | NONE, Int(1536)),
    ("output_router_logits", BOOL, Unseen),
    ("qk_nope_head_dim", INT, Int(128)),
    ("qk_rope_head_dim", INT, Int(64)),
];

/// The configuration of version 2.
pub(super) const DEEPSEEK2_CONFIG: ConfigClass = ConfigClass {
    model_type: "deepseek_v2",
    aliases: &[("num_experts", "n_routed_experts")],
    rope: Rope::USUAL,
    rules: &[Rule::RopeHead, Rule::EvenHeads],
    fields: &[
        COMMON,
        FIELDS,
        &[
            ("vocab_size", INT, Int(102400)),
            ("hidden_size", INT, Int(4096)),
            ("intermediate_size", INT, Int(11008)),
            ("num_hidden_layers", INT, Int(32)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT | NONE, Null),
            ("max_position_embeddings", INT, Int(2048)),
            ("attention_dropout", FLOAT | NONE, Unseen),
            ("mlp_bias", BOOL, Unseen),
            ("head_dim", INT | NONE, Null),
            ("first_k_dense_replace", INT, Int(0)),
            ("n_group", INT | NONE, Null),
            ("n_routed_experts", INT, Int(64)),
            ("n_shared_experts", INT, Int(2)),
            ("routed_scaling_factor", FLOAT, Float(1.0)),
            ("topk_group", INT | NONE, Null),
            ("topk_method", TEXT | NONE, Unseen),
            ("norm_topk_prob", BOOL | NONE, No),
            ("v_head_dim", INT, Int(128)),
            ("num_experts_per_tok", INT | NONE, Null),
            ("moe_intermediate_size", INT, Int(1407)),
        ],
    ],
    ..ConfigClass::BLANK
};

/// The configuration of version 3.
pub(super) const DEEPSEEK3_CONFIG: ConfigClass = ConfigClass {
    model_type: "deepseek_v3",
    aliases: &[
        ("num_local_experts", "n_routed_experts"),
        ("num_mtp_layers", "num_nextn_predict_layers"),
    ],
    rope: Rope::USUAL,
    rules: &[Rule::RopeHead],
    fields: &[
        COMMON,
        FIELDS,
        &[
            ("vocab_size", INT, Int(129280)),
            ("hidden_size", INT, Int(7168)),
            ("intermediate_size", INT, Int(18432)),
            ("moe_intermediate_size", INT, Int(2048)),
            ("num_hidden_layers", INT, Int(61)),
            ("num_attention_heads", INT, Int(128)),
            ("num_key_value_heads", INT | NONE, Int(128)),
            ("n_shared_experts", INT, Int(1)),
            ("n_routed_experts", INT, Int(256)),
            ("routed_scaling_factor", FLOAT, Float(2.5)),
            ("v_head_dim", INT | NONE, Int(128)),
            ("n_group", INT | NONE, Int(8)),
            ("topk_group", INT | NONE, Int(4)),
            ("num_experts_per_tok", INT | NONE, Int(8)),
            ("first_k_dense_replace", INT | NONE, Int(3)),
            ("norm_topk_prob", BOOL | NONE, Yes),
            ("max_position_embeddings", INT, Int(4096)),
            ("rope_interleave", BOOL | NONE, Unseen),
            ("attention_dropout", FLOAT | INT | NONE, Unseen),
            ("num_nextn_predict_layers", INT, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

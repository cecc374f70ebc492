//! Qwen 2 and 3: Llama's layout with the heads left as they are.

use super::{BACKBONE, EXPERTS, FEED_FORWARD, QUERY_KEY, routed_experts, switched_experts};
use crate::arch::family::{Family, Half, Param, Rewrite, Spelling, Tensor, TypeClass};
use crate::arch::hparams::classes::{
    BOOL, COMMON, ConfigClass, FLOAT, Field, Float, INT, Int, LIST, MAP, NONE, Rope, Unseen,
};
use crate::arch::mlx::{Head, Mlx};
use crate::arch::params::SHARED_KEYS;
use crate::format::hf::VocabStyle;

const HEAD_NORMS: &[Tensor] = &[
    Tensor::new("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
    Tensor::new("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
];

pub(super) const QWEN2: Family = Family {
    classes: &["Qwen2ForCausalLM", "Qwen2Model"],
    bare: &[("Qwen2Model", "model.")],
    gguf: "qwen2",
    tensors: &[BACKBONE, FEED_FORWARD, QUERY_KEY],
    params: &[SHARED_KEYS, &[Param::Pooling]],
    vocab: VocabStyle::Qwen,
    mlx: &[Mlx {
        model_types: &["qwen2"],
        rope_theta: Some(1e6),
        ..Mlx::LLAMA
    }],
    ..Family::BLANK
};

pub(super) const QWEN3: Family = Family {
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    bare: &[("Qwen3Model", "model.")],
    gguf: "qwen3",
    rerankers: &["qwen3-reranker", "qwen3-vl-reranker"],
    tensors: &[BACKBONE, FEED_FORWARD, QUERY_KEY, HEAD_NORMS],
    mlx: &[Mlx {
        model_types: &["qwen3"],
        head: Head::Tied(None),
        rope_theta: None,
        knows_rope_parameters: true,
        ..Mlx::LLAMA
    }],
    ..QWEN2
};

/// Experts in files of one tensor for each.
const SINGLE_EXPERTS: &[Tensor] = &routed_experts(&EXPERTS);

/// The experts in MLX, however the file has them.
const SWITCHED_EXPERTS: &[&[Tensor]] = &[
    &switched_experts(&EXPERTS),
    &[
        Tensor::new(
            "model.layers.{}.mlp.experts.down_proj",
            "model.layers.{}.mlp.switch_mlp.down_proj",
        ),
        Tensor::new(
            "model.layers.{}.mlp.experts.gate_up_proj",
            "model.layers.{}.mlp.switch_mlp.gate_proj",
        )
        .rewrite(Rewrite::HalfOfRows(Half::First)),
        Tensor::new(
            "model.layers.{}.mlp.experts.gate_up_proj",
            "model.layers.{}.mlp.switch_mlp.up_proj",
        )
        .rewrite(Rewrite::HalfOfRows(Half::Second)),
    ],
];

/// Experts in files of all together, with the two projections up joined.
const JOINED_EXPERTS: &[Tensor] = &[
    Tensor::new(
        "model.layers.{}.mlp.experts.down_proj",
        "blk.{}.ffn_down_exps",
    ),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "blk.{}.ffn_gate_exps",
    )
    .rewrite(Rewrite::HalfOfRows(Half::First)),
    Tensor::new(
        "model.layers.{}.mlp.experts.gate_up_proj",
        "blk.{}.ffn_up_exps",
    )
    .rewrite(Rewrite::HalfOfRows(Half::Second)),
];

pub(super) const QWEN2_MOE: Family = Family {
    classes: &["Qwen2MoeForCausalLM"],
    bare: &[],
    gguf: "qwen2moe",
    spellings: &[
        Spelling::Suffix("experts.down_proj", "experts.down_proj.weight"),
        Spelling::Suffix("experts.gate_up_proj", "experts.gate_up_proj.weight"),
    ],
    tensors: &[
        BACKBONE,
        QUERY_KEY,
        SINGLE_EXPERTS,
        JOINED_EXPERTS,
        &[
            Tensor::new(
                "model.layers.{}.mlp.shared_expert.gate_proj",
                "blk.{}.ffn_gate_shexp",
            ),
            Tensor::new(
                "model.layers.{}.mlp.shared_expert.up_proj",
                "blk.{}.ffn_up_shexp",
            ),
            Tensor::new(
                "model.layers.{}.mlp.shared_expert.down_proj",
                "blk.{}.ffn_down_shexp",
            ),
            Tensor::new(
                "model.layers.{}.mlp.shared_expert_gate",
                "blk.{}.ffn_gate_inp_shexp",
            )
            .class(TypeClass::Exact),
        ],
    ],
    params: &[
        SHARED_KEYS,
        &[
            Param::Uint("expert_feed_forward_length", &["moe_intermediate_size"]),
            Param::Uint(
                "expert_shared_feed_forward_length",
                &["shared_expert_intermediate_size"],
            ),
        ],
    ],
    vocab: VocabStyle::Gpt2,
    mlx: &[Mlx {
        model_types: &["qwen2_moe"],
        tensors: SWITCHED_EXPERTS,
        head: Head::Always,
        rope_theta: Some(1e6),
        ..Mlx::LLAMA
    }],
    ..QWEN2
};

pub(super) const QWEN3_MOE: Family = Family {
    classes: &["Qwen3MoeForCausalLM"],
    gguf: "qwen3moe",
    tensors: &[
        BACKBONE,
        QUERY_KEY,
        HEAD_NORMS,
        SINGLE_EXPERTS,
        JOINED_EXPERTS,
    ],
    mlx: &[Mlx {
        model_types: &["qwen3_moe"],
        tensors: SWITCHED_EXPERTS,
        head: Head::Tied(None),
        rope_theta: None,
        eight: &["mlp.gate"],
        ..Mlx::LLAMA
    }],
    ..QWEN2_MOE
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

/// The fields of the configurations with experts.
const MOE: &[Field] = &[
    ("decoder_sparse_step", INT, Unseen),
    ("norm_topk_prob", BOOL, Unseen),
    ("output_router_logits", BOOL, Unseen),
    ("router_aux_loss_coef", FLOAT, Unseen),
    ("mlp_only_layers", LIST | NONE, Unseen),
    ("vocab_size", INT, Int(151936)),
    ("hidden_size", INT, Int(2048)),
    ("num_hidden_layers", INT, Int(24)),
    ("max_position_embeddings", INT, Int(32768)),
    ("rms_norm_eps", FLOAT, Float(1e-6)),
    ("rope_parameters", MAP | NONE, Unseen),
    ("use_sliding_window", BOOL, Unseen),
    ("sliding_window", INT | NONE, Unseen),
    ("attention_dropout", FLOAT | INT, Unseen),
];

/// The configuration of Qwen 2 with experts.
pub(super) const QWEN2_MOE_CONFIG: ConfigClass = ConfigClass {
    model_type: "qwen2_moe",
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        MOE,
        &[
            ("intermediate_size", INT, Int(5632)),
            ("num_attention_heads", INT, Int(16)),
            ("num_key_value_heads", INT | NONE, Int(16)),
            ("max_window_layers", INT, Unseen),
            ("moe_intermediate_size", INT, Int(1408)),
            ("shared_expert_intermediate_size", INT, Int(5632)),
            ("num_experts_per_tok", INT, Int(4)),
            ("num_experts", INT, Int(60)),
            ("qkv_bias", BOOL, Unseen),
            ("layer_types", LIST | NONE, Unseen),
        ],
    ],
    ..ConfigClass::BLANK
};

/// The configuration of Qwen 3 with experts.
pub(super) const QWEN3_MOE_CONFIG: ConfigClass = ConfigClass {
    model_type: "qwen3_moe",
    aliases: &[("num_experts", "num_local_experts")],
    rope: Rope::USUAL,
    fields: &[
        COMMON,
        MOE,
        &[
            ("intermediate_size", INT, Int(6144)),
            ("num_attention_heads", INT, Int(32)),
            ("num_key_value_heads", INT, Int(4)),
            ("attention_bias", BOOL, Unseen),
            ("moe_intermediate_size", INT, Int(768)),
            ("num_experts_per_tok", INT, Int(8)),
            ("num_local_experts", INT, Int(128)),
        ],
    ],
    ..ConfigClass::BLANK
};
